"""A plugin for pytest: a PostgreSQL server of its own with your extension in it, and queues that are empty.

It is there once pgbgw is installed; what it tests is said in ``pyproject.toml``::

    [tool.pytest.ini_options]
    pgbgw_declaration = "shop.py"
    pgbgw_setup = "shop.sql"

Tests ask for the fixture ``pgbgw_database``; see docs/testing.md.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    import psycopg

    from pgbgw.client import Consumed, Job, ScheduleRun, Status
    from pgbgw.declare.queues import Payload, Queue
    from pgbgw.declare.schedules import CronWorker
    from pgbgw.ir.model import ModuleIR, QueueIR
    from pgbgw.server import Cluster

__all__ = ["StillWaiting", "TestDatabase"]

P = TypeVar("P", bound="Payload")

# How long a worker may be in the middle of a job that an earlier test has left to it, s.
_LONGEST_HANDLER = 30.0

# How long what is emptied may be locked by others, s; then their sessions are ended.
_PATIENCE = 3.0

_HOLDERS = """
SELECT pid, application_name, query FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid IN (
    SELECT l.pid FROM pg_locks AS l
    WHERE l.granted AND l.relation = ANY (%(tables)s::regclass[])
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT unnest(pg_blocking_pids(b)) FROM unnest(%(blocked)s::int4[]) AS b)
"""


class StillWaiting(AssertionError):
    """Jobs that were due were not done in time; the message has what is left, and the end of the server log."""


class TestDatabase:
    """The database that the extension serves, on a throw-away server; its queues are empty when a test begins.

    ``conninfo`` is where it is, as libpq takes it; ``connection`` a session in autocommit, of a superuser, which ends
    with the test.
    """

    __test__ = False

    def __init__(self, cluster: Cluster, module: ModuleIR, database: str, connection: psycopg.Connection[Any]) -> None:
        self.cluster = cluster
        self.conninfo = cluster.conninfo(database)
        self.connection = connection
        self._module = module

    def run_due(self, within: timedelta = timedelta(seconds=10)) -> None:
        """Wait until the workers in the server have done all jobs that are due by now, those that they add among them,
        and have run what is due by the calendar.

        A job that failed and waits for its next attempt is not due; ``advance`` makes it so.

        Raises:
            StillWaiting: some are not done in time.
        """
        deadline = time.monotonic() + within.total_seconds()
        pause = 0.002
        while left := self._due():
            if time.monotonic() > deadline:
                told = "; ".join(f"{count} of {name}" for name, count in left.items())
                log = "\n".join(self.cluster.log_lines().lines[-20:])
                raise StillWaiting(f"due, and not done within {within.total_seconds():g} s: {told}\n{log}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def jobs(self, queue: Queue[P], status: Status = "ready") -> list[Job[P]]:
        """What lies in a queue, and stays there: "ready" (due by now), "later", "running", "failed" or "done" jobs.

        Raises:
            ClientError: the queue keeps no jobs of that status.
        """
        return [job for piece in queue.stream(self.connection, status) for job in piece]

    def consume(
        self,
        queue: Queue[P],
        handler: Callable[[P], object] | Callable[[P, Job[P]], object],
        *,
        propagate: bool = False,
        **options: Any,
    ) -> Consumed:
        """Hand all jobs of a queue that are due by now to a handler, as ``Queue.consume`` does; what became of them.

        With ``propagate`` the first error that the handler raised is raised here, once all jobs are answered for.
        """
        errors: list[BaseException] = []
        called = _noting(handler, errors) if propagate else handler
        consumed = queue.consume(self.conninfo, called, until_empty=True, **options)
        if errors:
            raise errors[0]
        return consumed

    def run_now(self, worker: CronWorker, within: timedelta = timedelta(seconds=10)) -> ScheduleRun:
        """Run what a worker runs by the calendar, once and now, and wait for the end; what became of it.

        Raises:
            StillWaiting: it does not end in time.
        """
        from pgbgw.client import run, schedules

        handle = schedules.schedule_of(worker)
        after = schedules.run_now_after(self.connection, handle)
        deadline = time.monotonic() + within.total_seconds()
        pause = 0.002
        while (ran := run(self.connection, schedules.begun_after(handle, after))) is None or ran.outcome == "running":
            if time.monotonic() > deadline:
                log = "\n".join(self.cluster.log_lines().lines[-20:])
                raise StillWaiting(f"the run of {handle} has not ended within {within.total_seconds():g} s\n{log}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return ran

    def advance(self, by: timedelta) -> None:
        """Let time pass: what waits comes so much earlier, leases end so much earlier, and so do times of keys; and for
        schedules it is as if nothing had run in that time.
        """
        for queue in self._module.queues:
            # what comes before now is looked for by nobody who was not told
            earlier = "SET run_at = greatest(run_at - %s, now())"
            self.connection.execute(f"UPDATE {queue.later} {earlier}".encode(), [by])
            if queue.keys is not None:
                self.connection.execute(f"UPDATE {queue.keys} SET until = until - %s".encode(), [by])
            if queue.lease is not None:
                end = "greatest(lease_end - %s - now(), '1 millisecond')"
                self.connection.execute(
                    f"SELECT {queue.lease.extend.name}(ARRAY[id], ARRAY[token], {end})"
                    f" FROM {queue.lease.running}".encode(),
                    [by],
                )
        if self._module.schedules is not None:
            # a change of the pause, even to what it is, has workers look
            earlier = "SET settled_until = settled_until - %s, retry_at = retry_at - %s, paused = paused"
            self.connection.execute(f"UPDATE {self._module.schedules.table} {earlier}".encode(), [by, by])

    def _due(self) -> dict[str, int]:
        """How many jobs of queues that have workers may run now, by queue, and which schedules are due."""
        found = {}
        for queue in self._worked():
            row = self.connection.execute(
                f"SELECT (SELECT count(*) FROM {queue.table})"
                f" + (SELECT count(*) FROM {queue.later} WHERE run_at <= clock_timestamp())".encode()
            ).fetchone()
            if row is not None and row[0]:
                found[f"queue {queue.name}"] = int(row[0])
        found.update(self._scheduled())
        return found

    def _scheduled(self) -> dict[str, int]:
        """Which schedules are due, or run."""
        from pgbgw.ir.model import CronBody

        schedules = self._module.schedules
        bodies = [worker.body for worker in self._module.workers if isinstance(worker.body, CronBody)]
        found = {}
        for body in bodies if schedules is not None else []:
            assert schedules is not None
            assert self._module.next_run is not None
            since = "greatest(settled_until, %s::timestamptz - interval '1 microsecond')"
            until = "least(clock_timestamp(), %s::timestamptz)"
            due = f"{self._module.next_run.name}(expression, time_zone, {since}, %s, %s) <= {until}"
            row = self.connection.execute(
                f"SELECT EXISTS (SELECT FROM {schedules.table} WHERE name = %s"
                f" AND (run_now OR NOT paused AND ({due} OR retry_at <= clock_timestamp())))"
                f" OR EXISTS (SELECT FROM {schedules.runs} WHERE schedule = %s AND outcome = 'running')".encode(),
                [
                    body.schedule.name,
                    _time(body.schedule.not_before),
                    body.schedule.skip_gap,
                    body.schedule.repeat,
                    _time(body.schedule.not_after),
                    body.schedule.name,
                ],
            ).fetchone()
            if row == (True,):
                found[f"schedule {body.schedule.name}"] = 1
        return found

    def _worked(self) -> list[QueueIR]:
        from pgbgw.ir.model import QueueBody

        taken = {worker.body.queue.number for worker in self._module.workers if isinstance(worker.body, QueueBody)}
        return [queue for queue in self._module.queues if queue.number in taken]

    def _clear(self) -> None:
        """Empty all queues, and have all schedules as declared, while no worker has anything in hand."""
        self.connection.execute(f"SELECT {self._module.request_shutdown.name}()".encode())
        busy = f"SELECT pid FROM {self._module.processes.name}() WHERE pid IS NOT NULL AND state <> 'paused'"
        began = looked = time.monotonic()
        while pids := [pid for (pid,) in self.connection.execute(busy.encode()).fetchall()]:
            now = time.monotonic()
            if now > began + _LONGEST_HANDLER:
                log = "\n".join(self.cluster.log_lines().lines[-20:])
                raise StillWaiting(
                    f"a test has left a job to a worker, which is in it for {_LONGEST_HANDLER:g} s\n{log}"
                )
            if now > looked + _PATIENCE:
                # it may wait for a transaction that a test has left open
                self._end_holders([], pids)
                looked = now
            time.sleep(0.005)
        for queue in self._module.queues:
            tables = [queue.table, queue.later, queue.failed, queue.suspects]
            tables += [queue.keys] if queue.keys else []
            tables += [queue.lease.running] if queue.lease else []
            tables += [queue.history.done] if queue.history else []
            self._change(f"TRUNCATE {', '.join(tables)}", tables)
        if self._module.queues:
            self._change(f"DELETE FROM {self._module.paused_queues}", [self._module.paused_queues])
        schedules = self._module.schedules
        if schedules is not None:
            declared = "expression = declared_expression, time_zone = declared_time_zone"
            fresh = (
                "paused = false, run_now = false, settled_until = clock_timestamp(), next_run = NULL, retry_at = NULL"
            )
            self._change(f"UPDATE {schedules.table} SET {declared}, {fresh}", [schedules.table])
            self._change(f"DELETE FROM {schedules.runs}", [schedules.runs])
        self.connection.execute(f"SELECT {self._module.resume.name}()".encode())
        if schedules is not None:
            # each worker makes its row when it first looks; of those that are never due again nothing is to be seen
            from pgbgw.ir.model import CronBody

            at = datetime.now(UTC)
            found = [w.body.schedule for w in self._module.workers if isinstance(w.body, CronBody)]
            wanted = sum(each.not_after is None or (_time(each.not_after) or at) > at for each in found)
            count = f"SELECT count(*) FROM {schedules.table} WHERE next_run IS NOT NULL"
            deadline = time.monotonic() + _LONGEST_HANDLER
            while self.connection.execute(count.encode()).fetchone() != (wanted,):
                if time.monotonic() > deadline:
                    log = "\n".join(self.cluster.log_lines().lines[-20:])
                    raise StillWaiting(f"a worker has not looked at its schedule for {_LONGEST_HANDLER:g} s\n{log}")
                time.sleep(0.005)

    def _change(self, statement: str, tables: list[str]) -> None:
        """Run a statement; sessions that have left a transaction open on its tables are ended."""
        import psycopg

        deadline = time.monotonic() + _LONGEST_HANDLER
        while True:
            try:
                with self.connection.transaction():
                    self.connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}s'".encode())
                    self.connection.execute(statement.encode())
                return
            except psycopg.errors.LockNotAvailable as error:
                if time.monotonic() > deadline:
                    raise StillWaiting(f"{', '.join(tables)} can't be emptied for {_LONGEST_HANDLER:g} s") from error
                self._end_holders(tables, [])

    def _end_holders(self, tables: list[str], blocked: list[int]) -> None:
        """End sessions that have locks on tables, or keep processes waiting; a warning tells which they were."""
        holders = self.connection.execute(_HOLDERS, {"tables": tables, "blocked": blocked}).fetchall()
        for pid, application, query in holders:
            self.connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            name = f' "{application}"' if application else ""
            statement = " ".join(query.split())
            warnings.warn(
                pytest.PytestWarning(
                    f"an earlier test has left a transaction open that keeps queues from being emptied; its session"
                    f"{name} was ended, whose last statement was: {statement[:200]}"
                ),
                stacklevel=1,
            )


def _time(at: int | None) -> datetime | None:
    """A time of the middle form."""
    return None if at is None else datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def _noting(handler: Callable[..., Any], errors: list[BaseException]) -> Callable[..., Any]:
    """The same handler, whose errors are noted; it is called as the other one would be."""
    from pgbgw.client.handlers import is_asynchronous

    if is_asynchronous(handler):

        @functools.wraps(handler)
        async def asynchronous(*arguments: Any) -> Any:
            try:
                return await handler(*arguments)
            except BaseException as error:
                errors.append(error)
                raise

        return asynchronous

    @functools.wraps(handler)
    def plain(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except BaseException as error:
            errors.append(error)
            raise

    return plain


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is said in ``pyproject.toml``."""
    parser.addini("pgbgw_declaration", "the declaration whose extension tests use", "string", "")
    parser.addini("pgbgw_setup", "SQL to run before the extension is created: tables, handlers, roles", "string", "")
    parser.addini("pgbgw_pg_config", "pg_config of the server; that of the embedded one unless given", "string", "")


@pytest.fixture(scope="session")
def pgbgw_cluster(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any, str]]:
    """The server of a test session: the extension is built, installed, preloaded and created."""
    import psycopg

    from pgbgw.build import find_server
    from pgbgw.build.pgconfig import embedded_pg_config
    from pgbgw.build.pgxs import build
    from pgbgw.check import Target, check
    from pgbgw.codegen.emit import emit
    from pgbgw.declare.load import load
    from pgbgw.diagnostics import DeclarationError
    from pgbgw.lower import lower
    from pgbgw.server import throwaway_cluster
    from pgbgw.server.watcher import removed_if_killed
    from pgbgw.sqltext import quote_ident

    declaration = _path(request.config, "pgbgw_declaration")
    if declaration is None:
        pytest.fail('say pgbgw_declaration = "shop.py" in [tool.pytest.ini_options]', pytrace=False)
    setup = _path(request.config, "pgbgw_setup")
    if setup is not None and not setup.is_file():
        pytest.fail(f"pgbgw_setup in [tool.pytest.ini_options] names no file: {setup}", pytrace=False)
    try:
        extension = load(declaration)
        assert extension is not None
        module = lower(check(extension, Target(max_worker_processes=64)))
    except DeclarationError as error:
        pytest.fail(str(error).strip(), pytrace=False)
    database = next((each.value for each in module.databases if each.value is not None), "postgres")
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-testing-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        watch = stack.enter_context(removed_if_killed())
        watch(folder)
        pg = find_server(str(request.config.getini("pgbgw_pg_config")) or str(embedded_pg_config() or "pg_config"))
        artifact = build(emit(module), pg, folder / module.name)
        with throwaway_cluster(pg, settings={"max_worker_processes": "64"}, watch=watch) as cluster:
            cluster.install(artifact)
            if database != "postgres":
                with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {quote_ident(database)}".encode())
            with psycopg.connect(cluster.conninfo(database), autocommit=True) as connection:
                if setup is not None:
                    _set_up(connection, setup)
            cluster.preload(module.name)
            cluster.restart()
            with psycopg.connect(cluster.conninfo(database), autocommit=True) as connection:
                connection.execute(f"CREATE EXTENSION {quote_ident(module.name)}".encode())
            yield cluster, module, database


@pytest.fixture
def pgbgw_database(pgbgw_cluster: tuple[Any, Any, str]) -> Iterator[TestDatabase]:
    """The database of the extension, with empty queues and workers that run."""
    import psycopg

    cluster, module, database = pgbgw_cluster
    if cluster.status().state != "running":
        # the test before it has stopped it, or crashed it
        cluster.start()
    with psycopg.connect(cluster.conninfo(database), autocommit=True) as connection:
        made = TestDatabase(cluster, module, database, connection)
        made._clear()
        yield made


def _set_up(connection: psycopg.Connection[Any], setup: Path) -> None:
    """Run the script; what the server refuses is told with its place."""
    import psycopg

    script = setup.read_text(encoding="utf-8")
    try:
        connection.execute(script.encode())
    except psycopg.Error as error:
        place = error.diag.statement_position
        line = f":{script.count(chr(10), 0, int(place) - 1) + 1}" if place else ""
        pytest.fail(f"{setup}{line}: {error}", pytrace=False)


def _path(config: pytest.Config, name: str) -> Path | None:
    """A file that the configuration names, relative to where that stands."""
    text = str(config.getini(name))
    return (config.rootpath / text) if text else None
