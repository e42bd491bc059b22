"""``pgbgw connect``: psql on the project's cluster."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pgbgw.cli import options
from pgbgw.cli.project import Project, the_cluster
from pgbgw.server import ServerError

__all__ = ["connect"]


@click.command(
    short_help="Open psql on the project's cluster.",
    epilog=options.examples(
        "pgbgw connect",
        "pgbgw connect shopdb",
        "pgbgw connect -c 'SELECT now()'",
        'python send.py "$(pgbgw connect --show)"',
    ),
)
@click.argument("dbname", required=False)
@click.option("--command", "-c", "commands", multiple=True, metavar="SQL", help="Run SQL and end; may be repeated.")
@click.option("--show", is_flag=True, help="Print the connection string, for programs, and end.")
def connect(dbname: str | None, commands: tuple[str, ...], show: bool) -> None:
    """Open psql on the cluster that pgbgw run has started here, in DBNAME or else in the database of the workers.

    psql takes the place of this command, so its exit code is psql's.
    """
    cluster = the_cluster(running=True)
    latest = Project(Path.cwd()).latest
    database = dbname or next(iter(latest.serves if latest else ()), "postgres")
    if show:
        if commands:
            raise click.UsageError("--show goes without --command")
        click.echo(cluster.conninfo(database))
        return
    command = cluster.psql_command(database)
    for statement in commands:
        command += ["-c", statement]
    try:
        os.execv(command[0], command)
    except OSError as error:
        raise ServerError(f'could not run "{command[0]}"', detail=f"{error}.") from error
