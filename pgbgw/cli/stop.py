"""``pgbgw stop``: stops the project's cluster."""

from __future__ import annotations

from pathlib import Path

import click

from pgbgw.cli import options, terminal
from pgbgw.server import open_project

__all__ = ["stop"]


@click.command(short_help="Stop the project's cluster.", epilog=options.examples("pgbgw stop"))
def stop() -> None:
    """Stop the cluster that pgbgw run has started here; data and queued jobs are kept.

    Where nothing runs nothing is done, and that is no error.
    """
    cluster = open_project(Path.cwd())
    if cluster is None:
        terminal.console().print("there is no cluster here")
    elif not cluster.status().running:
        terminal.console().print("the cluster is stopped already")
    else:
        with terminal.steps() as step:
            step.tell("stopping the server")
            cluster.stop()
        terminal.console().print("the cluster is stopped")
