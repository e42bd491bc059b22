"""Slots, connections, roles and logins that run out or go away; neighbours that fail."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.jobs import soon
from pgbgw.faults.neighbour import NEIGHBOUR, install_neighbour
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import Red, eventually
from pgbgw.faults.workers import all_work, aside, called, here, registered
from pgbgw.ir.model import WorkerIR
from pgbgw.observe import processes
from pgbgw.sqltext import quote_ident

__all__: list[str] = []

_Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECTIONS = 8

_NO_CRASH = r"was terminated by signal|terminating any other active server processes"


@check(
    "slots.registration",
    "max_worker_processes is too small for all workers, and the server is restarted",
    "The server starts, and its log names max_worker_processes. Workers that have a slot work; jobs of others wait.",
    rules=(38,),
    needs=("static",),
)
def registration(stage: Stage) -> str:
    """PostgreSQL's own launcher of logical replication takes the first slot, so that one worker is left without."""
    count, mark = len(registered(stage)), stage.mark()
    with stage.settings(max_worker_processes=str(count)):
        stage.told("too many background workers", mark)
        stage.told('HINT: .*"max_worker_processes"', mark)
        eventually(lambda: len(stage.pids()) == count - 1, what=f"{count - 1} of {count} processes")
        there = {name for name, _ in stage.pids()}
        jobs = {line.name: stage.enqueue(line, 5) for line in stage.lines}
        for line in stage.lines:
            if there & {taker.name for taker in line.takers}:
                stage.audit(line, jobs[line.name])
        crashed = stage.log(_NO_CRASH, mark)
        require(not crashed, f"the server has crashed: {crashed[:1]}")
    stage.idle()
    seen = [stage.audit(line, jobs[line.name]) for line in stage.lines]
    return "; ".join([f"{count - 1} of {count} processes run, the log says why", *seen[:1], all_work(stage)])


# connections


@check(
    "slots.connections",
    "sessions have taken all of max_connections",
    "Workers need none of them: jobs of one of these sessions are done, and a worker that has ended comes back.",
    rules=(38,),
    needs=("queue",),
)
def connections(stage: Stage) -> str:
    """All is done, and looked at, in one of the sessions that are open."""
    reserved = {"reserved_connections": "0"} if stage.cluster.pg.major >= 16 else {}
    with (
        stage.settings(max_connections=str(_CONNECTIONS), superuser_reserved_connections="0", **reserved),
        contextlib.ExitStack() as sessions,
    ):
        stage.idle()
        session = sessions.enter_context(stage.connect())
        count = _fill(stage, sessions)
        jobs = {line.name: stage.enqueue(line, 5, connection=session) for line in stage.lines}
        eventually(lambda: _in_ledger(session) >= _all(jobs), what="the jobs done")
        renewed = [line for line in stage.lines if all(taker.restart is not None for taker in line.takers)]
        for line in renewed:
            _another_process(stage, session, line)
            jobs[line.name] += stage.enqueue(line, 5, connection=session)
        eventually(lambda: _in_ledger(session) >= _all(jobs), what="the jobs done after it")
    stage.idle()
    seen = [stage.audit(line, jobs[line.name]) for line in stage.lines]
    return f"{count} sessions, and no more let in; workers of {len(renewed)} queues ended and came back; {seen[0]}"


def _fill(stage: Stage, sessions: contextlib.ExitStack) -> int:
    """Open sessions until the server lets none in; how many there are then."""
    for count in range(1, _CONNECTIONS + 1):
        try:
            sessions.enter_context(stage.connect())
        except psycopg.OperationalError as error:
            require("too many clients" in str(error), f"refused otherwise: {error}")
            return count
    raise Red(f"more than {_CONNECTIONS} sessions were let in")


def _in_ledger(session: _Connection) -> set[tuple[str, int]]:
    return set(session.execute(f"SELECT worker, job FROM {SCHEMA}.ledger WHERE job IS NOT NULL".encode()).fetchall())


def _all(jobs: dict[str, list[int]]) -> set[tuple[str, int]]:
    return {(name, job) for name, ids in jobs.items() for job in ids}


def _another_process(stage: Stage, session: _Connection, line: Line) -> None:
    """End the processes that take from a queue, and wait until others are there."""
    names = {taker.name for taker in line.takers}

    def pids() -> set[int | None]:
        return {each.pid for each in processes(session, stage.subject) if each.worker in names}

    before = pids()
    session.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(before)])
    eventually(lambda: not (pids() & before) and None not in pids(), what=f"other processes of {sorted(names)}")


# roles and databases that are closed


@contextlib.contextmanager
def _closed(stage: Stage, close: str, reopen: str) -> Iterator[_Connection]:
    """Close something by a statement in another database, and open it again; a session that began before."""
    with contextlib.closing(stage.connect()) as session:
        stage.rows(close, dbname=aside(stage.database))
        try:
            yield session
        finally:
            stage.rows(reopen, dbname=aside(stage.database))


def _end(stage: Stage, session: _Connection, workers: Sequence[WorkerIR]) -> list[str]:
    """End the processes of some workers; what the log calls them."""
    names = {worker.name for worker in workers}
    every = processes(session, stage.subject)
    found = [each for each in every if each.worker in names and each.pid is not None]
    pids = [each.pid for each in found]
    session.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
    several = {each.worker for each in every if each.process > 1}
    return [f"{each.title} {each.process}" if each.worker in several else each.title for each in found]


def _failed(stage: Stage, workers: Sequence[WorkerIR], mark: int) -> int:
    """How often a process of some workers has ended with FATAL without having been asked to."""
    titles = "|".join(re.escape(worker.title) for worker in workers)
    return len(
        [line for line in stage.log(rf"\] ({titles}) FATAL:", mark) if "terminating background worker" not in line]
    )


def _end_and_wait(stage: Stage, session: _Connection, workers: Sequence[WorkerIR], reason: str) -> str:
    """End the processes of some workers, and see that the next ones say what they wait for, once each.

    One process has to fail to connect before the next one looks why; more FATAL lines would be a loop.
    """
    mark = stage.mark()
    names = _end(stage, session, workers)
    for name in names:
        stage.told(rf'LOG:  worker "{re.escape(name)}" waits: {reason}', mark)
    told = stage.log(f"waits: {reason}", mark)
    require(len(told) == len(names), f"{len(names)} processes have told {len(told)} times that they wait")
    failed = _failed(stage, workers, mark)
    require(failed <= len(names), f"{len(names)} processes have failed {failed} times to connect")
    return f"{len(names)} processes wait, and say so once"


def _returning(workers: Sequence[WorkerIR]) -> tuple[WorkerIR, ...]:
    return tuple(worker for worker in workers if worker.restart is not None)


def _confined(stage: Stage) -> tuple[list[str], tuple[WorkerIR, ...]]:
    """The roles that are no superusers', and the workers that run as them and are restarted."""
    workers = _returning(stage.confined)
    return sorted({quote_ident(stage.role(worker) or "") for worker in workers}), workers


def _back(stage: Stage, told: str, jobs: dict[str, list[int]]) -> str:
    stage.idle()
    seen = [stage.audit(line, jobs[line.name]) for line in stage.lines]
    return "; ".join(dict.fromkeys([told, *seen, all_work(stage)]))


@check(
    "slots.allow_connections",
    "ALTER DATABASE ... ALLOW_CONNECTIONS false of the workers' own database, and they end meanwhile",
    "Those that are connected work on. Those that begin wait, say so once, and are back when it allows connections.",
    rules=(6,),
    needs=("restarted",),
)
def allow_connections(stage: Stage) -> str:
    """A session that is in the database stays in it as well."""
    change = f"ALTER DATABASE {quote_ident(stage.database)} ALLOW_CONNECTIONS"
    with _closed(stage, f"{change} false", f"{change} true") as session:
        jobs = {line.name: stage.enqueue(line, 5, connection=session) for line in stage.lines}
        eventually(lambda: _in_ledger(session) >= _all(jobs), what="the jobs done by who is connected")
        reason = rf'database "{re.escape(stage.database)}" does not allow connections'
        told = _end_and_wait(stage, session, _returning(here(stage)), reason)
        for line in stage.lines:
            jobs[line.name] += stage.enqueue(line, 5, connection=session)
    return _back(stage, told, jobs)


@check(
    "slots.login",
    "the workers' role loses its right to log in, and they end meanwhile",
    "Those that are connected work on. Those that begin wait, say so once, and are back when the role may log in.",
    rules=(6, 8),
    needs=("restarted role",),
)
def login(stage: Stage) -> str:
    """Only roles that are no superusers' are touched."""
    roles, workers = _confined(stage)
    close = "; ".join(f"ALTER ROLE {name} NOLOGIN" for name in roles)
    jobs = {}
    with _closed(stage, close, close.replace("NOLOGIN", "LOGIN")) as session:
        for line in stage.lines:
            jobs[line.name] = stage.enqueue(line, 5)
            soon(stage, line, jobs[line.name])
        told = _end_and_wait(stage, session, workers, 'role ".*" is not permitted to log in')
        for line in stage.lines:
            jobs[line.name] += stage.enqueue(line, 5)
    return _back(stage, told, jobs)


@check(
    "slots.role",
    "the workers' role is dropped with all its rights, while they run; later there is such a role again",
    "They can't get at the queue, and spend no attempt. Those that begin wait, say so once, and are back later.",
    rules=(6, 8, 30),
    needs=("restarted role",),
)
def role(stage: Stage) -> str:
    """What else belongs to the role stays: its row alone is taken away, and put back."""
    roles, workers = _confined(stage)
    tables = ", ".join(t for line in stage.lines for t in (line.queue.table, line.queue.later, line.queue.failed))
    kept, rights = f"{SCHEMA}.kept_roles", f"SELECT, INSERT, UPDATE, DELETE ON {tables}"
    names = ", ".join(roles)
    stage.rows(f"CREATE TABLE {kept} AS SELECT * FROM pg_authid WHERE quote_ident(rolname) = ANY (%s)", [roles])
    drop, make = (
        f"DELETE FROM pg_authid WHERE oid IN (SELECT oid FROM {kept})",
        f"INSERT INTO pg_authid SELECT * FROM {kept}",
    )
    try:
        with contextlib.closing(stage.connect()) as session:
            stage.rows(f"REVOKE {rights} FROM {names}; {drop}" if tables else drop)
            try:
                jobs = {line.name: stage.enqueue(line, 5) for line in stage.lines}
                told = _denied(stage, workers, jobs)
                told += _end_and_wait(stage, session, workers, 'role ".*" does not exist')
            finally:
                stage.rows(f"{make}; GRANT {rights} TO {names}" if tables else make)
    finally:
        stage.rows(f"DROP TABLE {kept}")
    return _back(stage, told, jobs)


def _denied(stage: Stage, workers: tuple[WorkerIR, ...], jobs: dict[str, list[int]]) -> str:
    """See that takers which may not look into their queue back off, and that no job of theirs is touched."""
    lines = [line for line in stage.lines if set(line.takers) <= set(workers)]
    for line in lines:
        eventually(partial(_back_off, stage, line), what=f'takers of "{line.queue.name}" backing off')
        found = stage.rows(f"SELECT DISTINCT status, attempts FROM {line.queue.view}")
        require(found == [("ready", 0)], f"jobs are {found}, not ready without attempts")
        require(not stage.done(line.name), "a job was done")
    return "takers back off, no attempt is spent; " if lines else ""


def _back_off(stage: Stage, line: Line) -> bool:
    return {state for taker in line.takers for state in stage.states(taker)} == {"backing off"}


@check(
    "slots.connection_limit",
    "CONNECTION LIMIT 0 for the workers' database and for their role, which is no superuser's, and they end",
    "They are back at once where PostgreSQL does not count background workers, else when the limit is lifted.",
    rules=(6, 8),
    needs=("restarted role",),
)
def connection_limit(stage: Stage) -> str:
    """A session is in the database, so that the limit is exceeded."""
    roles, workers = _confined(stage)
    close = f"ALTER DATABASE {quote_ident(stage.database)} CONNECTION LIMIT 0"
    close = "; ".join([close, *(f"ALTER ROLE {name} CONNECTION LIMIT 0" for name in roles)])
    mark = stage.mark()
    with _closed(stage, close, close.replace("LIMIT 0", "LIMIT -1")) as session:
        before = {each.pid for each in processes(session, stage.subject)}
        names = _end(stage, session, workers)
        eventually(
            lambda: _failed(stage, workers, mark) or _all_back(stage, session, workers, before), what="them back"
        )
        jobs = {line.name: stage.enqueue(line, 5) for line in stage.lines}
    stage.idle()
    failed = _failed(stage, workers, mark)
    require(failed <= 2 * len(names), f"{len(names)} processes have failed {failed} times to connect")
    return _back(stage, f"{len(names)} processes ended, {failed} times refused", jobs)


def _all_back(stage: Stage, session: _Connection, workers: Sequence[WorkerIR], before: set[int | None]) -> bool:
    names = {worker.name for worker in workers}
    now = [each.pid for each in processes(session, stage.subject) if each.worker in names]
    return None not in now and not before & set(now)


# neighbours


def _beside(stage: Stage, *libraries: str) -> str:
    """A value of shared_preload_libraries with a neighbour in it."""
    install_neighbour(stage)
    return ", ".join(libraries)


@check(
    "slots.neighbour",
    "the worker of another preloaded library ends with FATAL each second",
    "Ours work undisturbed.",
    rules=(12,),
    needs=("static",),
)
def neighbour(stage: Stage) -> str:
    """It is loaded before ours."""
    with stage.settings(shared_preload_libraries=_beside(stage, NEIGHBOUR, stage.module.name)):
        stage.idle()
        before, mark = stage.pids(), stage.mark()
        eventually(lambda: len(stage.log("neighbour ends", mark)) > 1, what="ends of the neighbour")
        seen = all_work(stage)
        ends = len(stage.log("neighbour ends", mark))
        require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    stage.idle()
    return f"the neighbour ended {ends} times; same pids; {seen}"


@check(
    "slots.neighbour_hook",
    "another library, loaded after ours, does not call the shmem_startup_hook that was there before",
    "The server runs without our workers, and the log says why, once for each. Jobs are kept until it is mended.",
    rules=(1, 31),
    needs=("static",),
)
def neighbour_hook(stage: Stage) -> str:
    """Our shared memory is never set up; nothing of ours may look into it."""
    names = [called(stage, each) for each in registered(stage)]
    mark = stage.mark()
    beside = _beside(stage, stage.module.name, NEIGHBOUR)
    with stage.settings(shared_preload_libraries=beside, **{f"{NEIGHBOUR}__breaks_chain": "on"}):
        for name in names:
            stage.told(
                rf'worker "{re.escape(name)}" can\'t run: the shared memory of "{stage.module.name}" was not', mark
            )
        told = stage.log("shared memory of .* was not initialized", mark)
        require(len(told) == len(names), f"{len(names)} processes have told it {len(told)} times")
        require(bool(stage.log("HINT: .*shared_preload_libraries", mark)), "no hint tells what to do")
        jobs = {line.name: stage.enqueue(line, 5) for line in stage.lines}
        try:
            stage.processes()
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass
        else:
            raise Red("there is something to see of the workers")
        for line in stage.lines:
            require(stage.left(line) == 5, f"{stage.left(line)} of 5 jobs wait")
        crashed = stage.log(_NO_CRASH, mark)
        require(not crashed, f"the server has crashed: {crashed[:1]}")
    return _back(stage, f"{len(names)} processes ended for good, and said why once; no crash", jobs)
