"""The encoding of a connection's text: the compiled core has UTF-8, and psycopg whatever the connection has."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg

from pgbgw.client.errors import ClientError

__all__ = ["AnyConnection", "encoded", "is_utf8", "not_utf8"]

AnyConnection: TypeAlias = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


def is_utf8(connection: AnyConnection) -> bool:
    """Whether text is sent and received as UTF-8.

    Raises:
        psycopg.OperationalError: the connection is closed.
    """
    told = connection.pgconn.parameter_status
    encoding = told(b"client_encoding")
    # Nothing is converted for SQL_ASCII: then it is what the database has, where that has an encoding.
    return encoding in (b"UTF8", None) or (
        encoding == b"SQL_ASCII" and told(b"server_encoding") in (b"UTF8", b"SQL_ASCII")
    )


def not_utf8(connection: AnyConnection) -> ClientError:
    """What is raised for rows that would come in another encoding, before they are asked for."""
    encoding = (connection.pgconn.parameter_status(b"client_encoding") or b"").decode()
    return ClientError(
        f"rows can't be read over a connection whose client_encoding is {encoding}",
        hint='Connect with client_encoding="utf8", or run SET client_encoding TO UTF8; the database may have any.',
    )


def encoded(connection: AnyConnection, statement: str) -> bytes:
    """A statement as the connection sends it, which names of tables need not be ASCII for."""
    return statement.encode() if is_utf8(connection) else statement.encode(connection.info.encoding)
