/*-------------------------------------------------------------------------
 *
 * backoff.h
 *	  How long to wait before the next attempt after a failure.
 *
 * The wait doubles with each attempt up to a ceiling, and a random part of
 * at most a quarter is taken off, so that what failed together does not come
 * back together.  The caller brings the randomness: the same arguments give
 * the same answer, in a worker inside the server and in the Python module
 * that the tests of this function exercise.
 *
 * Needs nothing but <stdint.h>.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_BACKOFF_H
#define PGBGW_BACKOFF_H

#include <stdint.h>

/*
 * pgbgw_backoff
 *		The wait before the next attempt, in the unit of "base" and "cap".
 *
 * "attempt" counts the failures so far; less than 1 counts as 1.  "random"
 * is uniform over all its values; 0 takes nothing off.
 *
 * With "base" and "cap" above 0 the result is at least 1 and at most "cap",
 * whatever the other arguments are; otherwise it is 0.
 */
static inline int64_t
pgbgw_backoff(int32_t attempt, int64_t base, int64_t cap, uint32_t random)
{
	int32_t		doublings = attempt > 1 ? attempt - 1 : 0;
	int64_t		wait;
	uint64_t	choices;
	uint64_t	taken_off;

	if (base <= 0 || cap <= 0)
		return 0;

	/* Compare with the ceiling shifted down: "base" shifted up may overflow. */
	if (doublings > 62 || base > (cap >> doublings))
		wait = cap;
	else
		wait = base << doublings;

	/*
	 * Scale "random" to one of the values from 0 to a quarter of the wait.
	 * The product needs up to 94 bits, so the halves are multiplied apart.
	 */
	choices = (uint64_t) wait / 4 + 1;
	taken_off = (choices >> 32) * random
		+ (((choices & UINT64_C(0xffffffff)) * random) >> 32);

	return wait - (int64_t) taken_off;
}

#endif							/* PGBGW_BACKOFF_H */
