"""Loading into a running server, through SQL only: create the extension, and see its workers run, or say why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from pgbgw.ir.model import ModuleIR
from pgbgw.observe import Process, Subject, processes
from pgbgw.server.obstacles import PLAIN, Commands, LoadError, Reason, not_preloaded, refused, served, standing_still
from pgbgw.sqltext import quote_ident

__all__ = ["Commands", "LoadError", "Loaded", "Reason", "connect", "load", "refused"]

_POLL_SECONDS = 0.05

# A worker whose first rounds fail may find its feet as soon as what it waits for is committed.
_GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What ``load`` left: ``created`` tells whether the extension was new to the database.

    ``processes`` are all that run, ``elsewhere`` those of them that wait for the extension in another database.
    ``warnings`` are the server's own words.
    """

    extension: str
    version: str
    database: str
    created: bool
    processes: tuple[Process, ...]
    elsewhere: tuple[Process, ...]
    warnings: tuple[str, ...]


def connect(dsn: str) -> psycopg.Connection[Any]:
    """An autocommitting connection.

    Raises:
        LoadError: it could not be made; the detail has libpq's words.
    """
    try:
        return psycopg.connect(dsn, autocommit=True, application_name="pgbgw")
    except psycopg.ProgrammingError as error:
        raise LoadError(
            "refused",
            "the connection string is not valid",
            detail=f"{str(error).strip()}.",
            hint="Write it as postgresql://user@host:port/database, or as host=... dbname=...",
        ) from error
    except psycopg.OperationalError as error:
        raise LoadError(
            "refused",
            "could not connect to the server",
            detail=f"{str(error).strip()}",
            hint="Check host, port, role and database; psql takes the same connection string.",
        ) from error


def load(
    connection: psycopg.Connection[Any],
    module: ModuleIR,
    *,
    timeout: float = 30.0,
    progress: Callable[[str], None] | None = None,
    commands: Commands = PLAIN,
) -> Loaded:
    """Create the extension in the connection's database if it is not there, and wait until its workers run.

    A worker runs when each of its processes has published its pid and is not kept from working by errors. ``timeout``
    is in seconds; ``progress`` is called with a line of text when what is waited for changes; ``commands`` are for the
    hints. The connection must autocommit, since workers see only what is committed.

    Raises:
        LoadError: nothing was created because something is missing, or the workers do not run; the hint says what to
            type.
    """
    if not connection.autocommit:
        raise ValueError("load() needs a connection that autocommits")
    subject = Subject.of(module)
    warnings: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING" and diagnostic.message_primary:
            warnings.append(diagnostic.message_primary)

    connection.add_notice_handler(note)
    try:
        _check_installed(connection, module)
        problem = not_preloaded(connection, module.name)
        if problem is not None:
            raise problem
        _check_database(connection, module)
        created = _create(connection, module)
        running = _await(connection, module, subject, timeout, progress, commands)
    except psycopg.errors.UndefinedFunction as error:
        raise _stale(error, module) from error
    except psycopg.Error as error:
        raise refused(error, f'the server refused to load extension "{module.name}"') from error
    finally:
        connection.remove_notice_handler(note)
    here = connection.info.dbname
    elsewhere = tuple(each for each in running if each.state == "dormant" and each.database != here)
    return Loaded(module.name, module.version, here, created, running, elsewhere, tuple(warnings))


def _check_installed(connection: psycopg.Connection[Any], module: ModuleIR) -> None:
    """Before anything is said of preloading: a server that preloads a missing library does not start."""
    query = "SELECT version FROM pg_catalog.pg_available_extension_versions WHERE name = %s"
    versions = [str(row[0]) for row in connection.execute(query, [module.name])]
    if module.version in versions:
        return
    major = connection.info.server_version // 10000
    there = f"It has version {', '.join(versions)} only." if versions else "Its folders hold no such extension."
    raise LoadError(
        "not installed",
        f'extension "{module.name}" {module.version} is not installed on the server',
        detail=f"{there} The files belong into the folders of the server, PostgreSQL {major}, on its own machine.",
        hint="Type there: pgbgw install FILE --pg-config PG_CONFIG",
    )


def _check_database(connection: psycopg.Connection[Any], module: ModuleIR) -> None:
    row = connection.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone()
    if row is not None and row[0]:
        raise LoadError(
            "standby",
            "the server is a standby",
            detail="It is in recovery, and nothing can be created on it.",
            hint="Load on the primary; the extension comes over, and the standby needs the same files and preload.",
        )
    databases, here = served(connection, module), connection.info.dbname
    if databases and here not in databases:
        named = ", ".join(f'"{name}"' for name in databases)
        settings = [s.name for s in module.settings if s.variable in {d.variable for d in module.databases}]
        other = f", or set {settings[0]} = '{here}' and restart the server" if settings else ""
        raise LoadError(
            "database",
            f'no worker of "{module.name}" serves database "{here}"',
            detail=f"The workers connect to {named}.",
            hint=f"Load there{other}.",
        )


def _create(connection: psycopg.Connection[Any], module: ModuleIR) -> bool:
    query = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = %s"
    row = connection.execute(query, [module.name]).fetchone()
    if row is None:
        statement = f"CREATE EXTENSION {quote_ident(module.name)} VERSION {quote_ident(module.version)}"
        connection.execute(statement.encode())
        return True
    if row[0] != module.version:
        raise LoadError(
            "version",
            f'extension "{module.name}" has version {row[0]} in database "{connection.info.dbname}"',
            detail=f"The declaration has version {module.version}.",
            hint=f"Update it with ALTER EXTENSION {quote_ident(module.name)} UPDATE where there is an update script, "
            f"or drop it, with the jobs that it holds, and load again.",
        )
    return False


def _await(
    connection: psycopg.Connection[Any],
    module: ModuleIR,
    subject: Subject,
    timeout: float,
    progress: Callable[[str], None] | None,
    commands: Commands,
) -> tuple[Process, ...]:
    here = connection.info.dbname
    started = time.monotonic()
    failing_since: float | None = None
    told = ""
    while True:
        rows = [each for each in processes(connection, subject) if each.worker not in subject.dynamic]
        missing = [each for each in rows if not _runs(each, here)]
        if not missing:
            return tuple(rows)
        now = time.monotonic()
        only_failing = all(_fails(each) for each in missing)
        failing_since = (failing_since or now) if only_failing else None
        if now - started >= timeout or (failing_since is not None and now - failing_since >= _GRACE_SECONDS):
            raise standing_still(connection, module, missing, timeout, commands)
        told = _tell(missing, told, progress)
        time.sleep(_POLL_SECONDS)


def _runs(process: Process, here: str) -> bool:
    """A worker of another database is dormant until the extension is created there, which is not our business."""
    if process.pid is None or _fails(process):
        return False
    return process.state != "dormant" or process.database != here


def _fails(process: Process) -> bool:
    """Whether its last round failed; while it tries again it is working, which proves nothing yet."""
    return process.state == "backing off" or (process.state in ("working", "idle") and process.failures > 0)


def _tell(missing: Sequence[Process], told: str, progress: Callable[[str], None] | None) -> str:
    text = "waiting for " + ", ".join(f"{each.title} {each.process} ({each.state})" for each in missing)
    if progress is not None and text != told:
        progress(text)
    return text


def _stale(error: psycopg.Error, module: ModuleIR) -> LoadError:
    return LoadError(
        "refused",
        f'the server runs another build of "{module.name}"',
        detail=f"{error.diag.message_primary}.",
        hint="A preloaded library stays as it was when the server started: restart the server, and load again.",
    )
