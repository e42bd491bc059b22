"""What a claim may miss: jobs that become visible late, that are locked, or that change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pgbgw.faults.check import check
from pgbgw.faults.jobs import never, soon, wake_up_alone
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually

__all__: list[str] = []

_PRODUCERS, _TRANSACTIONS, _JOBS = 4, 15, 4

# How long a job that was locked when a worker came by may wait once it is free, ms: looks are a second apart.
_FREED_MS = 2_500

_FAILING = "SELECT 1 / 0"


@check(
    "claim.overlapping",
    "transactions that enqueue overlap, so that small ids become visible long after larger ones were claimed",
    "Each commit tells the workers where its jobs begin: none is left behind, though no worker looks by itself.",
    rules=(44,),
    needs=("queue",),
)
def overlapping(stage: Stage) -> str:
    """A mark that knew nothing of them would pass most of them by."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        with ThreadPoolExecutor(_PRODUCERS) as pool:
            found = [pool.submit(_produce, stage, line, number) for number in range(_PRODUCERS)]
            jobs = [job for each in found for job in each.result()]
        seen = stage.audit(line, jobs)
    return seen


def _produce(stage: Stage, line: Line, number: int) -> list[int]:
    """Enqueue in transactions of several lengths; the ids of those that were committed."""
    committed = []
    with stage.connect() as connection:
        for turn in range(_TRANSACTIONS):
            undone = turn % 5 == 4
            with connection.transaction(force_rollback=undone):
                jobs = []
                for _ in range(_JOBS):
                    jobs += stage.enqueue(line, connection=connection)
                    connection.execute("SELECT pg_sleep(random() * 0.004)")
                if turn % _PRODUCERS == number:
                    connection.execute("SELECT pg_sleep(0.05)")
            committed += [] if undone else jobs
    return committed


@check(
    "claim.locked",
    "a session has locked jobs when workers come by, and lets them go as they were",
    "The others are done meanwhile, and these within two seconds, though nobody is woken.",
    rules=(44,),
    needs=("queue",),
)
def locked(stage: Stage) -> str:
    """What is passed over is remembered, and looked at again."""
    return _held(stage, "SELECT FROM {table} WHERE id = ANY(%s) FOR UPDATE")


@check(
    "claim.changed",
    "a session has changed jobs when workers come by, and commits that later",
    "The others are done meanwhile, and these when they are committed, wherever they stand now.",
    rules=(44,),
    needs=("queue",),
)
def changed(stage: Stage) -> str:
    """A job of another priority stands elsewhere in the index, and behind another mark."""
    return _held(stage, "UPDATE {table} SET priority = 0 WHERE id = ANY(%s)")


def _still(stage: Stage, line: Line) -> bool:
    """Whether no round that has begun before can take a job."""
    return {state for taker in line.takers for state in stage.states(taker)} == {"paused"}


def _held(stage: Stage, statement: str) -> str:
    """Let workers come by while a session holds half of the jobs."""
    wake_up_alone(stage)
    waits = []
    for line in stage.lines:
        stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
        eventually(partial(_still, stage, line), what="takers that stand still")
        jobs = stage.enqueue(line, 6)
        held, free = jobs[::2], jobs[1::2]
        with stage.connect() as holder, holder.transaction():
            holder.execute(statement.format(table=line.queue.table).encode(), [held])
            stage.rows(f"SELECT {stage.module.resume.name}()")
            soon(stage, line, free)
            never(stage, line, held, "while they were locked")
        waits.append(soon(stage, line, held))
        require(waits[-1] < _FREED_MS, f"done {waits[-1]:.0f} ms after they were free")
        stage.audit(line, jobs)
    return f"passed over, and done {max(waits):.0f} ms after they were free"


@check(
    "claim.undone",
    "a whole batch is undone, since what became of a job can't be written down",
    "The jobs are back, no attempt is counted, and they are done once that is mended.",
    rules=(22, 44),
    needs=("queue",),
)
def undone(stage: Stage) -> str:
    """They lie behind the mark by then, and nobody looks by himself."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        tables = (line.queue.later, line.queue.failed)
        for table in tables:
            stage.rows(f"ALTER TABLE {table} ADD CONSTRAINT {SCHEMA} CHECK (false) NOT VALID")
        try:
            good = stage.enqueue(line, 3)
            bad = stage.enqueue(line, 1, _FAILING)
            good += stage.enqueue(line, 3)
            eventually(partial(_refused, stage, line), what="a batch that is undone")
        finally:
            for table in tables:
                stage.rows(f"ALTER TABLE {table} DROP CONSTRAINT {SCHEMA}")
        stage.rows("SELECT pg_reload_conf()")
        seen = stage.audit(line, [*good, *bad], failed={bad[0]: "22012"})
    return seen


def _refused(stage: Stage, line: Line) -> bool:
    """Whether a process that takes from the queue waits after an error."""
    takers = {worker.name for worker in line.takers}
    return any(each.failures for each in stage.processes() if each.worker in takers)
