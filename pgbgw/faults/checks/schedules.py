"""Runs by the calendar: errors, cancels, processes and servers that end in the middle, pauses, copies."""

from __future__ import annotations

from typing import TypeAlias

from pgbgw.faults.check import check
from pgbgw.faults.checks.copies import swapped
from pgbgw.faults.inhand import HELD, release
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.faults.workers import drop_in_a_run, kill
from pgbgw.ir.model import SchedulesIR, StatementIR, WorkerIR

__all__: list[str] = []

# Outcome, SQLSTATE, and how often it was begun.
_Run: TypeAlias = tuple[str, str | None, int]

_DONE: _Run = ("done", None, 1)


def _objects(stage: Stage) -> SchedulesIR:
    assert stage.module.schedules is not None
    return stage.module.schedules


def _ask(stage: Stage, worker: WorkerIR) -> None:
    """Have it run now."""
    asked = stage.value(f"SELECT {_objects(stage).run}(%s)", [stage.scheduled[worker].schedule.name])
    require(asked, f'"{worker.name}" has no schedule')


def _runs(stage: Stage, worker: WorkerIR) -> list[_Run]:
    query = f"SELECT outcome, sqlstate, begun FROM {_objects(stage).runs} WHERE schedule = %s ORDER BY id"
    return [(str(row[0]), row[1], int(row[2])) for row in stage.rows(query, [stage.scheduled[worker].schedule.name])]


def _become(stage: Stage, worker: WorkerIR, *wanted: _Run, within: float = 20.0) -> None:
    """Wait until its runs are these, and require that those that are done, and no others, stand in the ledger."""
    try:
        eventually(lambda: _runs(stage, worker) == list(wanted), within)
    except AssertionError:
        require(False, f'runs of "{worker.name}" are {_runs(stage, worker)}, and not {list(wanted)}')
    done = sum(outcome == "done" for outcome, *_ in wanted)
    require(stage.done(worker.name)[0] == done, f"{stage.done(worker.name)[0]} runs are in the ledger, not {done}")


def _again(stage: Stage, worker: WorkerIR, *before: _Run) -> None:
    """A run that is asked for after all that is done."""
    stage.script(worker, None)
    _ask(stage, worker)
    _become(stage, worker, *before, _DONE)


def _whole(stage: Stage) -> list[WorkerIR]:
    """The workers whose runs are transactions."""
    return [w for w, body in stage.scheduled.items() if not (isinstance(body.run, StatementIR) and body.run.top_level)]


def _busy(stage: Stage, worker: WorkerIR, but: int = 0) -> int:
    """Wait until a process, another one than ``but``, is in a run; its pid."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep' AND pid <> %s"
    rows = eventually(lambda: stage.rows(query, [worker.title, but]), 20, f'"{worker.name}" in a run')
    return int(rows[0][0])


def _hold(stage: Stage, worker: WorkerIR) -> int:
    """Have it begin a run, which goes on until it is released; the pid."""
    stage.script(worker, HELD)
    _ask(stage, worker)
    pid = _busy(stage, worker)
    require(_runs(stage, worker) == [("running", None, 1)], f"a run under way is shown as {_runs(stage, worker)}")
    return pid


def _paused(stage: Stage, worker: WorkerIR) -> None:
    eventually(lambda: set(stage.states(worker)) == {"paused"}, 20, f'"{worker.name}" paused')


def _hold_all(stage: Stage) -> dict[WorkerIR, int]:
    return {worker: _hold(stage, worker) for worker in stage.scheduled if worker.restart is not None}


def _cut_off(stage: Stage, taken: dict[WorkerIR, int]) -> str:
    """After the end of all processes: runs in transactions are begun again, and others are lost."""
    whole = [worker for worker in taken if worker in _whole(stage)]
    for worker in whole:
        _busy(stage, worker, taken[worker])
        require(_runs(stage, worker) == [("running", None, 2)], f"begun again, it is shown as {_runs(stage, worker)}")
    release(stage)
    for worker in taken:
        ends: list[_Run] = [("done", None, 2) if worker in whole else ("lost", None, 1)]
        _become(stage, worker, *ends)
        _again(stage, worker, *ends)
    return f"{len(whole)} runs undone and done once, {len(taken) - len(whole)} outside a transaction told as lost"


@check(
    "schedule.error",
    "a run raises an error",
    "It is undone, and told as failed with its error and SQLSTATE; it is not tried again before its next time.",
    rules=(15, 28),
    needs=("schedule",),
)
def error(stage: Stage) -> str:
    """Each worker, and the run after that."""
    pids = stage.pids()
    for worker in stage.scheduled:
        stage.script(worker, "DO $$ BEGIN RAISE EXCEPTION 'told to' USING ERRCODE = 'P0007'; END $$")
        _ask(stage, worker)
        _become(stage, worker, ("failed", "P0007", 1))
        following = f"SELECT next_run > clock_timestamp() FROM {_objects(stage).table} WHERE name = %s"
        require(stage.value(following, [stage.scheduled[worker].schedule.name]), "the next run is due already")
        _again(stage, worker, ("failed", "P0007", 1))
    require(stage.pids() == pids, "a process has changed")
    return f"{len(stage.scheduled)} workers: failed and undone, then done; same pids"


@check(
    "schedule.cancel",
    "pg_cancel_backend() on a worker in the middle of a run",
    "The run is undone, and told as failed with SQLSTATE 57014; the same process does the next one.",
    rules=(15, 28),
    needs=("schedule",),
)
def cancel(stage: Stage) -> str:
    """Where there is a timeout it may come first, with the same SQLSTATE."""
    pids = stage.pids()
    for worker in stage.scheduled:
        stage.script(worker, "SELECT pg_sleep(600)")
        _ask(stage, worker)
        stage.rows("SELECT pg_cancel_backend(%s)", [_busy(stage, worker)])
        _become(stage, worker, ("failed", "57014", 1))
        _again(stage, worker, ("failed", "57014", 1))
    require(stage.pids() == pids, "a process has changed")
    return f"{len(stage.scheduled)} workers: failed and undone, then done; same pids"


@check(
    "schedule.terminate",
    "pg_terminate_backend() on a worker in the middle of a run",
    "Another process begins the run again, which was undone, and it is done once; outside a transaction it is lost.",
    rules=(12,),
    needs=("schedule", "restarted"),
)
def terminate(stage: Stage) -> str:
    """All at once."""
    taken = _hold_all(stage)
    stage.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(taken.values())])
    return _cut_off(stage, taken)


@check(
    "schedule.crash",
    "kill -9 of a worker in the middle of a run",
    "PostgreSQL recovers; then as after the end of a worker: runs are done once, outside a transaction they are lost.",
    rules=(12, 33),
    needs=("schedule", "restarted"),
)
def crash(stage: Stage) -> str:
    """One is killed, and all are cut off."""
    taken = _hold_all(stage)
    kill(stage, next(iter(taken.values())))
    return _cut_off(stage, taken)


@check(
    "schedule.crash_again",
    "kill -9 of a worker in the middle of a run, each time that the run is begun again",
    "The third time it is told as lost and not begun again, so that one run can't keep the server down.",
    rules=(33,),
    needs=("schedule", "restarted"),
)
def crash_again(stage: Stage) -> str:
    """It may be the run itself that brings the server down."""
    for worker in _whole(stage)[:1]:
        pid, mark = _hold(stage, worker), stage.mark()
        for _ in range(2):
            kill(stage, pid)
            pid = _busy(stage, worker, pid)
        kill(stage, pid)
        _become(stage, worker, ("lost", None, 3))
        name = stage.scheduled[worker].schedule.name
        require(len(stage.log(f'LOG:  a run of schedule "{name}" is lost', mark)) == 1, "the log does not tell of it")
        _again(stage, worker, ("lost", None, 3))
    return "begun three times, then lost; the next one is done"


@check(
    "schedule.shutdown",
    "a fast shutdown of the server in the middle of a run",
    "The run is undone, and begun again after the start; it is done once. Outside a transaction it is lost.",
    rules=(10,),
    needs=("schedule", "restarted"),
)
def shutdown(stage: Stage) -> str:
    """A query that would take long is ended."""
    taken = _hold_all(stage)
    stage.cluster.restart()
    return _cut_off(stage, taken)


@check(
    "schedule.request",
    "the workers are asked to stand still in the middle of a run, and another one is asked for",
    "The run in hand is finished, and none begins until resume; then the other one is done.",
    needs=("schedule",),
)
def request(stage: Stage) -> str:
    """No process ends."""
    pids = stage.pids()
    for worker in _whole(stage)[:1]:
        _hold(stage, worker)
        stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
        _ask(stage, worker)
        release(stage)
        _paused(stage, worker)
        _become(stage, worker, _DONE)
        stage.rows(f"SELECT {stage.module.resume.name}()")
        _become(stage, worker, _DONE, _DONE)
    require(stage.pids() == pids, "a process has changed")
    return "the run in hand was finished, the other one begun after resume"


@check(
    "schedule.paused",
    "a schedule is paused in the middle of its run, and the worker is terminated",
    "The run is undone and told as lost: what is paused is not begun again.",
    needs=("schedule", "restarted"),
)
def paused(stage: Stage) -> str:
    """So that whoever has to stop a run can."""
    for worker, pid in _hold_all(stage).items():
        require(stage.value(f"SELECT {_objects(stage).pause}(%s)", [stage.scheduled[worker].schedule.name]), "no pause")
        stage.rows("SELECT pg_terminate_backend(%s)", [pid])
        _become(stage, worker, ("lost", None, 1))
        _again(stage, worker, ("lost", None, 1))
    return "lost, and not begun again; run all the same when asked for"


@check(
    "schedule.drop",
    "DROP EXTENSION in the middle of a run",
    "It waits until the run is committed, and the worker meets no error; created again, all is as declared.",
    rules=(41,),
    needs=("schedule",),
)
def drop(stage: Stage) -> str:
    """A run that is a transaction holds its extension."""
    for worker in _whole(stage)[:1]:
        pid, mark = _hold(stage, worker), stage.mark()
        drop_in_a_run(stage)
        require(stage.done(worker.name)[0] == 1, "the run is not in the ledger")
        errors = stage.log(rf"\[{pid}\] .*(ERROR|FATAL|WARNING):", mark)
        require(not errors, f"the worker met an error: {errors[:1]}")
        stage.idle()
        stage.rows(f"DELETE FROM {SCHEMA}.ledger")
        _again(stage, worker)
    return "waited for the end of the run; no error, and runs after that"


@check(
    "schedule.restored",
    "the database is dumped and restored while a run is under way, and another one is asked for in the copy",
    "The copy runs nothing until resume() is called in it; what was under way where it was dumped is begun there then.",
    needs=("schedule",),
)
def restored(stage: Stage) -> str:
    """The copy takes the place of the original, whose run is cut off when the workers leave it."""
    for worker in _whole(stage)[:1]:
        _hold(stage, worker)
        with swapped(stage):
            _paused(stage, worker)
            require(_runs(stage, worker) == [("running", None, 1)], f"in the copy: {_runs(stage, worker)}")
            _ask(stage, worker)
            release(stage)
            stage.rows(f"SELECT {stage.module.resume.name}()")
            _become(stage, worker, ("done", None, 2), _DONE)
        release(stage)
    return "paused until resumed; then what was under way, and what was asked for"
