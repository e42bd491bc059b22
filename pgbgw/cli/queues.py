"""What the verbs share that work on queues: where the server is, and which queue is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg

from pgbgw.cli.project import Project
from pgbgw.client import Handle, catalog
from pgbgw.server import open_project
from pgbgw.server.load import connect

__all__ = ["dsn_option", "opened", "queue_argument", "status_option", "the_dsn"]

F = TypeVar("F", bound=Callable[..., Any])


def dsn_option(function: F) -> F:
    """--dsn."""
    return click.option(
        "--dsn",
        metavar="DSN",
        help="The database, as libpq takes it; else that of pgbgw run in this folder, or what PGHOST and its like say.",
    )(function)


def queue_argument(function: F) -> F:
    """QUEUE, by name."""
    return click.argument("queue", metavar="QUEUE")(function)


def status_option(function: F) -> F:
    """--status."""
    return click.option(
        "--status",
        type=click.Choice(["ready", "later", "running", "failed", "done"]),
        help="Jobs of this status only.",
    )(function)


def the_dsn(given: str | None) -> str:
    """The connection string that is meant."""
    if given is not None:
        return given
    cluster = open_project(Path.cwd())
    if cluster is None or cluster.status().state != "running":
        return ""
    latest = Project(Path.cwd()).latest
    return cluster.conninfo(next(iter(latest.serves if latest else ()), "postgres"))


def opened(dsn: str | None, queue: str) -> tuple[psycopg.Connection[Any], Handle[Any]]:
    """A connection in autocommit, and the queue of a name.

    Raises:
        LoadError: it could not be made.
        QueueMissing: there is no such queue.
    """
    connection = connect(the_dsn(dsn))
    try:
        return connection, catalog.find(connection, queue)
    except BaseException:
        connection.close()
        raise
