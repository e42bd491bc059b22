"""``pgbgw jobs``: looking at the jobs of a queue, and after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from textwrap import indent
from typing import Any

import click
import psycopg
from psycopg import sql

from pgbgw.cli import options, terminal, times
from pgbgw.cli.export import export
from pgbgw.cli.queues import dsn_option, opened, queue_argument, status_option
from pgbgw.cli.values import as_json_value, cell, lenient, whole
from pgbgw.client import ClientError, Handle, operations, run
from pgbgw.observe.counts import recounted

__all__ = ["jobs"]

# Of these a job has one: a terminal shows how long it is until then, or since.
_TIMES = ("run_at", "lease_end", "failed_at", "done_at")

# Columns that are narrow, and of no use when they are cut; the last are left out first where a terminal is too narrow.
_NARROW = ("id", "status", "when", "attempts", "priority", "sqlstate")
_LEFT_OUT = ("sqlstate", "priority", "attempts")

# Text that is cut is of use from this width on.
_READABLE = 12


@click.group(
    short_help="Look at jobs: list, show, retry, cancel, purge, export, and more.",
    epilog=options.examples(
        "pgbgw jobs list mail --status failed",
        "pgbgw jobs show mail 17",
        "pgbgw jobs retry mail 17 18",
        "pgbgw jobs export mail --status done --to done.csv",
    ),
)
def jobs() -> None:
    """Look at the jobs of a queue, and after them."""


@jobs.command("list", short_help="Show jobs, oldest first.")
@queue_argument
@status_option
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@dsn_option
@options.json_option
def list_jobs(queue: str, status: str | None, limit: int, dsn: str | None, as_json: bool) -> None:
    """Show jobs of QUEUE, oldest first."""
    connection, handle = opened(dsn, queue)
    with connection:
        names, rows = _read(connection, handle, _where(status), limit)
    if as_json:
        terminal.json_result([_record(names, row) for row in rows])
        return
    kept = [
        n
        for n, name in enumerate(names)
        if name not in ("context", "created_at") and any(row[n] is not None for row in rows)
    ]
    columns = [names[n] for n in kept]
    values = [[row[n] for n in kept] for row in rows]
    width = terminal.console().width if terminal.console().is_terminal else None
    left_out: list[str] = []
    if width is not None:
        columns, values = _with_one_time(columns, values, datetime.now(UTC))
        left_out = _left_out(columns, values, width)
    kept = [n for n, name in enumerate(columns) if name not in left_out]
    columns = [columns[n] for n in kept]
    cut = [name for name in columns if name not in _NARROW]
    terminal.table(columns, [[cell(row[n]) for n in kept] for row in values], cut=cut)
    if left_out:
        terminal.note(f"left out: {', '.join(left_out)}; {terminal.program()} jobs show {queue} ID has all")
    if len(rows) == limit:
        terminal.note(f"the first {limit}; --limit shows more")


@jobs.command(short_help="Show all of one job.")
@queue_argument
@click.argument("id", type=int)
@dsn_option
@options.json_option
def show(queue: str, id: int, dsn: str | None, as_json: bool) -> None:
    """Show all of job ID of QUEUE: its payload, its status, and the error of its last attempt."""
    connection, handle = opened(dsn, queue)
    with connection:
        names, rows = _read(connection, handle, sql.SQL("WHERE id = {}").format(id), 1)
    if not rows:
        raise ClientError(f"there is no job {id} in {handle}", hint="Jobs that are done are gone, without history=.")
    if as_json:
        terminal.json_result(_record(names, rows[0]))
        return
    for name, value in zip(names, rows[0], strict=True):
        if value is not None:
            # indented, so that no line of a value looks like another column
            text = whole(value)
            terminal.console().print(f"{name}: {text}" if "\n" not in text else f"{name}:\n{indent(text, '  ')}")


@jobs.command(short_help="Run jobs now that were given up, or wait.")
@queue_argument
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were given up.")
@dsn_option
@options.json_option
def retry(queue: str, ids: tuple[int, ...], everything: bool, dsn: str | None, as_json: bool) -> None:
    """Run jobs of QUEUE now that were given up, with attempts counted anew, or that wait for their time."""
    if bool(ids) == everything:
        raise click.UsageError("give ids of jobs, or --all")
    connection, handle = opened(dsn, queue)
    with connection, terminal.working("retrying"):
        count = run(connection, operations.retry(handle, ids or None))
    _told(as_json, "retried", count)


@jobs.command(short_help="Remove jobs.")
@queue_argument
@click.argument("ids", type=int, nargs=-1, required=True)
@dsn_option
@options.json_option
def cancel(queue: str, ids: tuple[int, ...], dsn: str | None, as_json: bool) -> None:
    """Remove jobs from QUEUE, unless a worker has them in hand; whoever leased one can't acknowledge it any more."""
    connection, handle = opened(dsn, queue)
    with connection, terminal.working("cancelling"):
        count = sum(run(connection, operations.cancel(handle, each)) for each in ids)
    _told(as_json, "cancelled", count)


@jobs.command(short_help="Remove jobs that were given up.")
@queue_argument
@click.option("--days", type=options.Span(days=True), required=True, help="Those that were given up so long ago.")
@dsn_option
@options.json_option
def purge(queue: str, days: float, dsn: str | None, as_json: bool) -> None:
    """Remove jobs from QUEUE that were given up so many days ago."""
    connection, handle = opened(dsn, queue)
    with connection, terminal.working("purging"):
        count = run(connection, operations.purge(handle, timedelta(days=days)))
    _told(as_json, "purged", count)


@jobs.command(short_help="Give out no more jobs.")
@queue_argument
@dsn_option
@options.json_option
def pause(queue: str, dsn: str | None, as_json: bool) -> None:
    """Give out no more jobs of QUEUE, to workers or programs, until they are resumed."""
    connection, handle = opened(dsn, queue)
    with connection:
        _told(as_json, "paused", run(connection, operations.pause(handle)))


@jobs.command(short_help="Give out jobs again.")
@queue_argument
@dsn_option
@options.json_option
def resume(queue: str, dsn: str | None, as_json: bool) -> None:
    """Give out jobs of QUEUE again."""
    connection, handle = opened(dsn, queue)
    with connection:
        _told(as_json, "resumed", run(connection, operations.resume(handle)))


@jobs.command(short_help="Count jobs by status.")
@queue_argument
@dsn_option
@options.json_option
def counts(queue: str, dsn: str | None, as_json: bool) -> None:
    """Count the jobs of QUEUE by status, at once also where there are millions; large numbers are about right."""
    connection, handle = opened(dsn, queue)
    view = sql.Identifier(handle.schema, handle.view)
    with connection:
        found = [
            (status, *((jobs, True) if exact else recounted(connection, view, status, jobs)))
            for status, jobs, exact in run(connection, operations.counts_and_exactness(handle))
        ]
    if as_json:
        terminal.json_result({status: number for status, number, _ in found})
    else:
        rows = [(status, number if exact else f"about {number}") for status, number, exact in found]
        terminal.table(["status", "jobs"], rows)


jobs.add_command(export)


def _with_one_time(columns: list[str], rows: list[list[Any]], now: datetime) -> tuple[list[str], list[list[Any]]]:
    """The same with one column in the place of all times."""
    times_at = [n for n, name in enumerate(columns) if name in _TIMES]
    if not times_at:
        return columns, rows
    first, others = times_at[0], set(times_at)

    def merged(values: list[Any], one: Any) -> list[Any]:
        return [one if n == first else each for n, each in enumerate(values) if n == first or n not in others]

    found = [next((row[n] for n in times_at if row[n] is not None), None) for row in rows]
    made = [merged(row, _when(each, now)) for row, each in zip(rows, found, strict=True)]
    return merged(columns, "when"), made


def _when(time: Any, now: datetime) -> Any:
    """How long it is until a time, or since."""
    if not isinstance(time, datetime):
        return time
    return f"in {times.span(time - now)}" if time > now else f"{times.span(now - time)} ago"


def _left_out(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[str]:
    """Columns that a terminal of that width has no room for: of text, the payload's last ones, but never all."""
    widest = {
        name: max([len(name), *(len(cell(row[n])) for row in rows)]) + (0 if n == 0 else 2)
        for n, name in enumerate(columns)
    }
    wanted = {name: size if name in _NARROW else min(size, _READABLE + 2) for name, size in widest.items()}
    payload = [name for name in columns if name not in (*_NARROW, "error")]
    left_out: list[str] = []
    for name in [*_LEFT_OUT, *payload[:0:-1]]:
        if sum(wanted.values()) <= width:
            break
        if wanted.pop(name, None) is not None:
            left_out.append(name)
    return left_out


def _where(status: str | None) -> sql.Composable:
    return sql.SQL("WHERE status = {}").format(status) if status is not None else sql.SQL("")


def _select(handle: Handle[Any], where: sql.Composable) -> sql.Composed:
    return sql.SQL("SELECT * FROM {} {} ORDER BY id").format(sql.Identifier(handle.schema, handle.view), where)


def _read(
    connection: psycopg.Connection[Any], handle: Handle[Any], where: sql.Composable, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = lenient(connection.cursor()).execute(_select(handle, where) + sql.SQL(" LIMIT {}").format(limit))
    return [column.name for column in cursor.description or ()], cursor.fetchall()


def _record(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: as_json_value(value) for name, value in zip(names, row, strict=True) if value is not None}


def _told(as_json: bool, what: str, value: int | bool) -> None:
    if as_json:
        terminal.json_result({what: value})
    elif isinstance(value, bool):
        terminal.console().print(
            what if value else f"it was {what} already" if what == "paused" else "it was not paused"
        )
    else:
        terminal.console().print(f"{value} {what}")
