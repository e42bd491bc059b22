"""Reading rows through ``COPY ... (FORMAT binary)`` and the compiled decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from pgbgw._core import CopyDecoder, CopyError
from pgbgw.client.encoding import is_utf8, not_utf8

__all__ = ["copy_rows"]


def copy_rows(
    connection: psycopg.Connection[Any], query: str, types: Sequence[str | int]
) -> Iterator[list[tuple[Any, ...]]]:
    """Run a query and give its rows in lists, one for each piece of the stream that completed at least one row.

    ``query`` is one SELECT (or a statement that returns rows) without parameters, which COPY does not take, and without
    a semicolon. ``types`` has the name or the OID of each column's type as ``pgbgw._core.Layout`` takes them, such as
    "int8", "text", "jsonb", "timestamptz", "uuid", "text[]".

    After a row that can't be decoded, what follows is read and dropped, so that connection and transaction stay as they
    were; an iterator that is closed early cancels the query.

    Raises:
        ClientError: the connection has another encoding than UTF-8.
        CopyError: a row can't be decoded, such as one whose columns are not of ``types``.
        psycopg.Error: the server refused the query.
    """
    decoder = CopyDecoder(types)
    if not is_utf8(connection):
        raise not_utf8(connection)
    statement = f"COPY ({query}) TO STDOUT (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        try:
            for piece in copy:
                rows = decoder.feed(piece)
                if rows:
                    yield rows
            decoder.close()
        except CopyError:
            for _ in copy:
                pass
            raise
