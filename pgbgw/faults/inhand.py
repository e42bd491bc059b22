"""A job that workers have in hand while something is done to them or to the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import WorkerIR
from pgbgw.sqltext import quote_literal

__all__ = ["HELD", "InHand", "again", "asleep", "finish", "more_rounds", "release", "take", "take_rounds"]

_SLEEP = "SELECT pg_sleep(600)"

# A timeout fires once: whoever has caught it sleeps on.
_SLEEP_ON = "DO $$ BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(600); END $$"

HELD = f"""DO /* held */ $$
BEGIN
    FOR turn IN 1..2 LOOP
        BEGIN
            WHILE EXISTS (SELECT FROM {SCHEMA}.scripts AS s WHERE starts_with(s.script, 'DO /* held */')) LOOP
                PERFORM pg_sleep(0.01);
            END LOOP;
        EXCEPTION WHEN query_canceled THEN
        END;
    END LOOP;
END
$$"""
"""Keeps a handler busy, past a timeout and one cancel, until ``release``."""


@dataclass(frozen=True, slots=True)
class InHand:
    """A job whose handler sleeps, in the process ``pid``, and ``jobs``: all that were enqueued with it, and itself."""

    line: Line
    job: int
    jobs: tuple[int, ...]
    pid: int
    mark: int


def asleep(*workers: WorkerIR) -> str:
    """A script that is one long query, also where one of the workers that may run it has a timeout."""
    return _SLEEP if all(worker.timeout is None for worker in workers) else _SLEEP_ON


def take(
    stage: Stage, lines: Iterable[Line] | None = None, neighbours: int = 3, *, until_released: bool = False
) -> list[InHand]:
    """Give each line a job that sleeps, neighbours before and after it in the same transaction, and wait for it.

    It is one long query; when it is run again, or with ``until_released`` at once, it sleeps until ``release``.
    """
    taken = []
    for line in stage.lines if lines is None else lines:
        mark, script = stage.mark(), HELD if until_released else asleep(*line.takers)
        with stage.connect() as connection, connection.transaction():
            jobs = stage.enqueue(line, neighbours, connection=connection) if neighbours else []
            (job,) = stage.enqueue(line, 1, script, connection=connection, start=neighbours + 1)
            jobs += [job]
            if neighbours:
                jobs += stage.enqueue(line, neighbours, connection=connection, start=neighbours + 2)
        taken.append(InHand(line, job, tuple(jobs), stage.working(line), mark))
    stage.rows(f"UPDATE {SCHEMA}.scripts SET script = {quote_literal(HELD)} WHERE job IS NOT NULL")
    return taken


def take_rounds(stage: Stage, script: str | None = None) -> dict[WorkerIR, int]:
    """Have each interval worker sleep in a round, one long query unless ``script`` says otherwise; their pids.

    What such a round does is undone, so that the ledgers have none of it. Rounds that follow do nothing.
    """
    for worker in stage.rounds:
        stage.script(worker, script or asleep(worker))
    busy = "SELECT pid FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep'"
    taken = {}
    for worker in stage.rounds:
        rows = eventually(partial(stage.rows, busy, [worker.title]), what=f'"{worker.title}" in a round')
        taken[worker] = rows[0][0]
        stage.rows(f"DELETE FROM {SCHEMA}.ledger", dbname=stage.home(worker))
        stage.script(worker, None)
    return taken


def more_rounds(stage: Stage, worker: WorkerIR, before: int = 0) -> bool:
    """Whether an interval worker has done more rounds than ``before``."""
    return stage.done(worker.name, stage.home(worker))[0] > before


def again(stage: Stage, taken: Sequence[InHand]) -> None:
    """Wait until each job is in hand again, in another process; what was done before must be undone, and cost nothing.

    Raises:
        Red: it does not come back, an attempt was spent, or something of it is there already.
    """
    for hand in taken:
        eventually(partial(_elsewhere, stage, hand), 20, f"job {hand.job} in hand again")
        status = stage.rows(f"SELECT status, attempts FROM {hand.line.queue.view} WHERE id = %s", [hand.job])
        require(status == [("ready", 0)], f"job {hand.job} is run again as {status}, not as ready without attempts")
        require(not stage.done(hand.line.name)[hand.job], f"job {hand.job} stands in the ledger, but has not ended")


def _elsewhere(stage: Stage, hand: InHand) -> bool:
    titles = [taker.title for taker in hand.line.takers]
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = ANY(%s) AND wait_event = 'PgSleep' AND pid <> %s"
    return bool(stage.rows(query, [titles, hand.pid]))


def release(stage: Stage) -> None:
    """Let every job go on that sleeps in HELD, and run those that wait without a script."""
    for database in stage.databases:
        stage.rows(f"DELETE FROM {SCHEMA}.scripts", dbname=database)


def finish(stage: Stage, taken: Sequence[InHand]) -> str:
    """Release the jobs, and account for all of them: none may have failed on the way."""
    release(stage)
    seen = [stage.audit(hand.line, hand.jobs) for hand in taken]
    for hand in taken:
        told = stage.log(rf'job \d+ of queue "{hand.line.queue.name}" failed', hand.mark)
        require(not told, f"a job has failed: {told[:1]}")
    return "; ".join(dict.fromkeys(seen))
