"""Workers ended and started again, and whether all of them work: what checks of several families do."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pgbgw.faults.inhand import release
from pgbgw.faults.stage import Stage
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import WorkerIR
from pgbgw.observe import Process
from pgbgw.sqltext import quote_ident

__all__ = [
    "all_work",
    "aside",
    "called",
    "drop_in_a_run",
    "here",
    "hold",
    "kill",
    "registered",
    "renew",
    "rounds_here",
    "static_processes",
]


def aside(database: str) -> str:
    """A database from which statements on ``database`` can be run."""
    return "template1" if database == "postgres" else "postgres"


def kill(stage: Stage, pid: int) -> None:
    """SIGKILL to a server process, as the kernel sends it when memory runs out, and wait for the end of recovery."""
    mark = stage.mark()
    os.kill(pid, signal.SIGKILL)
    stage.told(rf"PID {pid}\) was terminated by signal 9", mark)
    stage.wait_for_crash_recovery(mark)


def drop_in_a_run(stage: Stage) -> None:
    """DROP EXTENSION, while a run that is held has it: it waits until the run is released; created again after that."""
    waits = "SELECT FROM pg_stat_activity WHERE query LIKE 'DROP EXTENSION %%' AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        dropping = pool.submit(stage.rows, f"DROP EXTENSION {quote_ident(stage.module.name)}")
        try:
            eventually(partial(stage.rows, waits), what="DROP EXTENSION that waits")
        finally:
            release(stage)
            dropping.exception(20)
            stage.create_extension()


def here(stage: Stage) -> tuple[WorkerIR, ...]:
    """The static workers of the database that checks look at."""
    return tuple(worker for worker in stage.static if stage.home(worker) == stage.database)


def rounds_here(stage: Stage) -> tuple[WorkerIR, ...]:
    """The interval workers of the database that checks look at."""
    return tuple(worker for worker in stage.rounds if stage.home(worker) == stage.database)


def static_processes(stage: Stage, workers: tuple[WorkerIR, ...] | None = None) -> list[Process]:
    """The processes of static workers, those among them that are connected to a database."""
    names = {worker.name for worker in (stage.static if workers is None else workers)}
    return [each for each in stage.processes() if each.worker in names]


def registered(stage: Stage) -> list[Process]:
    """The processes that the postmaster starts, those without a database among them."""
    return [each for each in stage.processes() if each.worker not in stage.subject.dynamic]


def called(stage: Stage, process: Process) -> str:
    """What a process is called in the server log."""
    alone = sum(each.worker == process.worker for each in stage.processes()) == 1
    return process.title if alone else f"{process.title} {process.process}"


def renew(stage: Stage) -> int:
    """Have another process for each that is connected to a database, and wait until they are idle; how many.

    They are ended one by one, or with the server where one of them would not come back.
    """
    if any(worker.restart is None for worker in stage.static):
        stage.cluster.restart()
    else:
        before = {each.pid for each in static_processes(stage)} - {None}
        for pid in before:
            os.kill(pid or 0, signal.SIGTERM)
        eventually(lambda: not before & {each.pid for each in static_processes(stage)}, what="the end of the workers")
    stage.idle()
    return len(static_processes(stage))


def all_work(stage: Stage, jobs: int = 5) -> str:
    """Every worker does what it is there for: jobs are done, and rounds come."""
    before = {worker.name: stage.done(worker.name)[0] for worker in rounds_here(stage)}
    told = [stage.audit(line, stage.enqueue(line, jobs)) for line in stage.lines]
    for name, count in before.items():
        eventually(partial(_more_rounds, stage, name, count), what=f'a round of "{name}"')
    return "; ".join(dict.fromkeys(told)) or "rounds go on"


def _more_rounds(stage: Stage, name: str, before: int) -> bool:
    return stage.done(name)[0] > before


def hold(stage: Stage, **settings: str) -> None:
    """Set settings of the server to other values, and wait until every worker that is idle has read them."""
    mark = stage.mark()
    stage.set(**settings)
    for name in settings:
        stage.told(f'parameter "{name.replace("__", ".")}" changed', mark)
    # a session that begins now is made by a postmaster that has told its processes
    stage.value("SELECT 1")
    stage.idle()
