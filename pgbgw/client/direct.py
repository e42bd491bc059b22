"""Statements straight through the libpq that psycopg has, without its cursor: some microseconds of a claim are that.

Nothing else differs. A statement goes this way where psycopg would send it at once and as it is: over a synchronous
connection that is in a transaction, or in autocommit and idle, and outside of a pipeline. Errors, notices and
notifications are psycopg's own, by its module ``pq``; the connection's lock is held, and an interrupt cancels the
statement as psycopg does.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, TypeAlias

import psycopg
from psycopg import errors, pq, waiting

from pgbgw._core import first_result, transport
from pgbgw.client.encoding import AnyConnection
from pgbgw.client.errors import ClientError

__all__ = [
    "Message",
    "ask",
    "check_free",
    "copying",
    "end_copy",
    "give_up",
    "is_direct",
    "link_of",
    "tell_notifications",
]

Message: TypeAlias = tuple[bytes, tuple[int, ...], tuple[bytes | None, ...]]
"""A statement with $1 and so on, the types of its parameters by OID, and their values in binary."""

# How long a statement that was cancelled may take to end, s, as in psycopg.
_PATIENCE = 5.0

# Where a statement has done nothing because of how it was prepared: it is gone, or of a time before ALTER EXTENSION
# UPDATE, whether its own columns have changed since or only those of the table that its function returns.
_STALE = (errors.InvalidSqlStatementName, errors.FeatureNotSupported, errors.DatatypeMismatch)

_IDLE, _INTRANS = pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS
_NO_PIPELINE = pq.PipelineStatus.OFF
_ROWS = pq.ExecStatus.TUPLES_OK
_BINARY = pq.Format.BINARY


class _Link:
    """What is known of a connection: statements that were prepared on it, queues whose columns were looked up, those
    whose jobs may be claimed by them, and what these are cast to, the thread that has a COPY under way on it, and its
    socket.
    """

    __slots__ = ("casts", "claimable", "connection", "copying", "looked_up", "prepared", "socket")

    def __init__(self, connection: AnyConnection) -> None:
        key = id(connection)
        self.connection = weakref.ref(connection, lambda gone: _links.pop(key, None))
        self.prepared: dict[bytes, bytes] = {}
        self.looked_up: set[object] = set()
        self.claimable: set[object] = set()
        self.casts: dict[object, Any] = {}
        self.copying: int | None = None
        self.socket = connection.pgconn.socket


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


@contextlib.contextmanager
def copying(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A block in which a COPY goes into the server, of rows that are made meanwhile."""
    link = link_of(connection)
    link.copying = threading.get_ident()
    try:
        yield
    except BaseException:
        end_copy(connection)
        raise
    finally:
        link.copying = None


def check_free(connection: AnyConnection) -> None:
    """See that this thread has no COPY under way: psycopg would wait for its end, and that for us.

    Raises:
        ClientError: it has, and the rows are made by who asks.
    """
    link = _links.get(id(connection))
    if link is not None and link.copying == threading.get_ident():
        raise ClientError(
            "the connection is busy: jobs go in over it, and what gives these jobs uses it as well",
            hint="Give enqueue_many() a list, or use another connection for what is read meanwhile.",
        )


def end_copy(connection: AnyConnection) -> None:
    """Have a COPY into the server that was interrupted end with an error, or close the connection.

    psycopg does so once its COPY has begun. What interrupts it just then, as the cancellation of a task, leaves the
    connection in the middle of it. An event loop waits as well: given a turn, it would let others have the connection.
    """
    pgconn = connection.pgconn
    if pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    try:
        # Else the result would be that of a COPY which goes on, again and again.
        if not pgconn.put_copy_end(b"interrupted"):
            raise psycopg.OperationalError("the end of the COPY can't be sent")
        first_result(pgconn, pgconn.socket, _PATIENCE)
    except BaseException:
        pgconn.finish()


def link_of(connection: AnyConnection) -> _Link:
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
    except _STALE as error:
        del link.prepared[statement]
        if not isinstance(error, errors.InvalidSqlStatementName):
            # else it would be found by its name the next time, as stale as it is
            pgconn.send_query_params(b"DEALLOCATE " + name, None)
            with contextlib.suppress(errors.InvalidSqlStatementName):
                _result(link, pgconn, pq.ExecStatus.COMMAND_OK)
        # what is installed is no longer what was looked up
        link.looked_up.clear()
        link.claimable.clear()
        link.casts.clear()
        return None


def _result(link: _Link, pgconn: Any, wanted: int = _ROWS) -> Any:
    """Wait for the one result of what was sent."""
    result = first_result(pgconn, link.socket)
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


def give_up(connection: psycopg.Connection[Any], link: _Link) -> None:
    """Have the server end what was interrupted, and read what it still sends; or close the connection."""
    pgconn = connection.pgconn
    try:
        connection.cancel_safe(timeout=_PATIENCE)
        first_result(pgconn, link.socket, _PATIENCE)
    except BaseException:
        connection.close()
