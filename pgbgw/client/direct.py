"""Statements straight through the libpq that psycopg has, without its cursor: some microseconds of a claim are that.

Nothing else differs. A statement goes this way where psycopg would send it at once and as it is: over a synchronous
connection that is in a transaction, or in autocommit and idle, and outside of a pipeline. Errors, notices and
notifications are psycopg's own, by its module ``pq``; the connection's lock is held, and an interrupt cancels the
statement as psycopg does.
"""

from __future__ import annotations

import contextlib
import select
import time
import weakref
from hashlib import sha256
from typing import Any, TypeAlias

import psycopg
from psycopg import errors, pq, waiting

from pgbgw._core import transport

__all__ = ["Message", "ask", "give_up", "is_direct", "link_of", "tell_notifications"]

Message: TypeAlias = tuple[bytes, tuple[int, ...], tuple[bytes | None, ...]]
"""A statement with $1 and so on, the types of its parameters by OID, and their values in binary."""

# How long a thread may be away from what another does to the connection, ms; and how long a statement that was
# cancelled may take to end, s, as in psycopg.
_LOOK = 100
_PATIENCE = 5.0

# Where a statement was not run because of how it was prepared: it is gone, or of a time before ALTER EXTENSION UPDATE.
_STALE = (errors.InvalidSqlStatementName, errors.FeatureNotSupported)

_IDLE, _INTRANS = pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS
_NO_PIPELINE = pq.PipelineStatus.OFF
_ROWS = pq.ExecStatus.TUPLES_OK
_BINARY = pq.Format.BINARY


class _Link:
    """What is known of a connection: statements that were prepared on it, and how its socket is waited for."""

    __slots__ = ("connection", "poll", "prepared", "socket")

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        key = id(connection)
        self.connection = weakref.ref(connection, lambda gone: _links.pop(key, None))
        self.prepared: dict[bytes, bytes] = {}
        self.socket = connection.pgconn.socket
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)

    def flush(self, pgconn: pq.abc.PGconn) -> None:
        """Send all that is to be sent."""
        while pgconn.flush():
            # The server may want to be read before it reads on.
            self.poll.modify(self.socket, select.POLLIN | select.POLLOUT)
            try:
                if any(found & select.POLLIN for _, found in self.poll.poll(_LOOK)):
                    pgconn.consume_input()
            finally:
                self.poll.modify(self.socket, select.POLLIN)


_links: dict[int, _Link] = {}


def is_direct(connection: psycopg.Connection[Any]) -> bool:
    """Whether a statement would go this way on a connection as it is now."""
    state = connection.pgconn.transaction_status
    return _may(connection, state)


def _may(connection: psycopg.Connection[Any], state: int) -> bool:
    # An event loop of gevent's, or a connection that waits in some other way, knows better how to wait.
    return (
        (state == _INTRANS or (state == _IDLE and connection.autocommit))
        and connection.pgconn.pipeline_status == _NO_PIPELINE
        and _plain(type(connection))
    )


_plain_classes: dict[type, bool] = {}


def _plain(kind: type[psycopg.Connection[Any]]) -> bool:
    """Whether connections of a class wait as psycopg's own do, by its compiled part."""
    found = _plain_classes.get(kind)
    if found is None:
        compiled = transport() == "libpq" and waiting.wait is getattr(waiting, "wait_c", None)
        found = _plain_classes[kind] = compiled and kind.wait is psycopg.Connection.wait
    return found


def ask(connection: psycopg.Connection[Any], message: Message) -> pq.abc.PGresult | None:
    """The rows of a statement in binary; None where it has to go by a cursor, and nothing was done.

    Raises:
        psycopg.Error: the server refused, or is away.
    """
    pgconn = connection.pgconn
    with connection.lock:
        state = pgconn.transaction_status
        if not _may(connection, state):
            return None
        link = link_of(connection)
        result: pq.abc.PGresult | None
        try:
            # In a transaction a statement that is gone would be the end of it.
            if state == _IDLE and connection.prepare_threshold is not None:
                result = _prepared(link, pgconn, message)
            else:
                statement, types, values = message
                pgconn.send_query_params(statement, values, types, (_BINARY,) * len(values), _BINARY)
                result = _result(link, pgconn)
            return result
        except psycopg.Error:
            raise
        except BaseException:
            give_up(connection, link)
            raise


def link_of(connection: psycopg.Connection[Any]) -> _Link:
    """What is known of a connection."""
    link = _links.get(id(connection))
    if link is None or link.connection() is not connection:
        link = _links[id(connection)] = _Link(connection)
    return link


def _prepared(link: _Link, pgconn: Any, message: Message) -> Any:
    statement, types, values = message
    name = link.prepared.get(statement)
    if name is None:
        # Named after itself: a session that was somebody else's, as those of a pooler are, may have it already.
        name = b"pgbgw_" + sha256(b"%a %b" % (types, statement)).hexdigest()[:32].encode()
        pgconn.send_prepare(name, statement, types)
        with contextlib.suppress(errors.DuplicatePreparedStatement):
            _result(link, pgconn, pq.ExecStatus.COMMAND_OK)
        link.prepared[statement] = name
    pgconn.send_query_prepared(name, values, (_BINARY,) * len(values), _BINARY)
    try:
        return _result(link, pgconn)
    except _STALE:
        del link.prepared[statement]
        return None


def _result(link: _Link, pgconn: Any, wanted: int = _ROWS) -> Any:
    """Wait for the one result of what was sent."""
    link.flush(pgconn)
    result = _next(link, pgconn)
    while _next(link, pgconn) is not None:
        pass
    tell_notifications(pgconn)
    if result is None or result.status != wanted:
        if result is None:
            raise psycopg.OperationalError("the server has sent no result")
        connection = link.connection()
        raise errors.error_from_result(result, encoding=connection.info.encoding if connection else "utf-8")
    return result


def tell_notifications(pgconn: Any) -> None:
    """Hand on what has come, as psycopg does after each statement."""
    while (notify := pgconn.notifies()) is not None:
        if pgconn.notify_handler is not None:
            pgconn.notify_handler(notify)


def _next(link: _Link, pgconn: Any) -> Any:
    while pgconn.is_busy():
        if link.poll.poll(_LOOK):
            pgconn.consume_input()
    return pgconn.get_result()


def give_up(connection: psycopg.Connection[Any], link: _Link) -> None:
    """Have the server end what was interrupted, and read what it still sends; or close the connection."""
    pgconn = connection.pgconn
    try:
        connection.cancel_safe(timeout=_PATIENCE)
        latest = time.monotonic() + _PATIENCE
        while True:
            while pgconn.is_busy():
                if time.monotonic() > latest:
                    raise TimeoutError
                if link.poll.poll(_LOOK):
                    pgconn.consume_input()
            if pgconn.get_result() is None:
                return
    except BaseException:
        connection.close()
