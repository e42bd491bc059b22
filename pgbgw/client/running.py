"""Operations on connections and pools, synchronous and asynchronous, which remain the caller's."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar, overload

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from pgbgw import _core
from pgbgw.client import catalog
from pgbgw.client.direct import ask, check_free, copying, end_copy, link_of
from pgbgw.client.encoding import AnyConnection, encoded, is_utf8, not_utf8
from pgbgw.client.errors import Mismatch, QueueMissing, explained
from pgbgw.client.handle import Casts, Handle
from pgbgw.client.operations import Operation, usable_priority
from pgbgw.client.unwrap import AnyAsync, AnySync, is_asynchronous, is_pool, taken, taken_async
from pgbgw.sqltext import quote_ident

__all__ = ["AnyAsync", "AnySync", "async_cursor_of", "casts_of", "casts_of_async", "copy_in", "cursor_of", "run"]

T = TypeVar("T")
P = TypeVar("P")

Jobs: TypeAlias = Iterable[P | Mapping[str, Any]]
"""Objects of a payload class, or mappings with its fields."""

Progress: TypeAlias = Callable[[int], object]
"""Told how many jobs were sent by then."""

# What the server says where a declaration differs from what is installed.
_DIFFERING = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.DatatypeMismatch,
)

# How many rows are sent between two calls of a progress callback.
_ROWS_BETWEEN = 1000


@overload
def run(connection: AnySync, operation: Operation[T]) -> T: ...
@overload
def run(connection: AnyAsync, operation: Operation[T]) -> Awaitable[T]: ...
def run(connection: AnySync | AnyAsync, operation: Operation[T]) -> T | Awaitable[T]:
    """Run an operation; awaitable where the connection is asynchronous.

    Raises:
        ClientError: what is asked for is not in this database, or not for this role.
        Mismatch: of those, what is installed differs from the declaration; nothing is claimed then.
        psycopg.Error: the server refused for another reason, or is away.
        NotAConnection: ``connection`` has none of psycopg 3.
    """
    if isinstance(connection, psycopg.Connection):
        return _run(connection, operation)
    if is_asynchronous(connection):
        return _run_async(connection, operation)
    with taken(connection) as found:
        return _run(found, operation, own=is_pool(connection))


def _run(connection: psycopg.Connection[Any], operation: Operation[T], *, own: bool = False) -> T:
    """Run it; the transaction is ``own`` where nobody else has anything in it."""
    check_free(connection)
    try:
        utf8 = is_utf8(connection)
        if operation.has_text and not utf8:
            raise not_utf8(connection)
        _look_first(connection, operation)
        if operation.in_binary and utf8 and (message := operation.message()) is not None:
            result = ask(connection, message)
            if result is not None:
                return operation.read_result(result)
            # what is installed may have been updated meanwhile
            _look_first(connection, operation)
        with cursor_of(connection) as cursor:
            cursor.execute(encoded(connection, operation.statement), operation.parameters)
            if operation.in_binary:
                if cursor.pgresult is None:
                    # In a pipeline it is asked for when somebody wants the rows, be there any to move to or not.
                    with contextlib.suppress(IndexError):
                        cursor.scroll(0)
                return operation.read_result(cursor.pgresult)
            assert operation.read is not None
            return operation.read(cursor.fetchall())
    except psycopg.Error as error:
        raise _difference(connection, operation, error, own=own) or operation.told(error) from error


def _look_first(connection: psycopg.Connection[Any], operation: Operation[Any]) -> None:
    """See that jobs come as they are declared, and how they are selected, unless that was seen on this connection."""
    handle = operation.declared
    if handle is not None and handle not in link_of(connection).claimable:
        found = _run(connection, catalog.columns_fit(handle, all_declared=True))
        link_of(connection).claimable.add(handle)
        link_of(connection).casts[handle] = found
    if (handle := operation.wants_casts()) is not None:
        known = link_of(connection).casts
        if not known.get(handle):
            known[handle] = casts_of(connection, handle, handle.table)
        operation.cast(known[handle])


def _difference(
    connection: psycopg.Connection[Any], operation: Operation[Any], error: psycopg.Error, *, own: bool
) -> Mismatch | None:
    """What differs, where that may be why the server finds something missing, and it can be looked up."""
    look = _comparison(operation, error)
    if look is None or connection.closed:
        return None
    with contextlib.suppress(psycopg.Error):
        if own:
            connection.rollback()
        if _is_idle(connection):
            with cursor_of(connection) as cursor:
                cursor.execute(look.statement, look.parameters)
                return _found(look, cursor.fetchall(), error)
    return None


def _comparison(operation: Operation[Any], error: psycopg.Error) -> Operation[None] | None:
    """What compares the whole declaration, where something of it was missing, or another than was prepared."""
    handle = operation.owned
    if isinstance(error, _DIFFERING) and isinstance(handle, Handle) and handle.payload is not None:
        return catalog.verify(handle)
    return None


def _is_idle(connection: AnyConnection) -> bool:
    pgconn = connection.pgconn
    return pgconn.transaction_status == TransactionStatus.IDLE and pgconn.pipeline_status == PipelineStatus.OFF


def _found(look: Operation[None], rows: Any, error: psycopg.Error) -> Mismatch | None:
    """The difference that there is."""
    assert look.read is not None
    try:
        look.read(rows)
    except Mismatch as differs:
        differs.sqlstate = error.sqlstate
        return differs
    except QueueMissing:
        # the server's error tells that as well
        pass
    return None


async def _run_async(connection: AnyAsync, operation: Operation[T]) -> T:
    try:
        async with taken_async(connection) as found:
            try:
                return await _run_taken(found, operation)
            except psycopg.Error as error:
                if differs := await _difference_async(found, operation, error, own=is_pool(connection)):
                    raise differs from error
                raise
    except psycopg.Error as error:
        raise operation.told(error) from error


def casts_of(connection: psycopg.Connection[Any], handle: Handle[Any], table: str) -> Casts:
    """How the columns of a table of a queue are selected; empty where all of them are read as they are."""
    return _run(connection, catalog.casts(handle, table)) if handle.wants_casts() else ()


async def casts_of_async(connection: psycopg.AsyncConnection[Any], handle: Handle[Any], table: str) -> Casts:
    """The same for asyncio."""
    return await _run_async(connection, catalog.casts(handle, table)) if handle.wants_casts() else ()


async def _run_taken(connection: psycopg.AsyncConnection[Any], operation: Operation[T]) -> T:
    async with async_cursor_of(connection) as cursor:
        if operation.has_text and not is_utf8(connection):
            raise not_utf8(connection)
        await _look_first_async(connection, operation)
        await cursor.execute(encoded(connection, operation.statement), operation.parameters)
        if operation.in_binary:
            if cursor.pgresult is None:
                with contextlib.suppress(IndexError):
                    await cursor.scroll(0)
            return operation.read_result(cursor.pgresult)
        assert operation.read is not None
        return operation.read(await cursor.fetchall())


async def _look_first_async(connection: psycopg.AsyncConnection[Any], operation: Operation[Any]) -> None:
    handle = operation.declared
    if handle is not None and handle not in link_of(connection).claimable:
        found = await _run_async(connection, catalog.columns_fit(handle, all_declared=True))
        link_of(connection).claimable.add(handle)
        link_of(connection).casts[handle] = found
    if (handle := operation.wants_casts()) is not None:
        known = link_of(connection).casts
        if not known.get(handle):
            known[handle] = await casts_of_async(connection, handle, handle.table)
        operation.cast(known[handle])


async def _difference_async(
    connection: psycopg.AsyncConnection[Any], operation: Operation[Any], error: psycopg.Error, *, own: bool
) -> Mismatch | None:
    look = _comparison(operation, error)
    if look is None or connection.closed:
        return None
    with contextlib.suppress(psycopg.Error):
        if own:
            await connection.rollback()
        if _is_idle(connection):
            async with async_cursor_of(connection) as cursor:
                await cursor.execute(look.statement, look.parameters)
                return _found(look, await cursor.fetchall(), error)
    return None


def cursor_of(connection: psycopg.Connection[Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    """A cursor of psycopg's own kind, whatever the connection makes: Django's puts parameters into the statement."""
    cursor = psycopg.Cursor(connection, row_factory=psycopg.rows.tuple_row)
    cursor.format = psycopg.pq.Format.BINARY
    return cursor


def async_cursor_of(connection: psycopg.AsyncConnection[Any]) -> psycopg.AsyncCursor[tuple[Any, ...]]:
    """The same for asyncio."""
    cursor = psycopg.AsyncCursor(connection, row_factory=psycopg.rows.tuple_row)
    cursor.format = psycopg.pq.Format.BINARY
    return cursor


@overload
def copy_in(
    connection: AnySync,
    handle: Handle[P],
    jobs: Jobs[P],
    priority: int,
    progress: Progress | None,
) -> int: ...
@overload
def copy_in(
    connection: AnyAsync,
    handle: Handle[P],
    jobs: Jobs[P],
    priority: int,
    progress: Progress | None,
) -> Awaitable[int]: ...
def copy_in(
    connection: AnySync | AnyAsync,
    handle: Handle[P],
    jobs: Jobs[P],
    priority: int,
    progress: Progress | None,
) -> int | Awaitable[int]:
    """Put jobs in by COPY, in the transaction that is open; how many.

    A job that can't be sent, or an error of the iterable, ends the COPY with none of them put in.

    Raises:
        ClientError, psycopg.Error: as ``run`` does.
        Mismatch: columns have other types than are declared, which the server would take for what they are not.
        CopyError, TypeError, ValueError: a job is none of the queue, or the priority is none.
    """
    priority = usable_priority(priority)
    if is_asynchronous(connection):
        return _copy_async(connection, handle, jobs, priority, progress)
    with taken(connection) as found:
        return _copy(found, handle, jobs, priority, progress)


def _copy_statement(handle: Handle[Any], *, binary: bool) -> str:
    columns = ", ".join([*(quote_ident(column.name) for column in handle.columns), "priority"])
    return f"COPY {handle.named()} ({columns}) FROM STDIN{' (FORMAT binary)' if binary else ''}"


class _Counted(Generic[P]):
    """Rows for COPY, and how many there were."""

    def __init__(self, handle: Handle[P], jobs: Jobs[P], priority: int, progress: Progress | None) -> None:
        self.count = 0
        self._handle = handle
        self._jobs = jobs
        self._priority = priority
        self._progress = progress

    def encoded(self, layout: _core.Layout) -> Iterator[bytes]:
        """Blocks of COPY BINARY, by the compiled core."""
        encoder = _core.CopyEncoder(layout)
        rows = self._handle.rows(self._jobs, self._priority, self._progress)
        yield from encoder.blocks(rows)
        self.count = rows.count
        yield encoder.close()

    def rows(self) -> Iterator[list[Any]]:
        """Rows for psycopg, whose text every type takes."""
        handle, priority, looked_at = self._handle, self._priority, self._handle.encoder()
        return self._each(lambda job: [*handle.values(job, looked_at), priority])

    def _each(self, made: Callable[[P | Mapping[str, Any]], list[Any]]) -> Iterator[list[Any]]:
        for job in self._jobs:
            yield made(job)
            self.count += 1
            if self._progress is not None and self.count % _ROWS_BETWEEN == 0:
                self._progress(self.count)
        if self._progress is not None:
            self._progress(self.count)


def _copy(
    connection: psycopg.Connection[Any], handle: Handle[P], jobs: Jobs[P], priority: int, progress: Progress | None
) -> int:
    check_free(connection)
    counted = _Counted(handle, jobs, priority, progress)
    try:
        layout = handle.layout() if is_utf8(connection) else None
        if layout is not None and handle not in link_of(connection).looked_up:
            _run(connection, catalog.columns_fit(handle))
            link_of(connection).looked_up.add(handle)
        statement = encoded(connection, _copy_statement(handle, binary=layout is not None))
        with copying(connection), cursor_of(connection) as cursor, cursor.copy(statement) as stream:
            if layout is not None:
                for block in counted.encoded(layout):
                    stream.write(block)
            else:
                for row in counted.rows():
                    stream.write_row(row)
    except psycopg.Error as error:
        raise explained(error, handle.extension, f"{handle}") from error
    return counted.count


async def _copy_async(
    connection: AnyAsync, handle: Handle[P], jobs: Jobs[P], priority: int, progress: Progress | None
) -> int:
    counted = _Counted(handle, jobs, priority, progress)
    try:
        async with taken_async(connection) as found:
            layout = handle.layout() if is_utf8(found) else None
            if layout is not None and handle not in link_of(found).looked_up:
                await _run_async(found, catalog.columns_fit(handle))
                link_of(found).looked_up.add(handle)
            statement = encoded(found, _copy_statement(handle, binary=layout is not None))
            try:
                async with async_cursor_of(found) as cursor, cursor.copy(statement) as stream:
                    if layout is not None:
                        for block in counted.encoded(layout):
                            await stream.write(block)
                    else:
                        for row in counted.rows():
                            await stream.write_row(row)
            except BaseException:
                end_copy(found)
                raise
    except psycopg.Error as error:
        raise explained(error, handle.extension, f"{handle}") from error
    return counted.count
