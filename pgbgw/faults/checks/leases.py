"""What becomes of jobs that sessions have taken: sessions end, transactions are undone, servers crash."""

from __future__ import annotations

from functools import partial

import psycopg
import psycopg.sql

from pgbgw.faults.check import check
from pgbgw.faults.leased import Held, acknowledge, claim, lease_of, put
from pgbgw.faults.stage import Leased, Stage, require
from pgbgw.faults.waiting import eventually

__all__: list[str] = []

# How long a lease lasts that is left to end, and how soon after that its job is to be back, s.
_LEASE = "300 milliseconds"
_BACK = 5.0


def _taken_again(stage: Stage, leased: Leased, jobs: list[int]) -> Held:
    """Wait until all of these jobs can be claimed."""
    held: Held = {}

    def all_of_them() -> bool:
        with stage.connect() as connection:
            held.update(claim(connection, leased))
        return held.keys() >= set(jobs)

    eventually(all_of_them, _BACK, "jobs that can be claimed again")
    return held


def _attempts(stage: Stage, leased: Leased) -> set[int]:
    return {row[0] for row in stage.rows(f"SELECT attempt FROM {lease_of(leased).running}")}


@check(
    "lease.session_ends",
    "a session claims jobs, commits, and is gone",
    "When their leases end the attempt counts as failed, the jobs are given to others, and a late acknowledgement is"
    " refused.",
    needs=("lease",),
)
def session_ends(stage: Stage) -> str:
    """The attempt was counted when it was claimed, so no process has to live for that."""
    for leased in stage.leased:
        jobs = put(stage, leased, 5)
        with stage.connect() as connection:
            held = claim(connection, leased, _LEASE)
        require(sorted(held) == jobs, f"claimed: {sorted(held)}")
        if not leased.queue.retries:
            eventually(partial(_given_up, stage, leased, jobs), _BACK, "jobs that are given up")
            require(acknowledge(stage, leased, held) == list(held), "a late acknowledgement was accepted")
            continue
        again = _taken_again(stage, leased, jobs)
        require(_attempts(stage, leased) == {2}, f"attempts: {_attempts(stage, leased)}")
        require(acknowledge(stage, leased, held) == list(held), "a late acknowledgement was accepted")
        require(acknowledge(stage, leased, again) == [], "a good acknowledgement was refused")
    return "given to others after the end of the lease, the late acknowledgement refused"


def _given_up(stage: Stage, leased: Leased, jobs: list[int]) -> bool:
    return {row[0] for row in stage.rows(f"SELECT id FROM {leased.queue.failed}")} >= set(jobs)


@check(
    "lease.undone",
    "a session claims jobs, and its transaction is rolled back, or it is ended in the middle of it",
    "The jobs are there for others at once, and no attempt is counted.",
    rules=(44,),
    needs=("lease",),
)
def undone(stage: Stage) -> str:
    """They lie behind the mark by then."""
    for leased in stage.leased:
        jobs = put(stage, leased, 5)
        with stage.connect() as connection:
            with connection.transaction(force_rollback=True):
                require(sorted(claim(connection, leased)) == jobs, "not all jobs were claimed")
            connection.execute("BEGIN")
            require(sorted(claim(connection, leased)) == jobs, "not all jobs were there after a rollback")
            stage.rows("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
            connection.close()
        with stage.connect() as connection:
            held = claim(connection, leased)
        require(sorted(held) == jobs, f"there after the session was ended: {sorted(held)}")
        require(_attempts(stage, leased) == {1}, f"attempts: {_attempts(stage, leased)}")
    return "there at once, with no attempt counted"


@check(
    "lease.crash",
    "the server stops as in a crash while sessions hold leases",
    "Leases outlive it: they can be acknowledged, and those that end are given to others.",
    needs=("lease",),
)
def crash(stage: Stage) -> str:
    """Who has a lease need not notice."""
    kept: list[tuple[Leased, Held]] = []
    for leased in stage.leased:
        put(stage, leased, 4)
        with stage.connect() as connection:
            kept.append((leased, claim(connection, leased, "1 hour")))
        put(stage, leased, 4)
        with stage.connect() as connection:
            claim(connection, leased, _LEASE)
    stage.cluster.stop("immediate")
    stage.cluster.start()
    for leased, held in kept:
        require(acknowledge(stage, leased, held) == [], "a lease was lost")
        left = f"SELECT count(*) FROM {lease_of(leased).running}"
        eventually(lambda left=left: stage.value(left) == 0, 20, "the end of the other leases")  # type: ignore[misc]
    return "acknowledged after the crash, the others ended"


@check(
    "lease.worker_ends",
    "the worker that ends leases is terminated",
    "Another process takes its place, and leases end.",
    needs=("lease",),
)
def worker_ends(stage: Stage) -> str:
    """What the one before knew of is looked up again."""
    for leased in stage.leased:
        if leased.worker.restart is None:
            continue
        put(stage, leased, 3)
        with stage.connect() as connection:
            claim(connection, leased, _LEASE)
        stage.rows("SELECT pg_terminate_backend(%s, 5000)", [next(iter(stage.pids(leased.worker).values()))])
        left = f"SELECT count(*) FROM {lease_of(leased).running}"
        eventually(lambda left=left: stage.value(left) == 0, 20, "the end of the leases")  # type: ignore[misc]
    return "ended by the process that came after"


@check(
    "lease.told",
    "sessions listen while jobs are put in, one transaction each",
    "They are told of jobs, at most a hundred times a second, and not by those who put them in.",
    needs=("lease",),
)
def told(stage: Stage) -> str:
    """A NOTIFY in each transaction would have producers commit one by one."""
    seen = 0
    for leased in stage.leased:
        with stage.connect() as listener:
            listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(lease_of(leased).channel)))
            for _ in range(50):
                put(stage, leased, 1)
            found = list(listener.notifies(timeout=_BACK, stop_after=1))
            require(bool(found), "nobody was told")
            producers = {row[0] for row in stage.rows("SELECT pid FROM pg_stat_activity WHERE backend_type = %s",
                                                      [leased.worker.title])}  # fmt: skip
            require({each.pid for each in found} <= producers, "somebody else than the worker told")
            found += listener.notifies(timeout=0.2)
            require(len(found) <= 50, f"told {len(found)} times of 50 jobs")
            seen += len(found)
    return f"told {seen} times of {50 * len(stage.leased)} jobs"
