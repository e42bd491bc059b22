"""Reading what lies in a queue over asynchronous connections.

``async for`` does not tell an iterator that its loop was left, and what is still to be done then is done at some later
time, in the middle of what the program does next. So nothing may have to be done: the connection is as it was before,
between any two pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, TypeVar, overload

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from pgbgw import _core
from pgbgw.client.errors import ClientError, explained
from pgbgw.client.handle import Handle
from pgbgw.client.jobs import Job
from pgbgw.client.running import async_cursor_of, casts_of_async
from pgbgw.client.stream import Form, Status, check_form, made, new_cursor, ordered, require_readable, select, table_of
from pgbgw.client.unwrap import AnyAsync, is_pool, taken_async

__all__ = ["stream_async"]

P = TypeVar("P")


@overload
def stream_async(
    connection: AnyAsync, handle: Handle[P], status: Status, form: Literal["jobs"], size: int
) -> AsyncIterator[list[Job[P]]]: ...
@overload
def stream_async(
    connection: AnyAsync, handle: Handle[Any], status: Status, form: Literal["tuples"], size: int
) -> AsyncIterator[list[tuple[Any, ...]]]: ...
@overload
def stream_async(
    connection: AnyAsync, handle: Handle[Any], status: Status, form: Literal["columns"], size: int
) -> AsyncIterator[_core.Columns]: ...
def stream_async(
    connection: AnyAsync, handle: Handle[Any], status: Status, form: Form, size: int
) -> AsyncIterator[Any]:
    """Read jobs of a status by id, in pieces of up to ``size``, and leave them where they are.

    In a transaction, which also a connection begins that is not in autocommit, all are seen as of the first piece, by a
    cursor that ends with the transaction. A connection in autocommit reads each piece by a statement of its own, that
    begins behind the last piece and sees what is there by then. One of a pool is taken for the whole, in a transaction.

    Raises:
        ClientError: the queue has no such table, it is not for this role, the transaction has ended meanwhile, or the
            connection is in a pipeline or has another encoding than UTF-8.
        Mismatch: columns are declared otherwise than they are installed.
        CopyError: a value can't be had in Python, such as a timestamp that is infinite, where it is asked for.
        ValueError: there is no such status or form, or no such size.
    """
    check_form(form)
    select(handle, status, size)
    return _pieces(connection, handle, status, form, size)


async def _pieces(
    connection: AnyAsync, handle: Handle[Any], status: Status, form: Form, size: int
) -> AsyncIterator[Any]:
    try:
        async with taken_async(connection) as found:
            require_readable(found, handle)
            if is_pool(connection):
                async with found.transaction():
                    async for result in _by_cursor(found, handle, status, size):
                        yield made(handle, form, result)
            else:
                alone = found.autocommit and found.info.transaction_status == TransactionStatus.IDLE
                way = _by_order if alone else _by_cursor
                async for result in way(found, handle, status, size):
                    yield made(handle, form, result)
    except psycopg.errors.InvalidCursorName as error:
        raise ClientError(
            f"{handle} can't be read on: the transaction in which that was begun has ended",
            hint="Read all of it in one transaction, or in autocommit, where each piece is read by itself.",
            sqlstate=error.sqlstate,
        ) from error
    except psycopg.Error as error:
        raise explained(error, handle.extension, f"{handle}") from error


async def _by_cursor(
    connection: psycopg.AsyncConnection[Any], handle: Handle[Any], status: Status, size: int
) -> AsyncIterator[Any]:
    """Results of a cursor of the server's, in the transaction that is open, or begins with it."""
    name = new_cursor()
    casts = await casts_of_async(connection, handle, table_of(handle, status))
    query = sql.SQL("DECLARE {} NO SCROLL CURSOR FOR {}").format(name, select(handle, status, size, casts))
    fetch = sql.SQL("FETCH {} FROM {}").format(size, name)
    async with async_cursor_of(connection) as cursor:
        await cursor.execute(query)
        while True:
            await cursor.execute(fetch)
            if cursor.rowcount == 0:
                await cursor.execute(sql.SQL("CLOSE {}").format(name))
                return
            yield cursor.pgresult


async def _by_order(
    connection: psycopg.AsyncConnection[Any], handle: Handle[Any], status: Status, size: int
) -> AsyncIterator[Any]:
    """Results of a statement each, which goes on behind the last row of the one before."""
    names = ordered(status)
    by = sql.SQL(", ").join(map(sql.Identifier, names))
    casts = await casts_of_async(connection, handle, table_of(handle, status))
    behind: tuple[int, ...] | None = None
    async with async_cursor_of(connection) as cursor:
        while True:
            where: sql.Composable = sql.SQL("")
            if behind is not None:
                where = sql.SQL("WHERE ({}) > ({})").format(by, sql.SQL(", ").join(map(sql.Literal, behind)))
            await cursor.execute(select(handle, status, size, casts, where) + sql.SQL(" LIMIT {}").format(size))
            result = cursor.pgresult
            assert result is not None
            if result.ntuples == 0:
                return
            behind = _last(result, names)
            yield result
            if result.ntuples < size:
                return


def _last(result: Any, names: tuple[str, ...]) -> tuple[int, ...]:
    """The integers of some columns in the last row of a binary result."""
    places = {result.fname(place).decode(): place for place in range(result.nfields)}
    row = result.ntuples - 1
    return tuple(int.from_bytes(result.get_value(row, places[name]), "big", signed=True) for name in names)
