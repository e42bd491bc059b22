"""Launches by sessions: no slot is free, too many at once, and a process that is fast."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.checks.crashes import launch
from pgbgw.faults.inhand import HELD, release
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import Red, eventually
from pgbgw.faults.workers import registered
from pgbgw.ir.model import WorkerIR

__all__: list[str] = []


def _refused(stage: Stage, worker: WorkerIR) -> psycopg.Error:
    try:
        launch(stage, worker)
    except psycopg.Error as error:
        require(error.sqlstate == "53000", f"refused otherwise: {error.sqlstate} {error}")
        return error
    raise Red(f'"{worker.name}" was launched')


@contextlib.contextmanager
def _parallel_query(stage: Stage) -> Iterator[None]:
    """A session whose query occupies a slot for background workers."""
    name = "debug_parallel_query" if stage.cluster.pg.major >= 16 else "force_parallel_mode"
    with contextlib.closing(stage.connect()) as connection:
        connection.execute(f"SET {name} = on".encode())
        connection.pgconn.send_query(b"SELECT pg_sleep(600)")
        try:
            eventually(lambda: stage.pid("parallel worker"), what="a parallel worker")
            yield
        finally:
            connection.pgconn.get_cancel().cancel()
            eventually(lambda: stage.pid("parallel worker") is None, what="the end of the parallel worker")


@check(
    "slots.launch",
    "a worker is launched while no background worker slot is free",
    "It fails with SQLSTATE 53000, and its hint names max_worker_processes. When a slot is free again it succeeds.",
    rules=(38,),
    needs=("dynamic",),
)
def launch_without_slot(stage: Stage) -> str:
    """The only slot is taken by a parallel query; launches that fail must not use up what was declared."""
    worker = stage.dynamic[0]
    tries = len(stage.states(worker)) + 1
    with stage.settings(max_worker_processes=str(len(registered(stage)) + 2)):
        stage.idle()
        with _parallel_query(stage):
            for _ in range(tries):
                error = _refused(stage, worker)
                hint = error.diag.message_hint or ""
                require("max_worker_processes" in hint, f"{error}; the hint is {hint!r}")
        require(set(stage.states(worker)) == {"stopped"}, f"slots are in use: {stage.states(worker)}")
        launch(stage, worker)
        eventually(lambda: stage.done(worker.name)[0] == 1, what="the launched worker")
    return f"{tries} launches refused with a hint; with a free slot the next one was done"


@check(
    "slots.launch_limit",
    "more launches at once than the worker's declared limit",
    "The one too many fails with SQLSTATE 53000. When one has ended there is room again.",
    rules=(38,),
    needs=("dynamic",),
)
def launch_limit(stage: Stage) -> str:
    """Every dynamic worker has a limit of its own."""
    told = []
    for worker in stage.dynamic:
        limit = len(stage.states(worker))
        stage.script(worker, HELD)
        for count in range(1, limit + 1):
            launch(stage, worker)
            eventually(partial(_at_work, stage, worker, count), what=f'{count} of "{worker.title}" at work')
        error = _refused(stage, worker)
        require("running already" in str(error), f"refused otherwise: {error}")
        release(stage)
        eventually(partial(_done, stage, worker, limit), what="the end of the launched workers")
        launch(stage, worker)
        eventually(partial(_done, stage, worker, limit + 1), what="another launch")
        told.append(f"{worker.name}: {limit} at once, {limit + 1} done in all")
    return "; ".join(told)


def _at_work(stage: Stage, worker: WorkerIR, count: int) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep'"
    return bool(stage.value(query, [worker.title]) == count)


def _done(stage: Stage, worker: WorkerIR, count: int) -> bool:
    """So many launches stand in the ledger, and no process is there any more."""
    found = [each for each in stage.processes() if each.worker == worker.name]
    ended = all(each.pid is None and each.state == "stopped" for each in found)
    return ended and stage.done(worker.name)[0] == count


@check(
    "slots.launch_fast",
    "a launched worker has ended before the session that launched it looks for it",
    "The launch returns its pid: that a process has ended does not mean that it failed.",
    rules=(35,),
    needs=("launch that waits",),
)
def launch_fast(stage: Stage) -> str:
    """The session is stopped while its worker can't connect yet, and goes on when the worker has ended.

    Who begins needs pg_authid, so that a lock on it holds the worker back; hence no other session may begin either.
    """
    worker = next(worker for worker in stage.dynamic if worker.notify)
    arguments = ", ".join(f"NULL::{argument.sql_type}" for argument in worker.arguments)
    with contextlib.ExitStack() as sessions:
        starter, holder, watcher = (sessions.enter_context(contextlib.closing(stage.connect())) for _ in range(3))
        waits = "SELECT wait_event FROM pg_stat_get_activity(%s)"
        ended = f"SELECT pid FROM {SCHEMA}.ledger WHERE worker = %s"
        for query, parameter in ((waits, starter.info.backend_pid), (ended, worker.name)):
            watcher.execute(query.encode(), [parameter])
        holder.execute("BEGIN; LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
        starter.pgconn.send_query(f"SELECT {worker.launch.name if worker.launch else ''}({arguments})".encode())
        event = "bgworkerstartup"
        pid = starter.info.backend_pid
        eventually(lambda: str(watcher.execute(waits.encode(), [pid]).fetchall()[0][0]).lower() == event, what=event)
        os.kill(pid, signal.SIGSTOP)
        try:
            holder.execute("ROLLBACK")
            (done,) = eventually(lambda: watcher.execute(ended.encode(), [worker.name]).fetchall(), what="the launch")
            eventually(lambda: not _exists(done[0]), what="the end of the process")
        finally:
            os.kill(pid, signal.SIGCONT)
        result = starter.pgconn.get_result()
        require(result is not None and result.ntuples == 1, f"the launch failed: {result and result.error_message!r}")
        returned = int((result and result.get_value(0, 0)) or 0)
    require(returned == done[0], f"the launch returned {returned}, the process was {done[0]}")
    return f"its pid was returned, and it was done: {stage.done(worker.name)[0]} launch in the ledger"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
