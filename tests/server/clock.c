/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  A clock that a test sets, for all processes of a server.
 *
 * Preloaded into the postmaster, it adds to the clock of the machine as many
 * microseconds as stand in the first eight bytes of the file that
 * PGBGW_TEST_CLOCK names; who writes them there sets the clock.  Clocks that
 * can't be set, by which PostgreSQL waits, are left as they are.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor))
static void
find_clock(void)
{
	const char *path = getenv("PGBGW_TEST_CLOCK");
	int			file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *mapped;

	if (file < 0)
		return;
	mapped = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, file, 0);
	close(file);
	if (mapped != MAP_FAILED)
		ahead = mapped;
}

static int
ask(clockid_t clock, struct timespec *now)
{
	/* glibc's own function is the one that this library replaces */
	int			result = (int) syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && ahead != NULL &&
		(clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
	{
		int64_t		nsec = now->tv_nsec + *ahead % 1000000 * 1000;

		now->tv_sec += (time_t) (*ahead / 1000000);
		if (nsec < 0 || nsec >= 1000000000)
		{
			now->tv_sec += nsec < 0 ? -1 : 1;
			nsec += nsec < 0 ? 1000000000 : -1000000000;
		}
		now->tv_nsec = (long) nsec;
	}
	return result;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	return ask(clock, now);
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec found;
	int			result = ask(CLOCK_REALTIME, &found);

	(void) zone;
	now->tv_sec = found.tv_sec;
	now->tv_usec = found.tv_nsec / 1000;
	return result;
}

time_t
time(time_t *now)
{
	struct timespec found;

	(void) ask(CLOCK_REALTIME, &found);
	if (now != NULL)
		*now = found.tv_sec;
	return found.tv_sec;
}
