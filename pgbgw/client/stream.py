"""Reading what lies in a queue: a backlog, what failed, a history, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, TypeVar, overload

import psycopg
from psycopg import sql

from pgbgw import _core
from pgbgw.client.errors import ClientError, explained
from pgbgw.client.handle import Handle
from pgbgw.client.jobs import Job, layout_of

__all__ = ["Form", "Status", "stream"]

P = TypeVar("P")

Status: TypeAlias = Literal["ready", "later", "running", "failed", "done"]
"""Which jobs: each status has a table of its own."""

Form: TypeAlias = Literal["jobs", "tuples", "columns"]
"""As objects, as tuples of all columns in the order of the table, or as columns for numpy, Arrow and data frames."""

_TABLES = {"ready": "", "later": "_later", "running": "_running", "failed": "_failed", "done": "_done"}


@overload
def stream(
    connection: psycopg.Connection[Any], handle: Handle[P], status: Status, form: Literal["jobs"], size: int
) -> Iterator[list[Job[P]]]: ...
@overload
def stream(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: Status, form: Literal["tuples"], size: int
) -> Iterator[list[tuple[Any, ...]]]: ...
@overload
def stream(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: Status, form: Literal["columns"], size: int
) -> Iterator[_core.Columns]: ...
def stream(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: Status, form: Form, size: int
) -> Iterator[Any]:
    """Read jobs of a status by id, in pieces of up to ``size``; all of them are seen as of the first piece.

    What is read stays where it is. The rows come by a cursor of the server's, in a transaction that lasts as long as
    the iterator does, and no longer.

    Raises:
        ClientError: the queue has no such table, or it is not for this role.
        CopyError: a value can't be had in Python, such as a timestamp that is infinite, where it is asked for.
    """
    missing = {"running": handle.lease_seconds is None, "done": not handle.history}
    if missing.get(status, False):
        option = "history=days(7)" if status == "done" else "lease=seconds(60)"
        raise ClientError(f"{handle} keeps no jobs that are {status}", hint=f"Declare it with {option}.")
    if size < 1:
        raise ValueError(f"size is not a positive number: {size}")
    return _pieces(connection, handle, status, form, size)


def _pieces(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: Status, form: Form, size: int
) -> Iterator[Any]:
    table = sql.Identifier(handle.schema, f"{handle.table}{_TABLES[status]}")
    name = sql.Identifier(f"pgbgw stream {status}")
    fetch = sql.SQL("FETCH {} FROM {}").format(size, name)
    try:
        with connection.transaction(), connection.cursor(binary=True) as cursor:
            # by the index, which begins with the priority in the table of jobs that may run
            order = sql.SQL("priority, id" if status == "ready" else "id")
            query = sql.SQL("DECLARE {} NO SCROLL CURSOR FOR SELECT * FROM {} ORDER BY {}").format(name, table, order)
            connection.execute(query)
            while True:
                cursor.execute(fetch)
                if cursor.rowcount == 0:
                    return
                yield _made(handle, form, cursor.pgresult)
    except psycopg.Error as error:
        raise explained(error, handle.extension, f"{handle}") from error


def _made(handle: Handle[Any], form: Form, result: Any) -> Any:
    layout = layout_of(handle, result)
    if form == "jobs":
        return [Job(handle, row) for row in _core.result_jobs(result, layout)]
    return _core.result_tuples(result, layout) if form == "tuples" else _core.result_columns(result, layout)
