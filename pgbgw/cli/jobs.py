"""``pgbgw jobs``: looking at the jobs of a queue, and after them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click
import psycopg
from psycopg import sql

from pgbgw.cli import options, terminal
from pgbgw.cli.export import export
from pgbgw.cli.queues import as_json_value, dsn_option, opened, queue_argument, shown, status_option
from pgbgw.client import ClientError, Handle, operations, run

__all__ = ["jobs"]


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
@click.option("--days", type=click.FloatRange(0), required=True, help="Those that were given up so long ago.")
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
    with connection:
        found = run(connection, operations.counts(handle))
    if as_json:
        terminal.json_result(found)
    else:
        terminal.table(["status", "jobs"], list(found.items()))


jobs.add_command(export)


def _where(status: str | None) -> sql.Composable:
    return sql.SQL("WHERE status = {}").format(status) if status is not None else sql.SQL("")


def _select(handle: Handle[Any], where: sql.Composable) -> sql.Composed:
    return sql.SQL("SELECT * FROM {} {} ORDER BY id").format(sql.Identifier(handle.schema, handle.view), where)


def _read(
    connection: psycopg.Connection[Any], handle: Handle[Any], where: sql.Composable, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = connection.execute(_select(handle, where) + sql.SQL(" LIMIT {}").format(limit))
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
