"""A server that answers with the bytes it is given, and libpq's side of the talk, in one thread.

The socket holds what one side writes until the other reads it, so neither waits ("Message Flow" in the chapter on the
protocol).
"""

from __future__ import annotations

import socket
import struct
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq

__all__ = ["MOST", "Server", "message"]

MOST = 100_000
"""So many bytes of an answer are sent: sockets hold about 200 kB."""


def message(kind: str, body: bytes) -> bytes:
    """A message of the protocol."""
    return kind.encode() + struct.pack(">i", 4 + len(body)) + body


_WELCOME = message("R", bytes(4)) + message("S", b"client_encoding\0UTF8\0") + message("Z", b"I")


class Server:
    """Listens on a socket of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pgbgw-fuzz-")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(Path(self._folder.name) / ".s.PGSQL.5432"))
        self._socket.listen()
        options = "port=5432 user=u dbname=d sslmode=disable gssencmode=disable"
        self._conninfo = f"host={self._folder.name} {options}".encode()

    def answers(self, sent: bytes) -> list[Any]:
        """The results of a query that is answered so, up to where the connection is lost; the server hangs up then."""
        connection = self._asked(sent)
        results = []
        try:
            while (result := self._next(connection)) is not None:
                results.append(result)
                if result.status in (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_BOTH):
                    break
        except psycopg.OperationalError:
            pass
        finally:
            connection.finish()
        return results

    def copied(self, sent: bytes) -> list[bytes]:
        """What a COPY gives that is answered so; nothing if it is none."""
        connection = self._asked(sent)
        pieces = []
        try:
            result = self._next(connection)
            while result is not None and result.status == pq.ExecStatus.COPY_OUT:
                size, piece = connection.get_copy_data(1)
                if size < 0:
                    break
                if size > 0:
                    pieces.append(bytes(piece))
                else:
                    connection.consume_input()
        except psycopg.OperationalError:
            pass
        finally:
            connection.finish()
        return pieces

    def _asked(self, sent: bytes) -> Any:
        connection: Any = pq.PGconn.connect_start(self._conninfo)
        with self._socket.accept()[0] as served:
            # The start-up message goes out, and the welcome is there before it is looked for.
            while connection.connect_poll() == pq.PollingStatus.WRITING:
                pass
            served.sendall(_WELCOME)
            while connection.connect_poll() != pq.PollingStatus.OK:
                assert connection.status != pq.ConnStatus.BAD, connection.error_message
            connection.nonblocking = 1
            connection.send_query_params(b"SELECT", None, result_format=pq.Format.BINARY)
            connection.flush()
            served.sendall(sent[:MOST])
        return connection

    @staticmethod
    def _next(connection: Any) -> Any:
        while connection.is_busy():
            connection.consume_input()
        return connection.get_result()
