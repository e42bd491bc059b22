"""Shutdown: of the server in each of its modes while workers are at work, and of the workers on request."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.checks.crashes import kill_backend, launch
from pgbgw.faults.inhand import InHand, again, asleep, finish, more_rounds, release, take, take_rounds
from pgbgw.faults.jobs import never, wake_up_alone
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.observe import Process

__all__: list[str] = []

_FAST_S = 1.0
"""How long the server may take in the middle of a query."""


@contextmanager
def _stopping(stage: Stage, mode: Literal["smart", "fast", "immediate"]) -> Iterator[float]:
    """pg_ctl stop beside the block; leaving the block waits for its end."""
    thread = threading.Thread(target=stage.cluster.stop, args=(mode,))
    began = time.monotonic()
    thread.start()
    try:
        yield began
    finally:
        thread.join()


def _stop(stage: Stage, mode: Literal["fast", "immediate"]) -> float:
    """Stop the server; the time from the start of pg_ctl to the end of the postmaster, s."""
    # what is left to write to disk is not to be measured
    stage.rows("CHECKPOINT")
    with _stopping(stage, mode) as began:
        eventually(lambda: not stage.cluster.status().running, 60, "the end of the postmaster")
        took = time.monotonic() - began
    return took


def _after_start(stage: Stage, taken: list[InHand]) -> str:
    stage.cluster.start()
    again(stage, taken)
    return finish(stage, taken)


@check(
    "shutdown.fast",
    "a fast shutdown while handlers are in a query of ten minutes",
    "The server is down within a second; the jobs are there after the start, no attempt is spent, and are done once.",
    rules=(10,),
    needs=("queue",),
)
def fast(stage: Stage) -> str:
    """A worker of each queue is in mid-query."""
    taken = take(stage)
    took = _stop(stage, "fast")
    require(took < _FAST_S, f"the server took {took:.2f} s to shut down")
    return f"down after {took:.2f} s; {_after_start(stage, taken)}"


@check(
    "shutdown.fast_round",
    "a fast shutdown while interval workers are in a query of ten minutes",
    "The server is down within a second; the rounds are undone, and others follow after the start.",
    rules=(10,),
    needs=("interval",),
)
def fast_round(stage: Stage) -> str:
    """Every interval worker at once."""
    taken = take_rounds(stage)
    took = _stop(stage, "fast")
    require(took < _FAST_S, f"the server took {took:.2f} s to shut down")
    stage.cluster.start()
    for worker in taken:
        eventually(partial(more_rounds, stage, worker), 20, f'a round of "{worker.name}"')
    return f"down after {took:.2f} s, {len(taken)} rounds undone; others followed"


@check(
    "shutdown.immediate",
    "an immediate shutdown while handlers are in a query of ten minutes",
    "The server ends at once and recovers at its start; the jobs are there, no attempt is spent, and are done once.",
    rules=(10, 33),
    needs=("queue",),
)
def immediate(stage: Stage) -> str:
    """No process cleans up, and shared memory is left as it was."""
    taken = take(stage)
    took = _stop(stage, "immediate")
    mark = stage.mark()
    seen = _after_start(stage, taken)
    require(bool(stage.log("was not properly shut down", mark)), "the server has not recovered")
    return f"down after {took:.2f} s, recovered; {seen}"


@check(
    "shutdown.smart",
    "a smart shutdown while a client is connected and handlers are in a query of ten minutes",
    "Workers go on while a client is there; once the last one has left they are ended as by a fast shutdown, and no job"
    " is lost.",
    rules=(10,),
    needs=("queue",),
)
def smart(stage: Stage) -> str:
    """PostgreSQL ends background workers after the clients, without waiting for them."""
    taken = take(stage)
    mark = stage.mark()
    session = stage.connect()
    try:
        with _stopping(stage, "smart"):
            stage.told("received smart shutdown request", mark)
            _closed(stage)
            busy = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event = 'PgSleep'"
            row = session.execute(busy, [[hand.pid for hand in taken]]).fetchone()
            session.close()
            began = time.monotonic()
            eventually(
                lambda: not stage.cluster.status().running, 30, "the end of the postmaster once no client is connected"
            )
            took = time.monotonic() - began
    finally:
        session.close()
    require(row == (len(taken),), f"of {len(taken)} jobs {row} were in hand while the client was connected")
    return f"jobs stayed in hand beside the client; down {took:.2f} s after it left; {_after_start(stage, taken)}"


def _closed(stage: Stage) -> None:
    """Wait until the server lets nobody in any more."""

    def refused() -> bool:
        try:
            stage.connect().close()
        except psycopg.OperationalError:
            return True
        return False

    eventually(refused, what="a server that refuses connections")


@check(
    "shutdown.launched",
    "a fast shutdown while a launched worker is in the middle of its work",
    "The server is down within a second; what the worker did is undone, and nothing starts it again.",
    rules=(10, 36),
    needs=("dynamic",),
)
def launched(stage: Stage) -> str:
    """Its slot is free after the start."""
    worker = stage.dynamic[0]
    stage.script(worker, asleep(worker))
    launch(stage, worker)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep'"
    eventually(lambda: stage.value(busy, [worker.title]) == 1, what="the launched worker at work")
    took = _stop(stage, "fast")
    require(took < _FAST_S, f"the server took {took:.2f} s to shut down")
    stage.cluster.start()
    release(stage)
    stage.idle()
    require(not stage.done(worker.name), "what the launched worker did is there")
    require(set(stage.states(worker)) == {"stopped"}, f"it runs again: {stage.states(worker)}")
    launch(stage, worker)
    eventually(lambda: stage.done(worker.name)[0] == 1, what="another launch")
    return f"down after {took:.2f} s, undone, not started again; launched anew, done once"


# on request


def _ask(stage: Stage) -> None:
    stage.rows(f"SELECT {stage.module.request_shutdown.name}()")


def _resume(stage: Stage) -> None:
    stage.rows(f"SELECT {stage.module.resume.name}()")


def _static(stage: Stage) -> list[Process]:
    """The processes that the postmaster starts."""
    return [each for each in stage.processes() if each.worker not in stage.subject.dynamic]


def _stand_still(stage: Stage, names: set[str] | None = None) -> None:
    """Wait until every process, or those of some workers, is there and paused."""

    def still() -> bool:
        return all(
            each.pid is not None and each.state == "paused"
            for each in _static(stage)
            if names is None or each.worker in names
        )

    eventually(still, 20, "paused workers")


def _flag(stage: Stage, wanted: bool) -> None:
    """The field that shows the request, where one is declared and stands in its view."""
    for state in stage.module.shared:
        for column in state.columns:
            if stage.module.shutdown_flag == (state.member, column.field):
                shown = stage.value(f"SELECT {column.name} FROM {state.view}")
                require(shown is wanted, f"{column.name} is {shown} in {state.view}, not {wanted}")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Jobs enqueued while the workers stand still, line by line, and the rounds that were done by then."""

    jobs: list[list[int]]
    rounds: dict[str, int]


def _wait(stage: Stage) -> _Waiting:
    return _Waiting([stage.enqueue(line, 5) for line in stage.lines], _rounds(stage))


def _rounds(stage: Stage) -> dict[str, int]:
    """How many rounds each interval worker has done."""
    return {worker.name: stage.done(worker.name, stage.home(worker))[0] for worker in stage.rounds}


def _untouched(stage: Stage, waiting: _Waiting) -> None:
    for line, jobs in zip(stage.lines, waiting.jobs, strict=True):
        _ready(stage, line, jobs)
    require(_rounds(stage) == waiting.rounds, f"rounds went on: {waiting.rounds} became {_rounds(stage)}")


def _done(stage: Stage, waiting: _Waiting) -> str:
    seen = [stage.audit(line, jobs) for line, jobs in zip(stage.lines, waiting.jobs, strict=True)]
    stage.idle()
    return "; ".join(dict.fromkeys(seen)) or "rounds go on"


def _ready(stage: Stage, line: Line, jobs: list[int]) -> None:
    rows = stage.rows(f"SELECT id, status, attempts FROM {line.queue.view} ORDER BY id")
    require(rows == [(job, "ready", 0) for job in jobs], f"jobs {jobs} have become {rows}")
    require(not set(jobs) & set(stage.done(line.name)), "jobs were done while the workers were asked to stand still")


@check(
    "shutdown.request",
    "the workers are asked to stand still while batches are under way, and jobs are enqueued afterwards",
    "The batch in hand is finished and nothing new is taken; no process ends, and resume lets them go on at once.",
    rules=(4,),
    needs=("queue",),
)
def request(stage: Stage) -> str:
    """Woken by hand only, so that "at once" means that resume has woken them."""
    wake_up_alone(stage)
    before = stage.pids()
    taken = take(stage, until_released=True)
    _ask(stage)
    hands = {hand.pid for hand in taken}
    others = [each for each in _static(stage) if each.pid not in hands]
    eventually(lambda: _paused(stage, {each.pid for each in others}), what="the workers that have nothing in hand")
    later = {hand.line.queue.number: stage.enqueue(hand.line, 5) for hand in taken}
    # a claimed job is locked, one that waits is not
    free = {hand.line.queue.number: _unclaimed(stage, hand.line) for hand in taken}
    release(stage)
    _stand_still(stage)
    _flag(stage, True)
    for hand in taken:
        waits = free[hand.line.queue.number]
        require(set(later[hand.line.queue.number]) <= set(waits), "jobs enqueued after the request were claimed")
        claimed = [job for job in hand.jobs if job not in waits]
        done = stage.done(hand.line.name)
        require(all(done[job] == 1 for job in claimed), f"in hand: {claimed}; done: {done}")
        _ready(stage, hand.line, waits)
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    _resume(stage)
    _flag(stage, False)
    seen = [stage.audit(hand.line, [*hand.jobs, *later[hand.line.queue.number]]) for hand in taken]
    stage.idle()
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{len(before)} processes paused and went on, same pids; {seen[-1]}"


def _paused(stage: Stage, pids: set[int | None]) -> bool:
    return all(each.state == "paused" for each in _static(stage) if each.pid in pids)


def _unclaimed(stage: Stage, line: Line) -> list[int]:
    with stage.connect() as connection, connection.transaction(force_rollback=True):
        rows = connection.execute(f"SELECT id FROM {line.queue.table} ORDER BY id FOR UPDATE SKIP LOCKED".encode())
        return [row[0] for row in rows]


@check(
    "shutdown.request_launch",
    "a launch while the workers are asked to stand still",
    "It is refused with SQLSTATE 55000 and a hint that names the function to resume with, and works after it.",
    rules=(38,),
    needs=("dynamic",),
)
def request_launch(stage: Stage) -> str:
    """Every dynamic worker."""
    _ask(stage)
    _stand_still(stage)
    for worker in stage.dynamic:
        try:
            launch(stage, worker)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            hint = error.diag.message_hint or ""
            require(stage.module.resume.name in hint, f'the hint does not name {stage.module.resume.name}: "{hint}"')
        else:
            require(False, f'"{worker.name}" was launched')
    require(not any(stage.done(worker.name) for worker in stage.dynamic), "a refused launch was run")
    _resume(stage)
    for worker in stage.dynamic:
        launch(stage, worker)
    eventually(lambda: all(stage.done(worker.name)[0] == 1 for worker in stage.dynamic), what="launches after resume")
    return f"{len(stage.dynamic)} launches refused with 55000, and done once after resume"


@check(
    "shutdown.request_outlives_restart",
    "workers are terminated while they are asked to stand still",
    "The processes that follow stand still as well, until resume.",
    rules=(4, 12),
    needs=("restarted",),
)
def request_outlives_restart(stage: Stage) -> str:
    """The request is one to the workers, and not to their processes."""
    _ask(stage)
    _stand_still(stage)
    waiting = _wait(stage)
    names = {worker.name for worker in stage.module.workers if worker.restart is not None}
    before = {key: pid for key, pid in stage.pids().items() if key[0] in names}
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not set(before.values()) & set(stage.pids().values()), what="the end of the processes")
    _stand_still(stage, names)
    _untouched(stage, waiting)
    _resume(stage)
    return f"{len(before)} processes followed and stood still; after resume {_done(stage, waiting)}"


@check(
    "shutdown.request_outlives_crash",
    "the server crashes, and is restarted, while the workers are asked to stand still",
    "They stand still after each, until resume: whoever has asked has not said that they may go on.",
    rules=(33,),
    needs=("static",),
)
def request_outlives_crash(stage: Stage) -> str:
    """Shared memory is new each time, and the request is kept beside it."""
    _ask(stage)
    _stand_still(stage)
    waiting = _wait(stage)
    kill_backend(stage)
    # a worker that is never restarted does not come back after a crash
    _stand_still(stage, {worker.name for worker in stage.module.workers if worker.restart is not None})
    _untouched(stage, waiting)
    stage.cluster.restart()
    _stand_still(stage)
    _flag(stage, True)
    _untouched(stage, waiting)
    _resume(stage)
    seen = _done(stage, waiting)
    stage.cluster.restart()
    stage.idle()
    return f"paused after a crash and after a restart; after resume {seen}, and idle after another restart"


@check(
    "shutdown.pause_queue",
    "a queue is paused while jobs come, and the server crashes meanwhile",
    "None of its jobs is begun until it is resumed, also after the restart, and then each is done.",
    needs=("queue",),
)
def pause_queue(stage: Stage) -> str:
    """A pause is a row of a table, so a crash does not end it."""
    jobs = {}
    for line in stage.lines:
        require(stage.value(f"SELECT {line.queue.pause}()") is True, "the queue was paused before")
        jobs[line.name] = stage.enqueue(line, 4)
        eventually(partial(_held_back, stage, line), what="takers that are paused")
    stage.cluster.stop("immediate")
    stage.cluster.start()
    for line in stage.lines:
        eventually(partial(_held_back, stage, line), what="takers that are paused after a crash")
        never(stage, line, jobs[line.name], "while the queue was paused")
    seen = ""
    for line in stage.lines:
        require(stage.value(f"SELECT {line.queue.resume}()") is True, "the queue was not paused any more")
        seen = stage.audit(line, jobs[line.name])
    return seen


def _held_back(stage: Stage, line: Line) -> bool:
    return {state for taker in line.takers for state in stage.states(taker)} == {"paused"}
