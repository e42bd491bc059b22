"""The stage of the fault suite: a throw-away cluster with the extension under test in it, and what checks do there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from pgbgw.build.pgconfig import Pg
from pgbgw.build.pgxs import Artifact, build
from pgbgw.codegen.emit import emit
from pgbgw.faults.payload import payload
from pgbgw.faults.probe import ACT, EVERY, SCHEMA, Probed, probed
from pgbgw.faults.server import Server
from pgbgw.faults.waiting import Red, eventually
from pgbgw.ir.model import (
    CronBody,
    KeeperBody,
    ModuleIR,
    QueueBody,
    QueueIR,
    SchedulerBody,
    ScheduleTableIR,
    SourceIR,
    WorkerIR,
)
from pgbgw.observe import Process, Subject, processes
from pgbgw.server.cluster import Cluster
from pgbgw.server.embedded import throwaway_cluster
from pgbgw.sqltext import quote_ident, quote_literal

__all__ = ["Leased", "Line", "Stage", "require", "staged"]

# What the server has room for beside our workers: launcher, subscriptions, parallel queries.
_OTHER_PROCESSES = 8

_SETTINGS = {
    "log_min_messages": "info",
    "max_prepared_transactions": "4",
    "wal_level": "logical",
    "autovacuum_naptime": "1s",
}

Prepare = Callable[[Cluster, str], None]
"""Runs the user's own script in a database: the tables and types that the declaration expects."""


@dataclass(frozen=True, slots=True)
class Line:
    """A queue and the first worker that takes jobs from it; ``takers`` are all of them, in the order of declaration.

    ``payload`` are SQL expressions, in which g is a number.
    """

    worker: WorkerIR
    queue: QueueIR
    payload: tuple[str, ...]
    takers: tuple[WorkerIR, ...]

    @property
    def name(self) -> str:
        """What the ledger calls its jobs: the name of the queue."""
        return self.queue.name


@dataclass(frozen=True, slots=True)
class Leased:
    """A queue whose jobs sessions take, and no worker; ``payload`` are SQL expressions, in which g is a number."""

    worker: WorkerIR
    queue: QueueIR
    payload: tuple[str, ...]


class Stage(Server):
    """The running cluster; each check finds it as ``clean`` leaves it.

    ``module`` is the changed middle form (see ``probe``), ``declared`` the user's own. ``database`` is the one that the
    workers serve, or the first of several; ``lines`` are the queues there that have workers, ``leased`` those of which
    sessions take the jobs, ``confined`` the workers there whose role is no superuser.
    """

    def __init__(self, cluster: Cluster, artifact: Artifact, declared: ModuleIR, changed: Probed, thorough: bool):
        self.declared = declared
        self.module = changed.module
        self.thorough = thorough
        self.artifact = artifact
        self.databases = _databases(self.module)
        self.lines: tuple[Line, ...] = ()
        self.leased: tuple[Leased, ...] = ()
        self.confined: tuple[WorkerIR, ...] = ()
        self.subject = Subject.of(self.module)
        self._functions = changed.functions
        super().__init__(cluster, self.databases[0])

    # what there is

    @property
    def static(self) -> tuple[WorkerIR, ...]:
        """Workers that the postmaster starts and that are connected to a database."""
        return tuple(w for w in self.module.workers if not w.launched and w.connected)

    @property
    def rounds(self) -> tuple[WorkerIR, ...]:
        """Interval workers, whose probe is called each round."""
        return tuple(w for w in self.module.workers if w.kind == "interval")

    @property
    def dynamic(self) -> tuple[WorkerIR, ...]:
        """Workers that sessions launch."""
        return tuple(w for w in self.module.workers if w.kind == "dynamic")

    @property
    def scheduled(self) -> dict[WorkerIR, CronBody]:
        """Workers of the database that checks look at that run by the calendar; here their runs are asked for."""
        return {w: w.body for w in self.static if isinstance(w.body, CronBody) and self.home(w) == self.database}

    @property
    def tables(self) -> dict[WorkerIR, ScheduleTableIR]:
        """The schedulers of the database that checks look at, and the table of schedules that each has."""
        bodies = ((w, w.body) for w in self.static if self.home(w) == self.database)
        return {w: body.table for w, body in bodies if isinstance(body, SchedulerBody)}

    @property
    def switches(self) -> dict[str, bool]:
        """The boolean settings that switch workers and take effect on reload; whether these run while it is on."""
        fixed = ("PGC_POSTMASTER", "PGC_INTERNAL")
        names = {setting.variable: setting.name for setting in self.module.settings if setting.context not in fixed}
        found = {names[w.when]: True for w in self.module.workers if w.when in names}
        return found | {names[w.unless]: False for w in self.module.workers if w.unless in names}

    def home(self, worker: WorkerIR) -> str:
        """The database that a worker serves while no setting says otherwise; a launched one serves its caller's."""
        return self.database if worker.launched else str(_value(self.module, worker.database))

    def role(self, worker: WorkerIR) -> str | None:
        """The role that a worker runs as while no setting says otherwise; None for the bootstrap superuser."""
        return _value(self.module, worker.role)

    def processes(self) -> list[Process]:
        """All processes that the workers may have, as the extension shows them."""
        with self.connect() as connection:
            return list(processes(connection, self.subject))

    def pids(self, worker: WorkerIR | None = None) -> dict[tuple[str, int], int]:
        """The pids of the static workers that are there, by name and number of the process."""
        return {
            (each.worker, each.process): each.pid
            for each in self.processes()
            if each.pid is not None
            and each.worker not in self.subject.dynamic
            and (worker is None or each.worker == worker.name)
        }

    def states(self, worker: WorkerIR) -> list[str]:
        """The states of a worker's processes, in order."""
        return [each.state for each in self.processes() if each.worker == worker.name]

    # jobs

    def enqueue(
        self,
        line: Line,
        count: int = 1,
        script: str | None = None,
        *,
        connection: psycopg.Connection[Any] | None = None,
        start: int = 1,
    ) -> list[int]:
        """Put jobs into a queue, in one transaction or in that of ``connection``; their ids.

        ``script`` is SQL that the probe runs for each of them, after it has written into the ledger.
        """
        columns = ", ".join(column.name for column in line.queue.columns)
        insert = (
            f"INSERT INTO {line.queue.table} ({columns}) SELECT {', '.join(line.payload)}"
            f" FROM generate_series({start}::bigint, {start + count - 1}) AS g RETURNING id"
        )
        statement = f"WITH jobs AS ({insert}) SELECT id FROM jobs ORDER BY id"
        if script is not None:
            row = f"{quote_literal(line.name)}, id, {quote_literal(script)}"
            noted = f"INSERT INTO {SCHEMA}.scripts SELECT {row} FROM jobs"
            statement = f"WITH jobs AS ({insert}), noted AS ({noted} RETURNING job) SELECT job FROM noted ORDER BY job"
        if connection is not None:
            return [row[0] for row in connection.execute(statement.encode())]
        return [row[0] for row in self.rows(statement)]

    def script(self, worker: WorkerIR, script: str | None) -> None:
        """What the probe of a worker without jobs does each time: SQL, or nothing."""
        with self.connect(self.home(worker)) as connection, connection.transaction():
            gone = f"DELETE FROM {SCHEMA}.scripts WHERE worker = %s AND job IS NULL"
            connection.execute(gone.encode(), [worker.name])
            if script is not None:
                noted = f"INSERT INTO {SCHEMA}.scripts VALUES (%s, NULL, %s)"
                connection.execute(noted.encode(), [worker.name, script])

    def done(self, name: str, dbname: str | None = None) -> Counter[int]:
        """How often each job of a queue stands in the ledger; of a worker, rounds and launches are counted under 0."""
        query = f"SELECT coalesce(job, 0), count(*) FROM {SCHEMA}.ledger WHERE worker = %s GROUP BY 1"
        return Counter(dict(self.rows(query, [name], dbname)))

    def left(self, line: Line) -> int:
        """How many jobs wait, to run now or later."""
        query = f"SELECT (SELECT count(*) FROM {line.queue.table}) + (SELECT count(*) FROM {line.queue.later})"
        count: int = self.value(query)
        return count

    def failed(self, line: Line) -> dict[int, tuple[str, str, int]]:
        """Jobs that were given up: id to SQLSTATE, error and attempts."""
        rows = self.rows(f"SELECT id, sqlstate, error, attempts FROM {line.queue.failed}")
        return {row[0]: row[1:] for row in rows}

    def drained(self, line: Line, within: float = 20.0) -> None:
        """Wait until no job waits any more."""
        eventually(lambda: self.left(line) == 0, within, f'an empty queue "{line.queue.name}"')

    def audit(self, line: Line, jobs: Sequence[int], failed: Mapping[int, str] | None = None) -> str:
        """Wait until the queue is empty, then account for every job: done once, or given up with that SQLSTATE.

        Raises:
            Red: one was lost, done twice, or came to something else.
        """
        wanted = dict(failed or {})
        self.drained(line)
        done, given_up = self.done(line.name), self.failed(line)
        lost = [job for job in jobs if not done[job] and job not in given_up]
        twice = [job for job in jobs if done[job] + (job in given_up) > 1]
        if lost or twice:
            raise Red(f"{len(lost)} of {len(jobs)} jobs lost ({lost[:5]}), {len(twice)} done twice ({twice[:5]})")
        found = {job: given_up[job][0] for job in given_up}
        if found != wanted:
            raise Red(f"given up: {found}; expected: {wanted}")
        told = f", {len(wanted)} given up with its own error" if wanted else ""
        return f"{len(jobs) - len(wanted)} jobs done once{told}, none lost"

    def working(self, line: Line, wait_event: str = "PgSleep", count: int = 1) -> int:
        """Wait until a process that takes from the line's queue is in a handler that sleeps; its pid."""
        query = "SELECT pid FROM pg_stat_activity WHERE backend_type = ANY(%s) AND wait_event = %s"
        titles = [worker.title for worker in line.takers]

        def sleeping() -> list[int]:
            pids = [row[0] for row in self.rows(query, [titles, wait_event])]
            return pids if len(pids) >= count else []

        return eventually(sleeping, what=f'{count} process of "{line.worker.title}" in {wait_event}')[0]

    def idle(self, within: float = 20.0) -> None:
        """Wait until every static worker is connected and has nothing to do."""
        restless: list[str] = []

        def quiet() -> bool:
            restless[:] = [
                f'"{each.title}" {each.process} is {each.state}'
                for each in self.processes()
                if each.worker not in self.subject.dynamic and (each.pid is None or each.state != "idle")
            ]
            return not restless

        try:
            eventually(quiet, within)
        except Red as error:
            raise Red(f"workers are not idle within {within:g} s: {', '.join(restless)}") from error

    # in and out of order

    def every(self, milliseconds: int) -> None:
        """How often workers look by themselves from now on."""
        self.set(**{f"{self.module.name}__{EVERY}": str(milliseconds)})

    @contextlib.contextmanager
    def settings(self, **settings: str) -> Iterator[None]:
        """Settings of the server that take a restart, for as long as the block lasts."""
        names = {name.replace("__", "."): value for name, value in settings.items()}
        before = {name: self.cluster.settings.get(name) for name in names}
        self.cluster.set(names)
        self.cluster.restart()
        try:
            yield
        finally:
            self.cluster.set(before)
            self.cluster.restart()

    def prepare(self, database: str) -> None:
        """Make the probes in a database."""
        with self.connect(database) as connection, connection.transaction():
            connection.execute(ACT.encode())
            for function in self._functions:
                connection.execute(function.encode())

    def create_extension(self) -> None:
        """Create the extension in every database that is served, where it is not."""
        for database in self.databases:
            self.rows(f"CREATE EXTENSION IF NOT EXISTS {quote_ident(self.module.name)}", dbname=database)

    def clean(self) -> None:
        """Bring the stage into the state in which every check finds it, whatever the one before has left.

        Workers are idle and look by themselves every second, queues, ledger and scripts are empty, and nothing is set.

        Raises:
            Red: it could not be done.
        """
        if not self.cluster.status().running:
            self.cluster.start()
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
            connection.execute("SELECT pg_reload_conf()")
            for row in connection.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
                connection.execute(f"ROLLBACK PREPARED {quote_literal(row[0])}".encode())
        self.create_extension()
        self.rows(f"SELECT {self.module.resume.name}()")
        if self.module.queues:
            self.rows(f"DELETE FROM {self.module.paused_queues}")
        for setting in self._switches():
            self.rows(setting)
        self.rows("SELECT pg_reload_conf()")
        tables = [f"{SCHEMA}.ledger", f"{SCHEMA}.scripts"]
        for queue in self.module.queues:
            tables += [queue.table, queue.later, queue.failed, *([queue.lease.running] if queue.lease else ())]
            tables += [queue.history.done] if queue.history else []
        tables += [self.module.schedules.runs] if self.module.schedules else []
        tables += [table.runs for table in self.module.tables]
        # scripts first, or a job that is ended hangs again; a job that hangs would let no TRUNCATE pass
        for database in self.databases:
            self.rows(f"DELETE FROM {SCHEMA}.scripts", dbname=database)
            if self.module.schedules:
                self.rows(f"UPDATE {self.module.schedules.table} SET paused = false, run_now = false", dbname=database)
            for table in self.module.tables:
                self.rows(f"DELETE FROM {table.table}", dbname=database)
        self._end_busy_workers()
        for database in self.databases:
            eventually(partial(self._truncate, tables, database), what="tables that no worker holds for long")
        try:
            require(not self._gone(), "a worker that is never restarted has ended")
            self.idle(within=6)
        except Red:
            self.cluster.restart()
            self.idle()

    def end_unreturning(self) -> None:
        """End the static processes that nothing starts again: they make way for no statement."""
        never = {worker.name for worker in self.static if worker.restart is None}
        pids = [pid for (name, _), pid in self.pids().items() if name in never]
        self.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
        eventually(lambda: not [n for n, _ in self.pids() if n in never], what="the end of what is never restarted")

    def _truncate(self, tables: list[str], dbname: str) -> bool:
        """Rounds lock these tables in orders of their own, so a lock that does not come at once is asked for anew."""
        try:
            self.rows(f"SET lock_timeout = '200ms'; TRUNCATE {', '.join(tables)}", dbname=dbname)
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _gone(self) -> bool:
        """Whether there is no process of a worker that only a restart of the server brings back."""
        never = {worker.name for worker in self.static if worker.restart is None}
        return any(each.pid is None and each.worker in never for each in self.processes())

    def _switches(self) -> list[str]:
        """What lets workers run that a boolean setting holds back by default."""
        wanted = {w.when: "on" for w in self.module.workers if w.when}
        wanted |= {w.unless: "off" for w in self.module.workers if w.unless}
        settings = [setting for setting in self.module.settings if setting.variable in wanted]
        return [f"ALTER SYSTEM SET {setting.name} = {wanted[setting.variable]}" for setting in settings]

    def _end_busy_workers(self) -> None:
        titles = [worker.title for worker in self.module.workers if worker.connected]
        self.rows(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = ANY(%s) AND state <> 'idle'",
            [titles],
        )


def _value(module: ModuleIR, source: SourceIR) -> str | None:
    """What a source says while no setting is changed."""
    if source.variable is None:
        return source.value
    default = next(setting.default for setting in module.settings if setting.variable == source.variable)
    return None if default is None else str(default)


def _databases(module: ModuleIR) -> tuple[str, ...]:
    """The databases that the workers serve while no setting says otherwise; one at least."""
    names = [name for source in module.databases if (name := _value(module, source)) is not None]
    return tuple(dict.fromkeys(names)) or ("postgres",)


def _roles(module: ModuleIR) -> list[str]:
    """All that the workers run as, and that something is granted to; quoted."""
    names = [quote_ident(name) for worker in module.workers if (name := _value(module, worker.role)) is not None]
    for queue in module.queues:
        names += [*queue.producers, *queue.operators, *queue.consumers]
    if module.schedules is not None:
        names += module.schedules.operators
    names += [role for table in module.tables for role in table.schedulers]
    return list(dict.fromkeys(names))


def _slots(module: ModuleIR) -> int:
    return sum(worker.count.value for worker in module.workers)


@contextlib.contextmanager
def staged(
    pg: Pg,
    module: ModuleIR,
    *,
    prepare: Prepare | None = None,
    payloads: Mapping[str, str] | None = None,
    thorough: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[Stage]:
    """Build the probed extension, and run it on a throw-away cluster.

    ``prepare`` runs the user's script in each database that is served; ``payloads`` are SQL expressions, separated by
    commas, for queues whose payload can't be made up, by the queue's name.

    Raises:
        BuildError: it does not compile.
        ServerError: the cluster can't be made, or the extension not created.
    """
    changed = probed(module)
    settings = _SETTINGS | {"max_worker_processes": str(_OTHER_PROCESSES + _slots(changed.module))}
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-faults-"))
    try:
        progress("building the extension with probes for handlers")
        artifact = build(emit(changed.module), pg, folder / module.name)
        progress("making a cluster")
        with throwaway_cluster(pg, settings=settings) as cluster:
            cluster.install(artifact)
            stage = Stage(cluster, artifact, module, changed, thorough)
            _furnish(stage, prepare)
            cluster.preload(module.name)
            cluster.restart()
            stage.create_extension()
            stage.lines = tuple(_lines(stage, payloads or {}))
            stage.leased = tuple(_leased(stage, payloads or {}))
            stage.confined = tuple(_confined(stage))
            stage.clean()
            yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _furnish(stage: Stage, prepare: Prepare | None) -> None:
    """Databases, the user's own objects, probes, and roles, in the order in which an administrator makes them."""
    for database in stage.databases:
        if not stage.rows("SELECT 1 FROM pg_database WHERE datname = %s", [database], dbname="postgres"):
            stage.rows(f"CREATE DATABASE {quote_ident(database)}", dbname="postgres")
        if prepare is not None:
            prepare(stage.cluster, database)
        stage.prepare(database)
    for role in _roles(stage.module):
        if stage.value("SELECT to_regrole(%s) IS NULL", [role]):
            stage.rows(f"CREATE ROLE {role} LOGIN")


def _lines(stage: Stage, payloads: Mapping[str, str]) -> Iterator[Line]:
    """Each queue with the first worker that serves it in the database that checks look at."""
    seen = set()
    for worker in stage.module.workers:
        if not isinstance(worker.body, QueueBody) or worker.body.queue.number in seen:
            continue
        if stage.home(worker) != stage.database:
            continue
        queue = worker.body.queue
        seen.add(queue.number)
        given = payloads.get(queue.name)
        yield Line(
            worker, queue, (given,) if given is not None else payload(stage, queue), tuple(_takers(stage, queue))
        )


def _leased(stage: Stage, payloads: Mapping[str, str]) -> Iterator[Leased]:
    """The queues with leases that no worker takes jobs from, if these end in the database that checks look at."""
    for worker in stage.module.workers:
        if not isinstance(worker.body, KeeperBody) or stage.home(worker) != stage.database:
            continue
        for queue in worker.body.queues:
            if not any(isinstance(w.body, QueueBody) and w.body.queue == queue for w in stage.module.workers):
                given = payloads.get(queue.name)
                yield Leased(worker, queue, (given,) if given is not None else payload(stage, queue))


def _confined(stage: Stage) -> Iterator[WorkerIR]:
    """Static workers, in the database that checks look at, that run as a role that is no superuser."""
    superusers = {row[0] for row in stage.rows("SELECT rolname FROM pg_roles WHERE rolsuper")}
    for worker in stage.static:
        if stage.home(worker) == stage.database and stage.role(worker) not in (None, *superusers):
            yield worker


def _takers(stage: Stage, queue: QueueIR) -> Iterator[WorkerIR]:
    """The workers that take from a queue in the database that checks look at."""
    for worker in stage.module.workers:
        takes = isinstance(worker.body, QueueBody) and worker.body.queue.number == queue.number
        if takes and stage.home(worker) == stage.database:
            yield worker


def require(condition: bool, what: str) -> None:
    """Raise Red unless something holds.

    Raises:
        Red: it does not.
    """
    if not condition:
        raise Red(what)
