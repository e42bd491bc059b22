"""claim: what a round trip costs the client that takes jobs by leases, and one that acknowledges them."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.apart import Apart, Setting, Step, Taken, standing, wanted
from bench.clients import (
    QUEUE,
    Goal,
    asyncpg_connection,
    compared,
    connected,
    described,
    fill,
    judged,
    measured,
    note_samples,
    places,
)
from bench.ground import Ground, ground
from bench.outcome import Outcome
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK", "SUBJECTS"]

PSYCOPG, ASYNCPG, OURS = "psycopg, fetchall", "asyncpg, fetch", "pgbgw, jobs"

# Jobs of a claim, how many claims make a measurement, and what is wanted beside psycopg.
_CASES = ((1, 1000, 3.5), (10, 1000, 3.5), (100, 200, None), (1000, 40, 2.7))

_COLUMNS = "id, payload, priority, attempt, created_at, lease_end, token, who"

_NOTE = (
    "CPU time of the client for a round trip: a prepared statement that claims from a queue with a payload of bytea, in"
    " autocommit and without waiting for the disk. The others run the SQL that ours runs, and get tuples or records;"
    " ours are jobs that are not looked at. An acknowledgement names as many jobs as were claimed, by their ids and"
    " tokens. Claims are alone in a measurement; acknowledgements follow upon them, and both are in their figure."
)


def _psycopg(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    connection.execute("SET synchronous_commit = off")
    claim = f"SELECT {_COLUMNS} FROM {QUEUE}.plain_claim(%s::int4)".encode()
    acknowledge = f"SELECT {QUEUE}.plain_acknowledge(%s::int8[], %s::int8[])".encode()
    cursor = connection.cursor(binary=True)

    def step(asked: Setting) -> int:
        for _ in range(asked["times"]):
            rows = cursor.execute(claim, (asked["jobs"],), prepare=True).fetchall()
            if asked["acknowledged"]:
                keys = [row[0] for row in rows], [row[6] for row in rows]
                cursor.execute(acknowledge, keys, prepare=True).fetchall()
        assert len(rows) == asked["jobs"]
        return int(asked["times"])

    return step


def _asyncpg(setting: Setting) -> Step:
    connection, run = asyncpg_connection(setting["conninfo"])
    run(connection.execute("SET synchronous_commit = off"))
    claim = run(connection.prepare(f"SELECT {_COLUMNS} FROM {QUEUE}.plain_claim($1::int4)"))
    acknowledge = run(connection.prepare(f"SELECT {QUEUE}.plain_acknowledge($1::int8[], $2::int8[])"))

    async def rounds(asked: Setting) -> int:
        for _ in range(asked["times"]):
            rows = await claim.fetch(asked["jobs"])
            if asked["acknowledged"]:
                await acknowledge.fetch([row[0] for row in rows], [row[6] for row in rows])
        assert len(rows) == asked["jobs"]
        return int(asked["times"])

    return lambda asked: int(run(rounds(asked)))


def _ours(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    connection.execute("SET synchronous_commit = off")
    queue: Any = wanted("bench.declarations.client").plain

    def step(asked: Setting) -> int:
        for _ in range(asked["times"]):
            jobs = queue.claim(connection, asked["jobs"])
            if asked["acknowledged"]:
                queue.acknowledge(connection, jobs)
        assert len(jobs) == asked["jobs"]
        return int(asked["times"])

    return step


SUBJECTS = {PSYCOPG: _psycopg, ASYNCPG: _asyncpg, OURS: _ours}


def run(plan: Plan) -> Outcome:
    """Measure each size of claim, all subjects in turn."""
    outcome = Outcome("claim", notes=[_NOTE])
    missing: dict[str, str] = {}
    with ground("client") as server, standing("claim", SUBJECTS, places(server), missing) as ready:
        outcome.server = described(server)
        for acknowledged in (False, True):
            for jobs, often, bound in _CASES:
                times = plan.pick(max(2, often // 50), often)
                what = "claimed and acknowledged" if acknowledged else "claimed"
                case = f"{jobs} job{'s'[: jobs - 1]} {what}"
                plan.tell(f"claim: {case}")
                asked = {"jobs": jobs, "times": times, "acknowledged": acknowledged}
                found = measured(plan, ready, partial(_once, server, asked))
                outcome.tables.append(compared(f"claim: {case}", "round", found, OURS, missing, microseconds=True))
                if bound is not None and not acknowledged:
                    outcome.ratios += judged(case, found, [Goal(PSYCOPG, OURS, bound)])
                note_samples(outcome, case, found)
    return outcome


def _once(server: Ground, asked: dict[str, int], subject: Apart) -> Taken:
    fill(server, "plain", asked["jobs"] * asked["times"])
    return subject.take(**asked)


BENCHMARK = Benchmark("claim", "the client's CPU time for a claim, and for an acknowledgement", run)
