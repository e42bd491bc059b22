# Waiting for what a server answers, for a connection whose messages are libpq's to read and to write.

from time import monotonic as _monotonic

cdef enum:
    # How long a thread is away from signals, and from what another does to the connection; ms.
    EXCHANGE_LOOK = 100


def send_all(pgconn, int socket):
    """Send all that is to be sent by a psycopg.pq.PGconn in non-blocking mode, which has that socket.

    Raises what the methods of the connection do, psycopg.OperationalError where it is lost or closed among that, and
    whatever a signal's handler raises.
    """
    cdef int found
    while pgconn.flush():
        # The server may want to be read before it reads on.
        with nogil:
            found = pgbgw_wait(socket, True, EXCHANGE_LOOK)
        PyErr_CheckSignals()
        if found & PGBGW_READABLE:
            pgconn.consume_input()


def first_result(pgconn, int socket, patience=None):
    """Send all, and wait until the server is done with what was sent: the first of its results, or None without one.

    Raises what ``send_all`` does, and TimeoutError if it takes longer than ``patience`` in seconds.
    """
    cdef int found
    cdef object first = None
    cdef object latest = None if patience is None else _monotonic() + patience
    send_all(pgconn, socket)
    while True:
        while pgconn.is_busy():
            if latest is not None and _monotonic() > latest:
                raise TimeoutError
            with nogil:
                found = pgbgw_wait(socket, False, EXCHANGE_LOOK)
            PyErr_CheckSignals()
            if found & PGBGW_READABLE:
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return first
        if first is None:
            first = result
