"""Reading what lies in a queue: a backlog, what failed, a history, piece by piece."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, TypeAlias, TypeVar, get_args, overload

import psycopg
from psycopg import sql
from psycopg.pq import PipelineStatus, TransactionStatus

from pgbgw import _core
from pgbgw.client.direct import check_free
from pgbgw.client.encoding import AnyConnection, is_utf8, not_utf8
from pgbgw.client.errors import ClientError, explained
from pgbgw.client.handle import Casts, Handle
from pgbgw.client.jobs import Job, layout_of, require_declared
from pgbgw.client.running import casts_of, cursor_of
from pgbgw.client.tap import can_tap, tapped
from pgbgw.client.unwrap import AnySync, is_pool, taken

__all__ = [
    "Form",
    "Status",
    "check_form",
    "made",
    "new_cursor",
    "ordered",
    "require_readable",
    "select",
    "stream",
    "table_of",
]

P = TypeVar("P")

Status: TypeAlias = Literal["ready", "later", "running", "failed", "done"]
"""Which jobs: each status has a table of its own."""

Form: TypeAlias = Literal["jobs", "tuples", "columns"]
"""As objects, as tuples of all columns in the order of the table, or as columns for numpy, Arrow and data frames."""

_ALL = sql.SQL("")

# Cursors of one session need names of their own, and those of a loop that was left may live as long as its transaction.
_numbers = itertools.count(1)

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
        ClientError: the queue has no such table, or it is not for this role, or the connection is in a pipeline or has
            another encoding than UTF-8.
        Mismatch: columns are declared otherwise than they are installed.
        CopyError: a value can't be had in Python, such as a timestamp that is infinite, where it is asked for.
        ValueError: there is no such status or form, or no such size.
    """
    check_form(form)
    select(handle, status, size)
    return _Pieces(connection, _pieces(connection, handle, status, form, size, exclusive))


class _Pieces(Iterator[Any]):
    """Pieces, which are not gone on with while their connection is busy with a COPY of what is made of them.

    The generator is left as it is then: its end would wait for the connection, and the COPY for that.
    """

    def __init__(self, connection: AnySync, pieces: Generator[Any, None, None]) -> None:
        self._connection = connection if isinstance(connection, psycopg.Connection) else None
        self._pieces = pieces

    def __next__(self) -> Any:
        if self._connection is not None:
            check_free(self._connection)
        return next(self._pieces)

    def close(self) -> None:
        """End it."""
        self._pieces.close()


def check_form(form: str) -> None:
    """See that there is a form.

    Raises:
        ValueError: there is none of that name.
    """
    if form not in get_args(Form):
        raise ValueError(f"form is none of {', '.join(get_args(Form))}: {form!r}")


def require_readable(connection: AnyConnection, handle: Handle[Any]) -> None:
    """See that a connection can give rows piece by piece.

    Raises:
        ClientError: it can't, as it is now.
    """
    check_free(connection)
    if not is_utf8(connection):
        raise not_utf8(connection)
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        raise ClientError(
            f"jobs of {handle} can't be read in a pipeline, which has no results before it is synchronized",
            hint="Read them outside the block of connection.pipeline().",
        )


def new_cursor() -> sql.Identifier:
    """A name for a cursor that no other one of the session has."""
    return sql.Identifier(f"pgbgw stream {next(_numbers)}")


def ordered(status: Status) -> tuple[str, ...]:
    """By which columns jobs are read: those of an index, which begins with the priority where jobs may run."""
    return ("priority", "id") if status == "ready" else ("id",)


def table_of(handle: Handle[Any], status: Status) -> str:
    """The table of a status."""
    return f"{handle.table}{_TABLES[status]}"


def select(
    handle: Handle[Any], status: Status, size: int, casts: Casts = (), where: sql.Composable = _ALL
) -> sql.Composed:
    """The statement that reads them all in order, with the columns of the table as they are to be cast.

    Raises:
        ClientError, ValueError: as ``stream`` does.
    """
    if status not in _TABLES:
        raise ValueError(f"status is none of {', '.join(_TABLES)}: {status!r}")
    missing = {"running": handle.lease_seconds is None, "done": not handle.history}
    if missing.get(status, False):
        option = "history=days(7)" if status == "done" else "lease=seconds(60)"
        raise ClientError(f"{handle} keeps no jobs that are {status}", hint=f"Declare it with {option}.")
    if size < 1:
        raise ValueError(f"size is not a positive number: {size}")
    table = sql.Identifier(handle.schema, table_of(handle, status))
    by = sql.SQL(", ").join(map(sql.Identifier, ordered(status)))
    return sql.SQL("SELECT {} FROM {} {} ORDER BY {}").format(_selected(casts), table, where, by)


def _selected(casts: Casts) -> sql.Composable:
    if all(to is None for _, to in casts):
        return sql.SQL("*")
    return sql.SQL(", ").join([
        sql.Identifier(name) if to is None
        else sql.SQL("{}::pg_catalog.{} AS {}").format(sql.Identifier(name), sql.SQL(to), sql.Identifier(name))
        for name, to in casts
    ])  # fmt: skip


def _pieces(
    connection: AnySync, handle: Handle[Any], status: Status, form: Form, size: int, exclusive: bool
) -> Generator[Any, None, None]:
    name = new_cursor()
    fetch = sql.SQL("FETCH {} FROM {}").format(size, name)
    try:
        with _readable(connection, handle) as found, _transaction(found, connection), cursor_of(found) as cursor:
            query = select(handle, status, size, casts_of(found, handle, table_of(handle, status)))
            if (exclusive or is_pool(connection)) and can_tap(found):
                cursor.execute(query + sql.SQL(" LIMIT 0"))
                layout = layout_of(handle, cursor.pgresult)
                require_declared(layout)
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


@contextmanager
def _readable(given: AnySync, handle: Handle[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The connection for a stream."""
    with taken(given) as found:
        require_readable(found, handle)
        yield found


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
    require_declared(layout)
    if form == "jobs":
        return _core.result_jobs(result, layout, Job)
    return _core.result_tuples(result, layout) if form == "tuples" else _core.result_columns(result, layout)
