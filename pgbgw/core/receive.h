/*-------------------------------------------------------------------------
 *
 * receive.h
 *	  Receiving from a socket that is read by nobody else meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_RECEIVE_H
#define PGBGW_RECEIVE_H

#include <Python.h>

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * The size of a chunk.  Two or three of these are in use at a time, one for
 * the jobs at hand and one that is being filled.  The fuzzers have small ones.
 */
#ifndef PGBGW_RECEIVED_SIZE
#define PGBGW_RECEIVED_SIZE (1 << 18)
#endif
/*
 * A chunk is full once it has no room for so much, which is what a server
 * sends at a time (pqcomm.c).
 */
#ifndef PGBGW_RECEIVED_LEAST
#define PGBGW_RECEIVED_LEAST (1 << 13)
#endif

/* What pgbgw_receive returns besides a number of bytes. */
#define PGBGW_CLOSED 0			/* the other side has closed, or the connection is lost */
#define PGBGW_NOTHING (-1)		/* nothing came in time, or a signal did */

/*
 * pgbgw_receive
 *		Receive up to "size" bytes; wait for "milliseconds" if there are none.
 */
static inline ptrdiff_t
pgbgw_receive(int socket, uint8_t *place, size_t size, int milliseconds)
{
	int			tries;

	for (tries = 0; tries < 2; tries++)
	{
		struct pollfd waited = {.fd = socket,.events = POLLIN};
		ssize_t		got = recv(socket, place, size, MSG_DONTWAIT);

		if (got >= 0)
			return got;
		if (errno == EINTR)
			return PGBGW_NOTHING;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return PGBGW_CLOSED;
		if (tries == 0 && poll(&waited, 1, milliseconds) <= 0)
			return PGBGW_NOTHING;
	}
	return PGBGW_NOTHING;
}

/* What pgbgw_wait returns: nothing, or the sum of these. */
#define PGBGW_READABLE 1		/* something can be read, be it that the connection is lost */
#define PGBGW_WRITABLE 2

/*
 * pgbgw_wait
 *		Wait until a socket can be read, or also until it can be written; for so
 *		long, or until a signal comes.
 */
static inline int
pgbgw_wait(int socket, int write, int milliseconds)
{
	struct pollfd waited = {.fd = socket,.events = (short) (write ? POLLIN | POLLOUT : POLLIN)};

	if (poll(&waited, 1, milliseconds) <= 0)
		return 0;
	return ((waited.revents & ~POLLOUT) != 0 ? PGBGW_READABLE : 0)
		| ((waited.revents & POLLOUT) != 0 ? PGBGW_WRITABLE : 0);
}

/*
 * pgbgw_is_alone
 *		Whether nobody else holds an object, of which the caller has one
 *		reference.  Without the GIL nobody can say.
 */
static inline int
pgbgw_is_alone(PyObject *object)
{
#ifdef Py_GIL_DISABLED
	return 0;
#else
	return Py_REFCNT(object) == 1;
#endif
}

/*
 * pgbgw_find_alone
 *		The first bytes object of a list that the list alone holds, and that has
 *		room for so much; or -1.
 */
static inline Py_ssize_t
pgbgw_find_alone(PyObject *list, Py_ssize_t size)
{
	Py_ssize_t	place;

	for (place = 0; place < PyList_GET_SIZE(list); place++)
	{
		PyObject   *chunk = PyList_GET_ITEM(list, place);

		if (pgbgw_is_alone(chunk) && PyBytes_GET_SIZE(chunk) >= size)
			return place;
	}
	return -1;
}

#endif							/* PGBGW_RECEIVE_H */
