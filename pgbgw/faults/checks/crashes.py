"""Crashes: a process is killed, so that PostgreSQL ends all of them, recovers, and starts with new shared memory."""

from __future__ import annotations

from functools import partial

from pgbgw.faults.check import check
from pgbgw.faults.inhand import HELD, again, finish, release, take
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.shown import gauges, job_counters, read, wrong_gauges
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.faults.workers import kill
from pgbgw.ir.model import WorkerIR

__all__ = ["kill_backend", "launch"]

# Some take a while, so that both crashes come among them, and the others make it a drain.
_SLOW = 1_000
_QUICK = 3_000


def kill_backend(stage: Stage) -> None:
    """SIGKILL to a session that has nothing to do with us."""
    connection = stage.connect("postgres")
    try:
        kill(stage, connection.info.backend_pid)
    finally:
        connection.close()


def _back(stage: Stage) -> None:
    """Wait until every worker that is restarted waits for work; the others have gone for good."""
    never = {worker.name for worker in stage.module.workers if worker.restart is None}

    def idle() -> bool:
        found = [each for each in stage.processes() if each.worker not in never]
        return all(each.pid is not None and each.state == "idle" for each in found)

    eventually(idle, 20, "the workers after recovery")


def _revive_takers(stage: Stage) -> None:
    """Bring back workers that are never restarted, not after a crash either, where jobs wait for them."""
    if any(taker.restart is None for taker in _takers(stage)):
        stage.cluster.restart()


@check(
    "crash.worker_working",
    "kill -9 of a worker in the middle of a batch",
    "PostgreSQL recovers; the batch is undone, its jobs are there with no attempt spent, and are done once.",
    rules=(12, 33),
    needs=("queue",),
)
def worker_working(stage: Stage) -> str:
    """A job of each queue is in hand, and one of their processes is killed."""
    taken = take(stage)
    kill(stage, taken[-1].pid)
    _revive_takers(stage)
    again(stage, taken)
    return f"recovered, undone and taken again; {finish(stage, taken)}"


@check(
    "crash.worker_idle",
    "kill -9 of a worker that waits",
    "PostgreSQL recovers and starts every worker again, without its restart time; they go on with their work.",
    rules=(12, 33),
    needs=("static",),
)
def worker_idle(stage: Stage) -> str:
    """One of each kind is enough: a crash ends them all."""
    before = stage.pids()
    kill(stage, before[stage.static[0].name, 1])
    _back(stage)
    require(not set(before.values()) & set(stage.pids().values()), "a process has outlived the crash")
    _revive_takers(stage)
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    return "; ".join([f"{len(stage.pids())} of {len(before)} processes are back", *seen[:1]])


@check(
    "crash.other_backend",
    "kill -9 of a session that has nothing to do with the extension, while batches are under way",
    "As if a worker had been killed: the batches are undone, and their jobs are done once after recovery.",
    rules=(33,),
    needs=("queue",),
)
def other_backend(stage: Stage) -> str:
    """A crash of somebody else ends our processes as well."""
    taken = take(stage)
    kill_backend(stage)
    _revive_takers(stage)
    again(stage, taken)
    return f"recovered, undone and taken again; {finish(stage, taken)}"


@check(
    "crash.launched",
    "kill -9 of a launched worker",
    "What it did is undone. Nothing starts it again, its slot is free, and it can be launched anew.",
    rules=(35, 38, 43),
    needs=("dynamic",),
)
def launched(stage: Stage) -> str:
    """Restartable dynamic workers would come back after a crash with old arguments; these must not."""
    worker = stage.dynamic[0]
    stage.script(worker, HELD)
    launch(stage, worker)
    pid = eventually(lambda: stage.pid(worker.title), what=f'a process of "{worker.title}"') or 0
    busy = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
    eventually(lambda: stage.rows(busy, [pid]) == [("PgSleep",)], what="the launched worker at work")
    kill(stage, pid)
    release(stage)
    _back(stage)
    require(not stage.done(worker.name), "what the killed process did is there")
    running = [each for each in stage.processes() if each.worker == worker.name and each.pid is not None]
    require(not running, f"it runs again: {running}")
    slots = len(stage.states(worker))
    for count in range(1, slots + 2):
        launch(stage, worker)
        eventually(partial(_launches_done, stage, worker, count), what=f"launch {count}")
    return f"undone, not started again; {slots + 1} launches afterwards, each done once"


def launch(stage: Stage, worker: WorkerIR) -> None:
    """Launch a worker, with NULL for each argument."""
    require(worker.launch is not None, f'"{worker.name}" has no function')
    assert worker.launch is not None
    arguments = ", ".join(f"NULL::{argument.sql_type}" for argument in worker.arguments)
    stage.rows(f"SELECT {worker.launch.name}({arguments})")


def _launches_done(stage: Stage, worker: WorkerIR, count: int) -> bool:
    """So many launches stand in the ledger, and none is running."""
    return stage.done(worker.name)[0] == count and set(stage.states(worker)) == {"stopped"}


@check(
    "crash.draining_twice",
    f"kill -9 of a worker while {_SLOW + _QUICK} jobs are drained, and once more after the first recovery",
    "What was committed stays done, what was in hand is done again; each job is done once.",
    rules=(12, 22, 33),
    needs=("queue",),
)
def draining_twice(stage: Stage) -> str:
    """Both crashes come in the middle: calls of the handler are counted by a sequence, which is not undone."""
    line = max(stage.lines, key=lambda line: len(line.takers))
    with stage.connect() as connection, connection.transaction():
        jobs = stage.enqueue(line, _SLOW, "SELECT pg_sleep(0.0005)", connection=connection)
        jobs += stage.enqueue(line, _QUICK, connection=connection, start=_SLOW + 1)
    found = []
    for _ in range(2):
        began = _calls(stage)
        eventually(partial(_more_calls, stage, began), 20, f"{_SLOW // 4} calls of the handler")
        pids = [pid for (name, _), pid in stage.pids().items() if name in {taker.name for taker in line.takers}]
        kill(stage, eventually(partial(_busy, stage, pids), what="a worker that drains")[0])
        _revive_takers(stage)
        found.append(len(stage.done(line.name)))
        require(found[-1] < len(jobs), "all jobs were done before the crash")
    seen = stage.audit(line, jobs)
    return f"{found[0]} jobs were done at the first crash, {found[1]} at the second; {seen}"


def _calls(stage: Stage) -> int:
    calls: int = stage.value(f"SELECT last_value FROM {SCHEMA}.calls")
    return calls


def _more_calls(stage: Stage, began: int) -> bool:
    return _calls(stage) >= began + _SLOW // 4


def _busy(stage: Stage, pids: list[int]) -> list[int]:
    rows = stage.rows("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'active'", [pids])
    return [row[0] for row in rows]


@check(
    "crash.enqueueing",
    "a crash while one transaction has enqueued and not committed, another is prepared, and a third has committed",
    "Jobs are there if and only if their transaction was committed, before the crash or, once prepared, after it.",
    rules=(44,),
    needs=("queue",),
)
def enqueueing(stage: Stage) -> str:
    """What a crash makes of jobs that nobody has taken."""
    line = stage.lines[0]
    taken = take(stage, [line])
    with stage.connect() as other:
        other.execute("BEGIN")
        prepared = stage.enqueue(line, 5, connection=other, start=11)
        other.execute("PREPARE TRANSACTION 'pgbgw_test'")
    connection = stage.connect()
    try:
        connection.execute("BEGIN")
        lost = stage.enqueue(line, 5, connection=connection, start=21)
        kill(stage, connection.info.backend_pid)
    finally:
        connection.close()
    _revive_takers(stage)
    # before anything else is enqueued: the sequence may give the same numbers again
    present = stage.rows(f"SELECT id FROM {line.queue.view} WHERE id = ANY(%s)", [prepared + lost])
    require(not present, f"jobs of transactions that were not committed are there: {present}")
    again(stage, taken)
    seen = finish(stage, taken)
    require(not set(lost + prepared) & set(stage.done(line.name)), "jobs that were not committed were done")
    stage.rows("COMMIT PREPARED 'pgbgw_test'")
    return f"{len(lost)} jobs went with their transaction; committed: {seen}; prepared: {stage.audit(line, prepared)}"


@check(
    "crash.restart_never",
    "a crash of the server with a worker that has restart=NEVER",
    "It does not come back: PostgreSQL forgets such workers in a crash. A restart of the server brings it back.",
    rules=(12,),
    needs=("never",),
)
def restart_never(stage: Stage) -> str:
    """Who wants a worker to outlive crashes must not declare NEVER."""
    never = {worker.name for worker in stage.static if worker.restart is None}
    before = [key for key in stage.pids() if key[0] in never]
    kill_backend(stage)
    back = {worker.name for worker in stage.module.workers if worker.restart is not None and not worker.launched}
    eventually(lambda: back <= {name for name, _ in stage.pids()}, 20, "the other workers")
    left = [key for key in stage.pids() if key[0] in never]
    require(not left, f"back after the crash: {left}")
    stage.cluster.restart()
    stage.idle()
    require([key for key in stage.pids() if key[0] in never] == before, "not back after a restart")
    return f"{len(before)} gone after the crash, back after a restart of the server"


@check(
    "crash.shared_state",
    "a crash of the server after jobs were done",
    "Shared memory is new: counters begin at 0, gauges count the processes that are there now, slots hold their pids.",
    rules=(33, 43),
    needs=("static",),
)
def shared_state(stage: Stage) -> str:
    """All that is kept in shared memory is as after a start of the server."""
    for line in stage.lines:
        stage.audit(line, stage.enqueue(line, 5))
    counters = job_counters(stage)
    eventually(lambda: all(read(stage, *each) for each in counters), what="counters that have counted")
    kill_backend(stage)
    after = {column: read(stage, state, column) for state, column in counters}
    require(not any(after.values()), f"counters after the crash: {after}")
    _back(stage)
    require(not wrong_gauges(stage), "; ".join(wrong_gauges(stage)))
    require(_slots(stage) == _activity(stage), f"slots: {_slots(stage)}; pg_stat_activity: {_activity(stage)}")
    _revive_takers(stage)
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    told = f"{len(counters)} counters begin at 0, {len(gauges(stage))} gauges count the living, slots hold their pids"
    return "; ".join([told, *seen[:1]])


def _slots(stage: Stage) -> set[int]:
    names = {worker.name for worker in stage.static}
    return {pid for (name, _), pid in stage.pids().items() if name in names}


def _activity(stage: Stage) -> set[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = ANY(%s)"
    return {row[0] for row in stage.rows(query, [[worker.title for worker in stage.static]])}


def _takers(stage: Stage) -> list[WorkerIR]:
    return [taker for line in stage.lines for taker in line.takers]
