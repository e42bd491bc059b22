"""``pgbgw status``: what the project's cluster, or another server, is doing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg

from pgbgw.check import Target
from pgbgw.cli import options, steps, terminal, times
from pgbgw.cli.prepare import has_database
from pgbgw.cli.project import Project, Record
from pgbgw.cli.schedules import one_line, print_schedules, record, until
from pgbgw.cli.steered import typed
from pgbgw.lower import lower
from pgbgw.observe import Process, QueueCounts, Snapshot, Subject, TableSummary, observe
from pgbgw.server import Cluster, open_project
from pgbgw.server.load import LoadError, connect

__all__ = ["status"]

_BAD = {"failed": "failed", "lost": "was lost with its process"}


@click.command(
    short_help="Show workers, queues, schedules, state and settings.",
    epilog=options.examples(
        "pgbgw status",
        "pgbgw status --json | jq '.extensions[].queues'",
        "pgbgw status shop.py --dsn postgresql://db.example/shopdb",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--dsn", metavar="DSN", help="Look at this server, for the extension that FILE declares.")
@options.json_option
def status(file: Path | None, dsn: str | None, as_json: bool) -> None:
    """Show the project's cluster and the extensions that pgbgw run has put there; with --dsn, those of any server.

    Exits 0 also where the cluster is stopped: see "cluster" of --json.
    """
    if dsn is None and file is not None:
        raise click.UsageError("FILE goes with --dsn; the project's own cluster knows its extensions")
    if dsn is not None:
        module = lower(steps.checked(file or steps.the_declaration(Path.cwd()), Target(max_worker_processes=262143)))
        with connect(dsn) as connection:
            snapshots = [observe(connection, Subject.of(module))]
        _print(None, snapshots, as_json)
        return
    cluster = open_project(Path.cwd())
    found = _cluster(cluster)
    if not as_json:
        terminal.console().print(_cluster_line(found))
    _print(found, _project_snapshots(cluster), as_json)


@dataclass(frozen=True, slots=True)
class _Unseen:
    """An extension of the project that could not be looked at, and why."""

    extension: str
    database: str
    error: str


def _cluster(cluster: Cluster | None) -> dict[str, Any]:
    if cluster is None:
        return {"state": "none", "pid": None, "directory": None, "server": None, "conninfo": None}
    found = cluster.status()
    return {
        "state": found.state,
        "pid": found.pid,
        "directory": str(cluster.directory),
        "server": cluster.pg.version,
        "conninfo": cluster.conninfo(),
    }


def _project_snapshots(cluster: Cluster | None) -> list[Snapshot | _Unseen]:
    if cluster is None or cluster.status().state != "running":
        return []
    return [
        _look(cluster, record, database)
        for record in Project(Path.cwd()).records.values()
        for database in record.serves
    ]


def _look(cluster: Cluster, record: Record, database: str) -> Snapshot | _Unseen:
    """One that can't be looked at does not keep the others from being shown."""
    name = record.subject.extension
    try:
        if not has_database(cluster, database):
            wanted = f"{terminal.program()} run {shlex.quote(record.declaration)}"
            return _Unseen(name, database, f'database "{database}" does not exist; {wanted} makes it')
        with connect(cluster.conninfo(database)) as connection:
            return observe(connection, record.subject)
    except LoadError as error:
        return _Unseen(name, database, f"{error.message}: {error.detail}")
    except psycopg.Error as error:
        return _Unseen(name, database, " ".join(str(error).split()))


def _print(cluster: dict[str, Any] | None, found: Sequence[Snapshot | _Unseen], as_json: bool) -> None:
    if as_json:
        terminal.json_result({"cluster": cluster, "extensions": [_json(each) for each in found]})
        return
    for each in found:
        if isinstance(each, _Unseen):
            text = f'\nextension "{each.extension}" in database "{each.database}": {each.error}'
            terminal.console().print(terminal.printable(text, lines=True))
        else:
            _print_one(each)


def _cluster_line(cluster: dict[str, Any]) -> str:
    if cluster["state"] == "none":
        return "there is no cluster here; pgbgw run FILE makes one"
    pid = f", process {cluster['pid']}" if cluster["pid"] else ""
    return f"cluster: {cluster['state']}{pid}, {cluster['server']}, in {cluster['directory']}"


def _print_one(snapshot: Snapshot) -> None:
    on = terminal.console()
    version = f"{snapshot.version}" if snapshot.version is not None else "not installed"
    on.print(f'\nextension "{snapshot.extension}" in database "{snapshot.database}": {version}')
    if snapshot.version is not None and not snapshot.preloaded:
        terminal.warning("the library is not preloaded, so no worker runs")
    if snapshot.processes:
        on.print()
        columns = ["worker", "shown as", "process", "pid", "database", "state", "for", "failures"]
        terminal.table(columns, [_row(each) for each in snapshot.processes])
        for worker, reason in {each.worker: each.claims for each in snapshot.processes}.items():
            if reason not in (None, "direct"):
                terminal.warning(f'worker "{worker}" claims jobs by a statement, which is slower: {reason}')
    if snapshot.queues:
        on.print()
        leased = any(each.running is not None for each in snapshot.queues)
        statuses = ["ready", "later", *(["running"] if leased else []), "failed"]
        counts = [
            (each.name, *(_about(each, status) for status in statuses), "paused" if each.paused else None)
            for each in snapshot.queues
        ]
        paused = any(each.paused for each in snapshot.queues)
        columns = ["queue", *statuses, *([""] if paused else [])]
        terminal.table(columns, [row[: len(columns)] for row in counts])
    if snapshot.schedules:
        on.print()
        print_schedules([(each.name, None, each) for each in snapshot.schedules], snapshot.at)
        for each in snapshot.schedules:
            if each.outcome in ("failed", "lost"):
                more = f"{terminal.program()} schedules runs {snapshot.extension}.{each.name} tells more"
                terminal.warning(f'the last run of schedule "{each.name}" {_BAD[each.outcome]}; {more}')
    if snapshot.tables:
        on.print()
        _print_tables(snapshot)
    for state in snapshot.states:
        on.print()
        terminal.table(["state", state.name], state.values)
    if snapshot.settings:
        on.print()
        rows = [
            (each.name, each.value, f"{each.source}{', restart pending' if each.pending_restart else ''}")
            for each in snapshot.settings
        ]
        terminal.table(["setting", "value", "source"], rows)


def _print_tables(snapshot: Snapshot) -> None:
    """Tables of schedules, a line each, and what failed in them."""
    rows = [
        (each.name, each.schedules, each.paused, *_next(each, snapshot.at), each.running, each.waiting, each.failed)
        for each in snapshot.tables
    ]
    columns = ["schedule table", "schedules", "paused", "next run", "in", "of", "running", "waiting", "failed in 24 h"]
    terminal.table(columns, rows)
    for each in snapshot.tables:
        last = each.last_failure
        if last is None:
            continue
        which = f'"{last.name}" of {last.owner}' if last.name is not None else "a schedule that was removed"
        error = f": {one_line(last.error)}" if last.error is not None else ""
        terminal.warning(terminal.printable(
            f'{each.failed} run{"" if each.failed == 1 else "s"} of schedule table "{each.name}" failed within a day;'
            f" the last one, of {which}, {_BAD[last.outcome]} {times.since(snapshot.at - last.ended_at)} ago{error}"
        ))  # fmt: skip
        if last.name is not None:
            full = typed(f"{snapshot.extension}.{each.name}.{last.name}", last.owner if each.owners > 1 else None)
            terminal.note(terminal.printable(f"  {terminal.program()} schedules runs {full} tells more"))


def _next(each: TableSummary, now: datetime) -> tuple[object, object, object]:
    """When which schedule is due next."""
    if each.next is None:
        return None, None, None
    due = each.next.next_run
    return times.at(due, now), until(due, now), terminal.printable(each.next.name)


def _about(each: QueueCounts, status: str) -> object:
    """How many jobs it has of a status."""
    number = getattr(each, status)
    return f"about {number}" if status in each.estimated else number


def _row(each: Process) -> tuple[object, ...]:
    return (each.worker, each.title, each.process, each.pid, each.database, each.state, _age(each), each.failures)


def _age(each: Process) -> str:
    """How long it has been in its state."""
    if each.since is None:
        return ""
    return times.since(datetime.now(UTC) - each.since)


def _json(found: Snapshot | _Unseen) -> dict[str, Any]:
    if isinstance(found, _Unseen):
        return asdict(found)
    states = [{"name": state.name, "values": dict(state.values)} for state in found.states]
    schedules = [record(each) for each in found.schedules]
    tables = [_table_record(each) for each in found.tables]
    return {**asdict(found), "at": found.at.isoformat(), "schedules": schedules,
            "tables": tables, "states": states, "error": None}  # fmt: skip


def _table_record(each: TableSummary) -> dict[str, Any]:
    values = asdict(each)
    for part, when in (("next", "next_run"), ("last_failure", "ended_at")):
        if values[part] is not None:
            values[part][when] = values[part][when].isoformat()
    return values
