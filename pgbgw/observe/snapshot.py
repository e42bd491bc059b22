"""One look at an extension in one database: its processes, queues, schedules, shared state and settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pgbgw.client.schedules import ScheduleStatus, read_all
from pgbgw.observe.counts import recounted
from pgbgw.observe.subject import QueueNames, StateNames, Subject
from pgbgw.observe.tables import TableSummary, summary

__all__ = ["Process", "QueueCounts", "SettingValue", "Snapshot", "StateRow", "observe", "processes"]


@dataclass(frozen=True, slots=True)
class Process:
    """A process that a worker may have; ``pid`` and ``database`` are None while it does not run.

    ``state`` is "stopped", "idle", "working", "paused", "dormant" or "backing off"; ``since`` is None before the first.
    ``claims`` is how a queue worker takes jobs: "direct", or why it has to do so by a statement, which is slower; None
    before it has looked, and for other workers. The other two count how often its processes have looked either way.
    """

    worker: str
    title: str
    process: int
    pid: int | None
    database: str | None
    state: str
    since: datetime | None
    failures: int
    claims: str | None = None
    direct_claims: int | None = None
    portable_claims: int | None = None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many jobs of a queue may run, wait, were given up, and are leased; and whether it is paused.

    ``running`` is None where the queue has no leases. ``estimated`` are the statuses whose number is not exact: of more
    than 10,000 jobs it is that of the server's statistics.
    """

    name: str
    ready: int
    later: int
    failed: int
    running: int | None = None
    paused: bool = False
    estimated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StateRow:
    """A shared state: its columns and values, in the order of its view."""

    name: str
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting as the session sees it; ``source`` as in ``pg_settings``."""

    name: str
    value: str
    source: str
    pending_restart: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ``observe`` found.

    ``version`` is the installed one, None where the extension is not in this database; there is nothing but settings
    then. ``preloaded`` tells whether the library has its shared memory: without, no processes and no states. ``at`` is
    when it looked, by the server's clock. ``tables`` are the tables of schedules.
    """

    extension: str
    database: str
    at: datetime
    version: str | None
    preloaded: bool
    processes: tuple[Process, ...]
    queues: tuple[QueueCounts, ...]
    schedules: tuple[ScheduleStatus, ...]
    tables: tuple[TableSummary, ...]
    states: tuple[StateRow, ...]
    settings: tuple[SettingValue, ...]


def observe(connection: psycopg.Connection[Any], subject: Subject) -> Snapshot:
    """Look once; each part is read by a statement of its own, so counts may be a moment apart.

    Raises:
        psycopg.Error: the server refused, for instance because the role is not in ``pg_monitor``.
    """
    version = _version(connection, subject.extension)
    running: tuple[Process, ...] = ()
    states: tuple[StateRow, ...] = ()
    preloaded = False
    if version is not None:
        try:
            with connection.transaction():
                running = processes(connection, subject)
                states = tuple(_state(connection, state) for state in subject.states)
            preloaded = True
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass
    return Snapshot(
        extension=subject.extension,
        database=connection.info.dbname,
        at=_now(connection),
        version=version,
        preloaded=preloaded,
        processes=running,
        queues=tuple(_counts(connection, queue) for queue in subject.queues) if version is not None else (),
        schedules=read_all(connection, subject.schedules) if version is not None and subject.schedules else (),
        tables=tuple(summary(connection, table) for table in subject.tables) if version is not None else (),
        states=states,
        settings=_settings(connection, subject.settings),
    )


def processes(connection: psycopg.Connection[Any], subject: Subject) -> tuple[Process, ...]:
    """All processes that the workers may have, in the order of declaration.

    Raises:
        psycopg.errors.ObjectNotInPrerequisiteState: the library is not preloaded.
        psycopg.errors.UndefinedFunction: the extension is not in this database.
    """
    columns = "worker, title, process, pid, database, state, since, failures, claims, direct_claims, portable_claims"
    rows = connection.execute(f"SELECT {columns} FROM {subject.processes}()".encode())
    return tuple(Process(*row) for row in rows)


def _now(connection: psycopg.Connection[Any]) -> datetime:
    row = connection.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _version(connection: psycopg.Connection[Any], extension: str) -> str | None:
    query = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = %s"
    row = connection.execute(query, [extension]).fetchone()
    return str(row[0]) if row else None


def _counts(connection: psycopg.Connection[Any], queue: QueueNames) -> QueueCounts:
    rows = connection.execute(f"SELECT status, jobs, exact FROM {queue.counts}()".encode()).fetchall()
    jobs: dict[str, int] = {}
    estimated = []
    for status, number, exact in rows:
        jobs[status] = number
        if not exact and queue.view:
            jobs[status], exact = recounted(connection, sql.SQL(queue.view), status, number)
        if not exact:
            estimated.append(status)
    held = connection.execute(f"SELECT 1 FROM {queue.paused} WHERE queue = %s".encode(), [queue.name]).fetchone()
    return QueueCounts(
        queue.name, jobs["ready"], jobs["later"], jobs["failed"], jobs.get("running"), held is not None,
        tuple(estimated),
    )  # fmt: skip


def _state(connection: psycopg.Connection[Any], state: StateNames) -> StateRow:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(f"SELECT * FROM {state.view}".encode()).fetchone()
    return StateRow(state.name, tuple((row or {}).items()))


def _settings(connection: psycopg.Connection[Any], names: tuple[str, ...]) -> tuple[SettingValue, ...]:
    """Settings that the server knows and shows to this role; those of a library that is not loaded are unknown."""
    query = (
        "SELECT name, pg_catalog.current_setting(name), source, pending_restart FROM pg_catalog.pg_settings"
        " WHERE name = ANY (%s) ORDER BY pg_catalog.array_position(%s, name)"
    )
    return tuple(SettingValue(*row) for row in connection.execute(query, [list(names), list(names)]))
