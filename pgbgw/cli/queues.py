"""What the verbs share that work on queues: where the server is, which queue is meant, and how jobs are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg

from pgbgw.cli.project import Project
from pgbgw.client import Handle, catalog
from pgbgw.server import open_project
from pgbgw.server.load import connect

__all__ = ["as_json_value", "dsn_option", "opened", "queue_argument", "shown", "status_option", "the_dsn"]

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


def as_json_value(value: Any) -> Any:
    """A value of a column, as JSON has it: bytes in hexadecimal, as PostgreSQL prints them."""
    return f"\\x{bytes(value).hex()}" if isinstance(value, bytes | bytearray | memoryview) else value


def shown(value: Any) -> str:
    """A value in a cell of a table, on one line."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(as_json_value(value), default=str, ensure_ascii=False)
    text = " ".join(text.strip('"').split())
    return text if len(text) <= 60 else f"{text[:57]}..."
