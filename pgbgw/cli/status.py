"""``pgbgw status``: what the project's cluster, or another server, is doing."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pgbgw.check import Target
from pgbgw.cli import options, steps, terminal
from pgbgw.cli.project import Project
from pgbgw.lower import lower
from pgbgw.observe import Process, Snapshot, Subject, observe
from pgbgw.server import Cluster, open_project
from pgbgw.server.load import connect

__all__ = ["status"]


@click.command(
    short_help="Show workers, queues, state and settings.",
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
    _print(_cluster(cluster), _project_snapshots(cluster), as_json)


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


def _project_snapshots(cluster: Cluster | None) -> list[Snapshot]:
    if cluster is None or cluster.status().state != "running":
        return []
    found = []
    for record in Project(Path.cwd()).records.values():
        for database in record.databases:
            with connect(cluster.conninfo(database)) as connection:
                found.append(observe(connection, record.subject))
    return found


def _print(cluster: dict[str, Any] | None, snapshots: list[Snapshot], as_json: bool) -> None:
    if as_json:
        terminal.json_result({"cluster": cluster, "extensions": [_json(each) for each in snapshots]})
        return
    on = terminal.console()
    if cluster is not None:
        on.print(_cluster_line(cluster))
    for snapshot in snapshots:
        _print_one(snapshot)


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
    if snapshot.queues:
        on.print()
        counts = [(each.name, each.ready, each.later, each.failed) for each in snapshot.queues]
        terminal.table(["queue", "ready", "later", "failed"], counts)
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


def _row(each: Process) -> tuple[object, ...]:
    return (each.worker, each.title, each.process, each.pid, each.database, each.state, _age(each), each.failures)


def _age(each: Process) -> str:
    """How long it has been in its state, in one unit; the clocks of two machines may differ, so never below zero."""
    if each.since is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - each.since).total_seconds()))
    size, unit = next((size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0, "s"))
                      if seconds >= size)  # fmt: skip
    return f"{seconds // size if size else 0} {unit}"


def _json(snapshot: Snapshot) -> dict[str, Any]:
    return asdict(snapshot) | {"states": [{"name": state.name, **dict(state.values)} for state in snapshot.states]}
