"""What shows after a long time: a horizon that is held, memory, transactions across a sleep, dead rows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.jobs import soon, wake_up_alone
from pgbgw.faults.memory import flat, memory
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import Red, eventually
from pgbgw.ir.model import WorkerIR

__all__: list[str] = []

# By default, and with --thorough: enough to tell a leak of some bytes each from what caches do.
_GOOD = {False: 30_000, True: 1_000_000}
_BAD = {False: 3_000, True: 100_000}
_ROUNDS = {False: 1_000, True: 100_000}
_ERRORS = {False: 200, True: 5_000}

_FAIL = "SELECT 1/0"


def _pids(stage: Stage, workers: Sequence[WorkerIR]) -> list[int]:
    names = {worker.name for worker in workers}
    return [pid for (name, _), pid in stage.pids().items() if name in names]


@contextlib.contextmanager
def _same_memory(stage: Stage, workers: Sequence[WorkerIR], limit: int) -> Iterator[list[str]]:
    """The processes of workers are the same after the block, and have at most ``limit`` kB more in their contexts.

    What has changed stands in the list when the block has ended, in words.
    """
    stage.idle()
    pids = _pids(stage, workers)
    before = memory(stage, pids)
    told: list[str] = []
    yield told
    stage.idle()
    after = _pids(stage, workers)
    require(after == pids, f"processes changed: {pids} became {after}")
    told.append(flat(stage, before, limit))


@check(
    "endurance.horizon",
    "another session holds a snapshot while thousands of jobs run, some of which fail",
    "Vacuum can remove none of the dead rows and the claim reads past them: all jobs are done once.",
    rules=(20, 23),
    needs=("queue",),
)
def horizon(stage: Stage) -> str:
    """A report that runs for hours."""
    seen = ""
    held = "SELECT backend_xmin::text FROM pg_stat_activity WHERE pid = %s"
    began = time.monotonic()
    with stage.connect() as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT txid_current()")
        pid = [holder.info.backend_pid]
        horizon = stage.value(held, pid)
        for line in stage.lines:
            jobs: list[int] = []
            failing: list[int] = []
            for _ in range(3):
                jobs += stage.enqueue(line, 1_000)
                failing += stage.enqueue(line, 10, _FAIL)
                stage.drained(line, 60)
            seen = stage.audit(line, [*jobs, *failing], dict.fromkeys(failing, "22012"))
        require(horizon is not None and stage.value(held, pid) == horizon, "the horizon was not held")
        holder.execute("COMMIT")
    return f"{seen}, in each queue; {time.monotonic() - began:.1f} s"


@check(
    "endurance.backlog",
    "20 000 jobs come at once, after the queue was empty and was vacuumed, which is when plans were made",
    "Jobs are claimed by the table's index: what one costs does not grow with how many wait.",
    rules=(20, 23),
    needs=("queue",),
)
def backlog(stage: Stage) -> str:
    """A sequential scan for each batch would take hours for a million jobs."""
    line = stage.lines[0]
    table = line.queue.table
    read = f"SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = '{table}'::regclass"
    try:
        # it would come after a minute, and have the plans made anew; here it comes after a second
        stage.rows(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        stage.rows(f"VACUUM (ANALYZE) {table}")
        for _ in range(8):
            # as often as it takes for a plan to be kept
            stage.audit(line, stage.enqueue(line))
        before = stage.value(read)
        jobs = stage.enqueue(line, 20_000)
        soon(stage, line, jobs, within=120)
        more = stage.value(read) - before
    finally:
        stage.rows(f"ALTER TABLE {table} RESET (autovacuum_enabled)")
    seen = stage.audit(line, jobs)
    require(more <= 10 * len(jobs), f"{more} rows were read by sequential scans to have {len(jobs)} jobs done")
    return f"{seen}; {more} rows read by sequential scans"


@check(
    "endurance.memory",
    "30 000 jobs are done, and 3000 fail in every attempt (with --thorough a million, and 100 000)",
    "The processes are the same, and have no more memory than after the first of them.",
    rules=(19, 27, 28, 29),
    needs=("queue",),
)
def jobs_memory(stage: Stage) -> str:
    """Every job, and every subtransaction that fails, gives back what it took."""
    good, bad = (number[stage.thorough] // len(stage.lines) for number in (_GOOD, _BAD))
    told: list[str] = []
    for line in stage.lines:
        _work(stage, line, 2_000, 200)
        with _same_memory(stage, line.takers, 512) as growth:
            _work(stage, line, good, bad)
        told += growth
    return f"{good} jobs done once and {bad} given up in each queue, none lost; {told[-1]}"


def _work(stage: Stage, line: Line, good: int, bad: int) -> None:
    """Have jobs done, and others given up."""
    before = stage.failed(line)
    jobs = stage.enqueue(line, good)
    stage.drained(line, 60 + good / 100)
    failing = stage.enqueue(line, bad, _FAIL)
    stage.drained(line, 60 + bad / 10)
    stage.audit(line, [*jobs, *failing], dict.fromkeys([*before, *failing], "22012"))


@check(
    "endurance.contexts",
    "an administrator asks workers for their memory contexts, which are some hundred lines of the log",
    "Each tells all of them, up to the grand total: what is asked for is not left out.",
    rules=(11,),
    needs=("static",),
)
def contexts(stage: Stage) -> str:
    """What the server itself writes on request does not count as what a worker writes."""
    wake_up_alone(stage)
    pids = _pids(stage, stage.static)
    found = memory(stage, pids)
    silent = [pid for pid in pids if found[pid].used is None]
    require(not silent, f"no grand total was told by {silent}")
    return f"{len(pids)} processes use {', '.join(f'{(each.used or 0) // 1024} kB' for each in found.values())}"


@check(
    "endurance.rounds",
    "interval workers run 1000 rounds, one a millisecond (with --thorough 100 000)",
    "The processes are the same, and have no more memory than after the first of them.",
    rules=(24, 29),
    needs=("interval",),
)
def rounds(stage: Stage) -> str:
    """Every round gives back what it took."""
    _rounds(stage, 300)
    with _same_memory(stage, stage.rounds, 64) as growth:
        done = _rounds(stage, _ROUNDS[stage.thorough])
    return f"{done} rounds of each worker; {growth[0]}"


def _rounds(stage: Stage, count: int) -> int:
    """Let each interval worker run that many rounds."""
    before = [_ran(stage, worker) for worker in stage.rounds]
    stage.every(1)
    for worker, ran in zip(stage.rounds, before, strict=True):
        _wait_for_round(stage, worker, ran + count, 30 + count / 20)
    stage.every(1_000)
    return count


def _ran(stage: Stage, worker: WorkerIR) -> int:
    """How many rounds of an interval worker the ledger of its database has."""
    query = f"SELECT count(*) FROM {SCHEMA}.ledger WHERE worker = %s"
    count: int = stage.value(query, [worker.name], stage.home(worker))
    return count


def _wait_for_round(stage: Stage, worker: WorkerIR, number: int, within: float) -> None:
    eventually(lambda: _ran(stage, worker) >= number, within, f'round {number} of "{worker.title}"')


@check(
    "endurance.errors",
    "the function that a queue worker calls is missing, and it tries 200 times (with --thorough 5000)",
    "The process is the same and has no more memory than after the first errors; the job is done once it can be.",
    rules=(27, 28, 30),
    needs=("queue",),
)
def errors(stage: Stage) -> str:
    """Every way through the recovery block gives back what it took."""
    line = stage.lines[0]
    with _missing(stage, line):
        jobs = stage.enqueue(line, 50)
        _fail(stage, line, 20)
        pids = _pids(stage, line.takers)
        before = memory(stage, pids)
        tried = _fail(stage, line, _ERRORS[stage.thorough])
        growth = flat(stage, before, 64)
    stage.rows("SELECT pg_reload_conf()")
    seen = stage.audit(line, jobs)
    require(_pids(stage, line.takers) == pids, f"processes changed: {pids} became {_pids(stage, line.takers)}")
    return f"{tried} errors; {growth}; {seen}"


@contextlib.contextmanager
def _missing(stage: Stage, line: Line) -> Iterator[None]:
    """The probes of a queue have another name for as long as the block lasts."""
    names = [f"probe_{stage.module.workers.index(worker)}" for worker in line.takers]
    query = (
        f"SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = '{SCHEMA}'::regnamespace AND proname = %s"
    )
    try:
        for name in names:
            stage.rows(f"ALTER FUNCTION {stage.value(query, [name])} RENAME TO {name}_away")
        yield
    finally:
        for name in names:
            for row in stage.rows(query, [f"{name}_away"]):
                stage.rows(f"ALTER FUNCTION {row[0]} RENAME TO {name}")


def _fail(stage: Stage, line: Line, count: int) -> int:
    """Let the workers of a queue fail that often in all, and each process once: a reload makes them try at once."""
    takers = {worker.name for worker in line.takers}
    last: dict[tuple[str, int], int] = {}
    failed = 0

    def again() -> int:
        """How many errors came since the last look; a process that found nothing to do counts anew."""
        stage.rows("SELECT pg_reload_conf()")
        more = 0
        for each in stage.processes():
            if each.worker in takers:
                key = (each.worker, each.process)
                more += max(0, each.failures - last.get(key, 0))
                last[key] = each.failures
        return more

    while failed < count or not all(last.values()):
        failed += eventually(again, what="another error of a worker")
    return failed


@check(
    "endurance.due",
    "a waiting job becomes due while the function is missing, so that the round that takes it up is undone",
    "It is due as before, and done as soon as the function is there again.",
    rules=(22, 30),
    needs=("retries",),
)
def due(stage: Stage) -> str:
    """What a worker remembers of waiting jobs must not outlive a round that is undone."""
    line = next(line for line in stage.lines if line.queue.retries > 0)
    jobs = stage.enqueue(line, 1, _FAIL)
    missed: dict[int, str] = {}
    with stage.connect() as holder:

        def held() -> bool:
            if _locked(holder, line):
                return True
            if jobs[-1] in stage.failed(line):
                # its attempts were over before anybody could look
                missed[jobs[-1]] = "22012"
                jobs.extend(stage.enqueue(line, 1, _FAIL))
            return False

        # locked, it is passed over: it waits until the function is missing
        eventually(held, what="a job that waits for its next attempt")
        stage.rows(f"DELETE FROM {SCHEMA}.scripts")
        with _missing(stage, line):
            holder.execute("COMMIT")
            names = {worker.name for worker in line.takers}
            eventually(
                lambda: any(each.failures for each in stage.processes() if each.worker in names), what="an error"
            )
    stage.rows("SELECT pg_reload_conf()")
    wait = soon(stage, line, jobs[-1:])
    return f"{stage.audit(line, jobs, missed)}, {wait:.0f} ms after the function was back"


def _locked(holder: psycopg.Connection[tuple[object, ...]], line: Line) -> bool:
    """Lock the job that waits; False where none does just now."""
    holder.execute("BEGIN")
    if holder.execute(f"SELECT FROM {line.queue.later} FOR UPDATE SKIP LOCKED".encode()).fetchall():
        return True
    holder.execute("ROLLBACK")
    return False


@check(
    "endurance.idle",
    "workers sleep: with nothing to do, paused, and after an error",
    "No transaction is open across a sleep, no snapshot is held and no lock, so that vacuum is not held back.",
    rules=(24, 41),
    needs=("static",),
)
def idle(stage: Stage) -> str:
    """What pg_stat_activity and pg_locks show of a worker that sleeps."""
    for line in stage.lines:
        stage.audit(line, stage.enqueue(line, 20))
    wake_up_alone(stage)
    asleep = ["with nothing to do"]
    _asleep(stage, stage.static, "idle")
    for line in stage.lines[:1]:
        with _missing(stage, line):
            stage.enqueue(line, 200)
            _asleep(stage, line.takers, "backing off", some=True)
            asleep.append("after an error")
    stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
    _asleep(stage, stage.static, "paused")
    return f"{len(_pids(stage, stage.static))} processes hold nothing {', '.join(asleep)} and when paused"


_HOLDS = """
    SELECT backend_type, pid, state, xact_start, backend_xid, backend_xmin, wait_event_type
    FROM pg_stat_activity WHERE pid = ANY(%s) AND (
        xact_start IS NOT NULL OR backend_xid IS NOT NULL OR backend_xmin IS NOT NULL
        OR coalesce(state, 'idle') <> 'idle' OR wait_event_type IS DISTINCT FROM 'Extension')
"""


def _asleep(stage: Stage, workers: Sequence[WorkerIR], state: str, *, some: bool = False) -> None:
    """Require that the processes of workers, or some of them, come to rest in a state, and hold nothing there."""
    names = {worker.name for worker in workers}
    seen: list[object] = []

    def at_rest() -> bool:
        there = [each for each in stage.processes() if each.worker in names and not (some and each.state != state)]
        pids = [each.pid for each in there]
        seen[:] = [f"{each.title} is {each.state}" for each in there if each.pid is None or each.state != state]
        seen.extend(stage.rows(_HOLDS, [pids]))
        seen.extend(stage.rows("SELECT pid, locktype, mode FROM pg_locks WHERE pid = ANY(%s)", [pids]))
        return bool(there) and not seen

    try:
        eventually(at_rest)
    except Red as error:
        raise Red(f"not every worker came to be {state} and hold nothing: {seen}") from error


@check(
    "endurance.statistics",
    "jobs are claimed and deleted by the hundred",
    "The cumulative statistics hear of every deleted row, and autovacuum comes to the queue's table.",
    rules=(24,),
    needs=("queue",),
)
def statistics(stage: Stage) -> str:
    """With a threshold that some hundred rows pass."""
    line = stage.lines[0]
    table = line.queue.table
    query = f"SELECT n_tup_del, autovacuum_count FROM pg_stat_user_tables WHERE relid = '{table}'::regclass"
    options = "autovacuum_vacuum_threshold", "autovacuum_vacuum_scale_factor", "autovacuum_vacuum_cost_delay"
    try:
        stage.rows(f"ALTER TABLE {table} SET ({options[0]} = 50, {options[1]} = 0, {options[2]} = 0)")
        deleted, vacuums = stage.rows(query)[0]
        jobs = stage.enqueue(line, 500)
        seen = stage.audit(line, jobs)
        eventually(lambda: stage.rows(query)[0][0] >= deleted + 500, what="500 deleted rows in the statistics")
        eventually(lambda: stage.rows(query)[0][1] > vacuums, 30, "autovacuum of the queue's table")
    finally:
        stage.rows(f"ALTER TABLE {table} RESET ({', '.join(options)})")
    return f"{seen}; 500 deleted rows counted, the table vacuumed"
