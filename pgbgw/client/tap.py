"""What a COPY sends, taken from the socket before libpq sees it; libpq is told all the rest, and stays in charge.

libpq allocates and copies each row by itself, which costs more than all that is made of it. So while one COPY lasts
libpq has one end of a pair of sockets in the place of its own: rows are received past it, and whatever else the server
says is handed to it unchanged, notices, errors and the state of the transaction among them. At the end it has its
socket back and has missed nothing but rows.

That the socket has nothing of before in libpq's buffer is why the COPY has to be in a transaction, right after another
statement: a server sends no notifications there, and nothing else unasked.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from psycopg import errors, pq

from pgbgw._core import CopyReceiver, Layout, is_plain, send_all
from pgbgw.client.direct import give_up, is_direct, link_of, tell_notifications

__all__ = ["can_tap", "tapped"]

T = TypeVar("T")

# How long a COPY that was cancelled may take to end, s.
_PATIENCE = 5.0


def can_tap(connection: psycopg.Connection[Any]) -> bool:
    """Whether rows can be taken from the socket of a connection: it is in a transaction, and without encryption."""
    return (
        connection.info.transaction_status == pq.TransactionStatus.INTRANS
        and is_direct(connection)
        and is_plain(connection.pgconn)
    )


def tapped(
    connection: psycopg.Connection[Any], query: str, layout: Layout, take: Callable[[CopyReceiver], T]
) -> Iterator[T]:
    """What ``take`` makes of the rows of a query, again and again until there is nothing in what it makes.

    The query has rows of that layout, and no parameters. The connection, for which ``can_tap`` was true, is busy until
    the iterator ends, or is closed, which cancels the query.

    Raises:
        CopyError: a row does not fit the layout; the query is cancelled.
        psycopg.Error: the server refused, or is away.
    """
    link = link_of(connection)
    with connection.lock:
        connection.pgconn.send_query(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode())
        try:
            send_all(connection.pgconn, link.socket)
            tap = _Tap(connection)
        except BaseException:
            give_up(connection, link)
            raise
    try:
        receiver = CopyReceiver(tap.real, layout)
        while piece := take(receiver):
            yield piece
            if connection.closed:
                raise psycopg.OperationalError("the connection was closed while its rows were read")
        tap.end(receiver)
    except BaseException:
        tap.give_up(receiver)
        raise
    finally:
        tap.close()


class _Tap:
    """The socket of a connection, while libpq has another one in its place."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._number = connection.pgconn.socket
        self._inherited = os.get_inheritable(self._number)
        self.real = os.dup(self._number)
        self._ended = False
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        theirs.setblocking(False)
        os.dup2(theirs.fileno(), self._number, self._inherited)
        theirs.close()

    def end(self, receiver: CopyReceiver) -> None:
        """Tell libpq what was said, up to the end of the statement, and see what became of that."""
        self._ended = True
        pgconn = self._connection.pgconn
        rest = memoryview(receiver.others())
        while rest:
            with contextlib.suppress(BlockingIOError):
                rest = rest[self._ours.send(rest) :]
            pgconn.consume_input()
        if receiver.lost:
            # The server has said too little, and libpq shall not wait for more.
            self._ours.shutdown(socket.SHUT_WR)
        failed = None
        while (result := pgconn.get_result()) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                while pgconn.get_copy_data(0)[0] > 0:
                    pass
            elif result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_BOTH):
                # It would be told again and again, until somebody sends.
                self._connection.close()
                raise psycopg.OperationalError("the server wants rows instead of sending them")
            elif result.status != pq.ExecStatus.COMMAND_OK and failed is None:
                # The first is the server's; of a lost connection libpq makes another one.
                failed = result
        tell_notifications(pgconn)
        if receiver.lost and (failed is None or not failed.error_field(pq.DiagnosticField.SQLSTATE)):
            raise psycopg.OperationalError(f"the connection is lost: {pq.error_message(pgconn)}")
        if failed is not None:
            raise errors.error_from_result(failed, encoding=self._connection.info.encoding)

    def give_up(self, receiver: CopyReceiver) -> None:
        """Have the server end the statement, and read what it still sends; or close the connection."""
        if self._ended or self._connection.closed:
            return
        try:
            if not receiver.finished:
                self._connection.cancel_safe(timeout=_PATIENCE)
            receiver.drain()
            with contextlib.suppress(errors.QueryCanceled):
                self.end(receiver)
        except BaseException:
            self._connection.close()

    def close(self) -> None:
        """Let libpq have its own socket again."""
        # The number of a connection that was closed may be somebody else's by now.
        if not self._connection.closed:
            os.dup2(self.real, self._number, self._inherited)
        os.close(self.real)
        self._ours.close()
