"""Reading what lies in a queue: a backlog, what failed, a history, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias, TypeVar, overload

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from pgbgw import _core
from pgbgw.client.errors import ClientError, explained
from pgbgw.client.handle import Handle
from pgbgw.client.jobs import Job, layout_of
from pgbgw.client.running import cursor_of
from pgbgw.client.tap import can_tap, tapped
from pgbgw.client.unwrap import AnySync, is_pool, taken

__all__ = ["Form", "Status", "made", "ordered", "select", "stream"]

P = TypeVar("P")

Status: TypeAlias = Literal["ready", "later", "running", "failed", "done"]
"""Which jobs: each status has a table of its own."""

Form: TypeAlias = Literal["jobs", "tuples", "columns"]
"""As objects, as tuples of all columns in the order of the table, or as columns for numpy, Arrow and data frames."""

_ALL = sql.SQL("")

_TABLES = {"ready": "", "later": "_later", "running": "_running", "failed": "_failed", "done": "_done"}


@overload
def stream(
    connection: AnySync, handle: Handle[P], status: Status, form: Literal["jobs"], size: int, exclusive: bool = False
) -> Iterator[list[Job[P]]]: ...
@overload
def stream(
    connection: AnySync,
    handle: Handle[Any],
    status: Status,
    form: Literal["tuples"],
    size: int,
    exclusive: bool = False,
) -> Iterator[list[tuple[Any, ...]]]: ...
@overload
def stream(
    connection: AnySync,
    handle: Handle[Any],
    status: Status,
    form: Literal["columns"],
    size: int,
    exclusive: bool = False,
) -> Iterator[_core.Columns]: ...
def stream(
    connection: AnySync, handle: Handle[Any], status: Status, form: Form, size: int, exclusive: bool = False
) -> Iterator[Any]:
    """Read jobs of a status by id, in pieces of up to ``size``; all of them are seen as of the first piece.

    What is read stays where it is. The rows come by a cursor of the server's, in a transaction that lasts as long as
    the iterator does, and no longer; in that of a session, or the one that is open, where there is one. What else is
    done in it meanwhile is kept when the loop is left early.

    With ``exclusive``, or over a connection that is taken from a pool for this, they come by COPY past libpq where that
    can be (``tap``), which is about twice as fast; nothing else can be done on the connection then.

    Raises:
        ClientError: the queue has no such table, or it is not for this role.
        CopyError: a value can't be had in Python, such as a timestamp that is infinite, where it is asked for.
    """
    return _pieces(connection, handle, status, form, size, select(handle, status, size), exclusive)


def ordered(status: Status) -> tuple[str, ...]:
    """By which columns jobs are read: those of an index, which begins with the priority where jobs may run."""
    return ("priority", "id") if status == "ready" else ("id",)


def select(handle: Handle[Any], status: Status, size: int, where: sql.Composable = _ALL) -> sql.Composed:
    """The statement that reads them all in order.

    Raises:
        ClientError, ValueError: as ``stream`` does.
    """
    missing = {"running": handle.lease_seconds is None, "done": not handle.history}
    if missing.get(status, False):
        option = "history=days(7)" if status == "done" else "lease=seconds(60)"
        raise ClientError(f"{handle} keeps no jobs that are {status}", hint=f"Declare it with {option}.")
    if size < 1:
        raise ValueError(f"size is not a positive number: {size}")
    table = sql.Identifier(handle.schema, f"{handle.table}{_TABLES[status]}")
    by = sql.SQL(", ").join(map(sql.Identifier, ordered(status)))
    return sql.SQL("SELECT * FROM {} {} ORDER BY {}").format(table, where, by)


def _pieces(
    connection: AnySync,
    handle: Handle[Any],
    status: Status,
    form: Form,
    size: int,
    query: sql.Composed,
    exclusive: bool,
) -> Iterator[Any]:
    name = sql.Identifier(f"pgbgw stream {status}")
    fetch = sql.SQL("FETCH {} FROM {}").format(size, name)
    try:
        with taken(connection) as found, _transaction(found, connection), cursor_of(found) as cursor:
            if (exclusive or is_pool(connection)) and can_tap(found):
                cursor.execute(query + sql.SQL(" LIMIT 0"))
                layout = layout_of(handle, cursor.pgresult)
                yield from tapped(found, query.as_string(found), layout, _takers(form, size))
                return
            cursor.execute(sql.SQL("DECLARE {} NO SCROLL CURSOR FOR {}").format(name, query))
            try:
                while True:
                    cursor.execute(fetch)
                    if cursor.rowcount == 0:
                        break
                    yield made(handle, form, cursor.pgresult)
            except GeneratorExit:
                # the loop was left: what else was done in the transaction since stays, unless it has failed
                if found.info.transaction_status != TransactionStatus.INTRANS:
                    raise
            cursor.execute(sql.SQL("CLOSE {}").format(name))
    except psycopg.Error as error:
        raise explained(error, handle.extension, f"{handle}") from error


def _transaction(found: psycopg.Connection[Any], given: AnySync) -> AbstractContextManager[object]:
    """One for the iterator; that of a session is begun by its first statement, and ended by nobody else."""
    return found.transaction() if found is given or is_pool(given) or found.autocommit else nullcontext()


def _takers(form: Form, size: int) -> Callable[[_core.CopyReceiver], Any]:
    """What takes a piece of what is received."""
    if form == "jobs":
        return lambda receiver: receiver.jobs(size, Job)
    return lambda receiver: receiver.tuples(size) if form == "tuples" else receiver.columns(size)


def made(handle: Handle[Any], form: Form, result: Any) -> Any:
    """The rows of a binary result in the form that is wanted."""
    layout = layout_of(handle, result)
    if form == "jobs":
        return _core.result_jobs(result, layout, Job)
    return _core.result_tuples(result, layout) if form == "tuples" else _core.result_columns(result, layout)
