"""What ``pgbgw run`` does to the databases of the project's cluster while no worker runs there.

Each function leaves a database as it was or as it shall be, and can be repeated.
"""

from __future__ import annotations

from typing import Any

import psycopg

from pgbgw.cli.project import Done
from pgbgw.ir.model import ModuleIR
from pgbgw.server import Cluster, ServerError
from pgbgw.server.load import LoadError, connect, refused
from pgbgw.server.setup import digest
from pgbgw.sqltext import quote_ident

__all__ = ["create_database", "drop_changed", "has_database", "refuse_loss"]


def has_database(cluster: Cluster, name: str) -> bool:
    """Whether a database is there.

    Raises:
        ServerError: the server refused.
    """
    with _anywhere(cluster) as connection:
        return _knows(connection, name)


def create_database(cluster: Cluster, name: str) -> bool:
    """Make a database unless it is there; whether it was made.

    Raises:
        ServerError: the server refused.
    """
    with _anywhere(cluster) as connection:
        if _knows(connection, name):
            return False
        try:
            connection.execute(f"CREATE DATABASE {quote_ident(name)}".encode())
        except psycopg.Error as error:
            raise refused(error, f'could not create database "{name}"') from error
    return True


def refuse_loss(cluster: Cluster, database: str, module: ModuleIR, done: Done, script: str) -> None:
    """What ``drop_changed`` would say of jobs, asked while nothing has been touched yet.

    Raises:
        ServerError: the extension has changed, and it holds jobs.
    """
    with connect(cluster.conninfo(database)) as connection:
        if _changed(cluster, connection, module, done, script):
            _refuse_jobs(connection, module)


def drop_changed(cluster: Cluster, database: str, module: ModuleIR, done: Done, script: str, *, reset: bool) -> bool:
    """Drop the extension if another script made it than ``script``; whether it was dropped.

    Jobs are lost only with ``reset``, and so is what others have built on the extension's objects.

    Raises:
        ServerError: it holds jobs, or other objects need it.
    """
    with connect(cluster.conninfo(database)) as connection:
        if _version(connection, module.name) is None:
            return False
        if not reset:
            if not _changed(cluster, connection, module, done, script):
                return False
            _refuse_jobs(connection, module)
        try:
            connection.execute(f"DROP EXTENSION {quote_ident(module.name)}{' CASCADE' if reset else ''}".encode())
        except psycopg.errors.DependentObjectsStillExist as error:
            raise ServerError(
                f'extension "{module.name}" has changed, and other objects need it',
                detail=f"{error.diag.message_detail}.",
                hint="Drop them, or add --reset to drop them with it.",
            ) from error
        except psycopg.Error as error:
            raise refused(error, f'could not drop extension "{module.name}"') from error
    return True


def _changed(cluster: Cluster, connection: psycopg.Connection[Any], module: ModuleIR, done: Done, script: str) -> bool:
    """Whether the extension is there, and not as ``script`` makes it.

    Without a record of what made it, the script that is installed now is the one that CREATE EXTENSION had.
    """
    version = _version(connection, module.name)
    if version is None:
        return False
    if version != module.version:
        return True
    if done.script is not None:
        return done.script != script
    installed = cluster.extension_dir() / "share" / "extension" / f"{module.name}--{module.version}.sql"
    return installed.is_file() and digest(installed.read_bytes()) != script


def _refuse_jobs(connection: psycopg.Connection[Any], module: ModuleIR) -> None:
    held = _held(connection, module)
    if held:
        raise ServerError(
            f'extension "{module.name}" has changed, and its queues hold jobs',
            detail=f"To change it, it is dropped and created anew; jobs are in {', '.join(held)}.",
            hint="Add --reset to lose them, or undo the change and let the workers finish.",
        )


def _version(connection: psycopg.Connection[Any], extension: str) -> str | None:
    query = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = %s"
    row = connection.execute(query, [extension]).fetchone()
    return None if row is None else str(row[0])


def _anywhere(cluster: Cluster) -> psycopg.Connection[Any]:
    """A connection to whatever database is there: somebody may have dropped "postgres"."""
    try:
        return connect(cluster.conninfo())
    except LoadError:
        return connect(cluster.conninfo("template1"))


def _knows(connection: psycopg.Connection[Any], name: str) -> bool:
    query = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s"
    return connection.execute(query, [name]).fetchone() is not None


def _held(connection: psycopg.Connection[Any], module: ModuleIR) -> list[str]:
    """Tables of the extension's queues with rows in them: those that pg_dump is told to keep, but for its own mark."""
    query = (
        "SELECT c.oid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_extension e,"
        " pg_catalog.unnest(e.extconfig) AS t, pg_catalog.pg_class c"
        " WHERE e.extname = %s AND c.oid = t AND c.relkind = 'r' AND c.relname <> %s ORDER BY 1"
    )
    tables = [str(row[0]) for row in connection.execute(query, [module.name, module.copies_name])]
    counts = [(table, connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()) for table in tables]
    return [f"{table} ({row[0]})" for table, row in counts if row is not None and row[0]]
