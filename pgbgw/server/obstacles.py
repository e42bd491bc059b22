"""Why a worker does not run, found out through SQL alone, and what to type about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import psycopg

from pgbgw.ir.model import ModuleIR, SourceIR, WorkerIR
from pgbgw.observe import Process
from pgbgw.server import preload
from pgbgw.server.errors import ServerError
from pgbgw.server.install import remaining_steps
from pgbgw.sqltext import quote_ident, quote_literal

__all__ = ["PLAIN", "Commands", "LoadError", "Reason", "not_preloaded", "refused", "served", "standing_still"]

Reason: TypeAlias = Literal[
    "refused", "standby", "not installed", "not preloaded", "version", "database", "role", "slots", "failing", "unknown"
]

# Everything that pg_stat_activity.backend_type may say of a process that takes no slot of max_worker_processes
# (GetBackendTypeDesc() in src/backend/utils/init/miscinit.c).
_NO_WORKERS = (
    "archiver", "autovacuum launcher", "autovacuum worker", "background writer", "checkpointer", "client backend",
    "dead-end client backend", "io worker", "logger", "slotsync worker", "standalone backend", "startup", "walreceiver",
    "walsender", "walsummarizer", "walwriter",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Commands:
    """What hints say to type: ``sql`` goes before a quoted statement, ``restart`` is None for pg_ctl."""

    sql: str = "psql -c"
    restart: str | None = None

    def restarting(self, connection: psycopg.Connection[Any]) -> str:
        """The command line that starts the server of a connection anew."""
        return self.restart or f"pg_ctl restart -D {_ask(connection, 'SHOW data_directory')}"


PLAIN = Commands()


class LoadError(ServerError):
    """An extension could not be loaded, or its workers do not run; ``reason`` tells which for programs."""

    def __init__(self, reason: Reason, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.reason = reason


def refused(error: psycopg.Error, what: str) -> LoadError:
    """What the server said to a statement, as an error in four parts; ``what`` is the primary message."""
    said = error.diag.message_primary
    if said is None:
        return LoadError("refused", what, detail=_sentence(" ".join(str(error).split()) or type(error).__name__))
    detail = f"{said} (SQLSTATE {error.sqlstate}). {error.diag.message_detail or ''}".strip()
    return LoadError("refused", what, detail=_sentence(detail), hint=error.diag.message_hint)


def served(connection: psycopg.Connection[Any], module: ModuleIR) -> tuple[str, ...]:
    """The databases that workers connect to as the server starts, each once; settings are asked for."""
    names = (_value(connection, module, source) for source in module.databases)
    return tuple(dict.fromkeys(name for name in names if name))


def not_preloaded(connection: psycopg.Connection[Any], extension: str) -> LoadError | None:
    """The error for a library that the running server did not load at its start; None if it did, or won't tell.

    What ALTER SYSTEM has written but no restart has read counts as there: a second statement without it would undo it.
    """
    try:
        with connection.transaction():
            current = _ask(connection, "SHOW shared_preload_libraries")
    except psycopg.errors.InsufficientPrivilege:
        return None
    if preload.with_library(current, extension) == preload.parse(current):
        return None
    written = _written(connection)
    wanted = current if written is None else written
    restart = f"pg_ctl restart -D {_ask(connection, 'SHOW data_directory')}"
    # The last step, CREATE EXTENSION, is what pgbgw load does.
    steps = remaining_steps(extension, preloaded=wanted, database=connection.info.dbname, restart=restart)[:-1]
    if not steps:
        return LoadError(
            "not preloaded",
            f'library "{extension}" is not preloaded yet',
            detail="It stands in shared_preload_libraries, which a server reads only when it starts.",
            hint=f"Restart the server, and load again. Type:\n{restart}",
        )
    return LoadError(
        "not preloaded",
        f'library "{extension}" is not preloaded',
        detail=f"shared_preload_libraries is '{current}'; workers are started from the libraries that it names.",
        hint="\n".join(["Add it, restart the server, and load again. Type:", *steps]),
    )


def standing_still(
    connection: psycopg.Connection[Any],
    module: ModuleIR,
    missing: Sequence[Process],
    within: float,
    commands: Commands = PLAIN,
) -> LoadError:
    """Why processes have not come, or fail; the first reason that is found, since one often leads to the others."""
    failing = [process for process in missing if process.pid is not None]
    absent = [process for process in missing if process.pid is None]
    workers = {worker.name: worker for worker in module.workers}
    for process in absent:
        worker = workers[process.worker]
        if worker.connected:
            found = _database(connection, module, worker, commands) or _role(connection, module, worker, commands)
            if found is not None:
                return found
    if absent:
        return _slots(connection, module, absent, commands) or _unknown(absent, within)
    return _failing(failing, within)


def _database(
    connection: psycopg.Connection[Any], module: ModuleIR, worker: WorkerIR, commands: Commands
) -> LoadError | None:
    name = _value(connection, module, worker.database)
    if not name:
        return None
    query = "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = %s"
    row = connection.execute(query, [name]).fetchone()
    if row is None:
        return LoadError(
            "database",
            f'worker "{worker.title}" can\'t connect: database "{name}" does not exist',
            detail=_chosen(module, worker.database, "It is named"),
            hint=f"Type: {commands.sql} {_quoted(f'CREATE DATABASE {quote_ident(name)};')}",
        )
    if not row[0]:
        return LoadError(
            "database",
            f'worker "{worker.title}" can\'t connect: database "{name}" takes no connections',
            detail="Its datallowconn is off, as it is for template0.",
            hint="Choose another database.",
        )
    return None


def _role(
    connection: psycopg.Connection[Any], module: ModuleIR, worker: WorkerIR, commands: Commands
) -> LoadError | None:
    name = _value(connection, module, worker.role)
    if not name:
        return None
    row = connection.execute("SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = %s", [name]).fetchone()
    if row is not None and row[0]:
        return None
    wrong, statement = (
        ("does not exist", f"CREATE ROLE {quote_ident(name)} LOGIN;")
        if row is None
        else ("is not permitted to log in", f"ALTER ROLE {quote_ident(name)} LOGIN;")
    )
    return LoadError(
        "role",
        f'worker "{worker.title}" can\'t connect: role "{name}" {wrong}',
        detail=_chosen(module, worker.role, "It is named"),
        hint=f"Type: {commands.sql} {_quoted(statement)}",
    )


def _slots(
    connection: psycopg.Connection[Any], module: ModuleIR, absent: Sequence[Process], commands: Commands
) -> LoadError | None:
    most = int(_ask(connection, "SHOW max_worker_processes"))
    query = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type <> ALL (%s)"
    row = connection.execute(query, [list(_NO_WORKERS)]).fetchone()
    taken = int(row[0]) if row else 0
    if taken + len(absent) <= most:
        return None
    wanted = most + len(absent) + sum(worker.count.value for worker in module.workers if worker.launched)
    restart = commands.restarting(connection)
    return LoadError(
        "slots",
        f"no slot for {_processes(absent)}",
        detail=f"max_worker_processes is {most}, and {taken} background workers of all libraries run.",
        hint="Raise it, restart the server, and load again. Type:\n"
        f"{commands.sql} {_quoted(f'ALTER SYSTEM SET max_worker_processes = {wanted};')}\n{restart}",
    )


def _failing(failing: Sequence[Process], within: float) -> LoadError:
    first = failing[0]
    if first.state == "dormant":
        return LoadError(
            "failing",
            f'worker "{first.title}" does not see the extension after {within:g} s',
            detail=f'It is connected to database "{first.database}", process {first.pid}.',
            hint="The server log tells what it waits for.",
        )
    return LoadError(
        "failing",
        f'worker "{first.title}" fails: {first.failures} error{"s" if first.failures != 1 else ""} so far',
        detail=f"It runs, process {first.pid}, and waits longer after each error before it tries again.",
        hint="The server log has the error. Once its cause is mended, SELECT pg_reload_conf() makes it try at once.",
    )


def _unknown(absent: Sequence[Process], within: float) -> LoadError:
    return LoadError(
        "unknown",
        f"{_processes(absent)} did not come within {within:g} s",
        detail="The library is preloaded, and database, role and a slot are there.",
        hint="The server log tells; a worker that ended with an error comes back after its restart interval.",
    )


def _processes(absent: Sequence[Process]) -> str:
    titles = ", ".join(dict.fromkeys(f'"{process.title}"' for process in absent))
    number = f"{len(absent)} processes" if len(absent) > 1 else "1 process"
    return f"{number} of worker {titles}"


def _chosen(module: ModuleIR, source: SourceIR, named: str) -> str:
    setting = next((setting.name for setting in module.settings if setting.variable == source.variable), None)
    return f"{named} by the setting {setting}." if setting is not None else f"{named} in the declaration."


def _value(connection: psycopg.Connection[Any], module: ModuleIR, source: SourceIR) -> str | None:
    """A constant, or the value of the setting that the running server has; None where there is neither."""
    if source.variable is None:
        return source.value
    name = next(setting.name for setting in module.settings if setting.variable == source.variable)
    return _ask(connection, f"SELECT pg_catalog.current_setting({quote_literal(name)}, true)") or None


def _written(connection: psycopg.Connection[Any]) -> str | None:
    """shared_preload_libraries as the configuration files have it now; None if they don't, or may not be read."""
    query = (
        "SELECT setting FROM pg_catalog.pg_file_settings"
        " WHERE name = 'shared_preload_libraries' ORDER BY seqno DESC LIMIT 1"
    )
    try:
        with connection.transaction():
            return _ask(connection, query) or None
    except psycopg.errors.InsufficientPrivilege:
        return None


def _ask(connection: psycopg.Connection[Any], query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    return "" if row is None or row[0] is None else str(row[0])


def _quoted(statement: str) -> str:
    """A statement as a word of a shell; those of ours hold no character that double quotes let through but these."""
    return '"' + "".join(f"\\{each}" if each in '"$`\\' else each for each in statement) + '"'


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!", '"')) else f"{text}."
