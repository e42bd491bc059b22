"""``pgbgw jobs``: looking at the jobs of a queue, and after them."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import click
import psycopg
from psycopg import sql

from pgbgw.cli import options, terminal
from pgbgw.cli.queues import as_json_value, dsn_option, opened, queue_argument, shown
from pgbgw.client import ClientError, Handle, operations, run

__all__ = ["jobs"]

_STATUSES = click.Choice(["ready", "later", "running", "failed", "done"])

# How many rows are read and written between two looks at the progress.
_ROWS = 1000


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
@click.option("--status", type=_STATUSES, help="Jobs of this status only.")
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
    terminal.table([names[n] for n in kept], [[shown(row[n]) for n in kept] for row in rows])
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
            text = (
                value if isinstance(value, str) else json.dumps(as_json_value(value), default=str, ensure_ascii=False)
            )
            terminal.console().print(f"{name}: {text}" if "\n" not in text else f"{name}:\n{text}")


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
    with connection:
        _told(as_json, "retried", run(connection, operations.retry(handle, ids or None)))


@jobs.command(short_help="Remove jobs.")
@queue_argument
@click.argument("ids", type=int, nargs=-1, required=True)
@dsn_option
@options.json_option
def cancel(queue: str, ids: tuple[int, ...], dsn: str | None, as_json: bool) -> None:
    """Remove jobs from QUEUE, unless a worker has them in hand; whoever leased one can't acknowledge it any more."""
    connection, handle = opened(dsn, queue)
    with connection:
        _told(as_json, "cancelled", sum(run(connection, operations.cancel(handle, each)) for each in ids))


@jobs.command(short_help="Remove jobs that were given up.")
@queue_argument
@click.option("--days", type=click.FloatRange(0), required=True, help="Those that were given up so long ago.")
@dsn_option
@options.json_option
def purge(queue: str, days: float, dsn: str | None, as_json: bool) -> None:
    """Remove jobs from QUEUE that were given up so many days ago."""
    connection, handle = opened(dsn, queue)
    with connection:
        _told(as_json, "purged", run(connection, operations.purge(handle, timedelta(days=days))))


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
    with connection:
        found = run(connection, operations.counts(handle))
    if as_json:
        terminal.json_result(found)
    else:
        terminal.table(["status", "jobs"], list(found.items()))


@jobs.command(short_help="Write jobs into a file.")
@queue_argument
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Where to; its ending says the format. Without it, to standard output.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["csv", "ndjson", "parquet"]),
              help="The format, unless the ending of FILE says it; parquet needs pyarrow.")  # fmt: skip
@click.option("--status", type=_STATUSES, help="Jobs of this status only.")
@dsn_option
@options.json_option
def export(
    queue: str, target: Path | None, form: str | None, status: str | None, dsn: str | None, as_json: bool
) -> None:
    """Write jobs of QUEUE into a file, one a line; a file that exists is replaced once all is written."""
    form = form or (target.suffix.removeprefix(".") if target is not None else "ndjson")
    if form not in ("csv", "ndjson", "parquet"):
        raise click.UsageError(f"--to ends in none of .csv, .ndjson and .parquet: {target}; say --format")
    if form == "parquet" and target is None:
        raise click.UsageError("parquet goes into a file: give --to")
    if as_json and target is None:
        raise click.UsageError("--json goes with --to: the jobs themselves go to standard output")
    connection, handle = opened(dsn, queue)
    with connection, connection.transaction():
        names, batches = _stream(connection, handle, _where(status))
        count = _export(names, batches, target, form)
    if target is not None:
        _told(as_json, "exported", count)


def _where(status: str | None) -> sql.Composable:
    return sql.SQL("WHERE status = {}").format(status) if status is not None else sql.SQL("")


def _select(handle: Handle[Any], where: sql.Composable) -> sql.Composed:
    return sql.SQL("SELECT * FROM {} {} ORDER BY id").format(sql.Identifier(handle.schema, handle.view), where)


def _read(
    connection: psycopg.Connection[Any], handle: Handle[Any], where: sql.Composable, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = connection.execute(_select(handle, where) + sql.SQL(" LIMIT {}").format(limit))
    return [column.name for column in cursor.description or ()], cursor.fetchall()


def _stream(
    connection: psycopg.Connection[Any], handle: Handle[Any], where: sql.Composable
) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
    """The names of the columns, and all rows in pieces, by a cursor of the server's."""
    cursor = connection.cursor("export")
    cursor.execute(_select(handle, where))
    return [column.name for column in cursor.description or ()], _pieces(cursor)


def _pieces(cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(_ROWS):
        yield rows


def _export(names: Sequence[str], batches: Iterator[list[tuple[Any, ...]]], target: Path | None, form: str) -> int:
    if target is None:
        return _lines(names, batches, sys.stdout, form)
    part = target.with_name(f"{target.name}.part")
    try:
        if form == "parquet":
            count = _parquet(names, batches, part)
        else:
            with part.open("w", encoding="utf-8", newline="") as stream:
                count = _lines(names, batches, stream, form)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return count


def _lines(names: Sequence[str], batches: Iterator[list[tuple[Any, ...]]], stream: TextIO, form: str) -> int:
    count = 0
    writer = csv.writer(stream, lineterminator="\n")
    if form == "csv":
        writer.writerow(names)
    with terminal.steps() as step:
        for rows in batches:
            for row in rows:
                if form == "csv":
                    writer.writerow([_cell(value) for value in row])
                else:
                    stream.write(json.dumps(_record(names, row), default=str, ensure_ascii=False) + "\n")
            count += len(rows)
            step.tell(f"{count} jobs")
    return count


def _cell(value: Any) -> Any:
    """A value in CSV: JSON where it has parts."""
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    return as_json_value(value)


def _parquet(names: Sequence[str], batches: Iterator[list[tuple[Any, ...]]], target: Path) -> int:
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ClientError("parquet needs pyarrow, which is not installed", hint="pip install pyarrow") from error
    rows = [row for batch in batches for row in batch]
    columns = {
        name: [json.dumps(v, default=str) if isinstance(v, dict | list) else v for v in (row[n] for row in rows)]
        for n, name in enumerate(names)
    }
    parquet.write_table(pyarrow.table(columns), target)
    return len(rows)


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
