"""claim: what a round trip costs the client that takes jobs by leases, and one that acknowledges them."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg

from bench.answers import Answers, answer_to, bound
from bench.apart import Apart, Setting, Step, Taken, standing, wanted
from bench.clients import (
    QUEUE,
    READY,
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
LIMIT = "limit: send and receive"

# Jobs of a claim, how many claims make a measurement, and what is wanted beside psycopg.
_CASES = ((1, 400, 3.5), (10, 400, 3.5), (100, 100, None), (1000, 20, 2.7))

# The same where answers are there already: how many at a time, and how often. A connection's socket holds no more, and
# libpq reads no larger ones at once.
_AT_HAND = ((1, 100, 3.5), (10, 25, 3.5))
_REPEATS = 20

_COLUMNS = "id, payload, priority, attempt, created_at, lease_end, token, who"
_CLAIM = f"SELECT {_COLUMNS} FROM {QUEUE}.plain_claim($1)".encode()

_NOTE = (
    "CPU time of the client for a round trip: a prepared statement that claims from a queue with a payload of bytea, in"
    " autocommit and without waiting for the disk. The others run the SQL that ours runs, and get tuples or records;"
    " ours are jobs that are not looked at. An acknowledgement names as many jobs as were claimed, by their ids and"
    " tokens. Claims are alone in a measurement; acknowledgements follow upon them, and both are in their figure. The"
    " limit sends the same messages and looks at nothing but the last bytes of what comes; it acknowledges no job."
    " Where the answer is at hand, what a server says to one claim was put into the socket as often as it is asked:"
    " nobody is woken or waited for, which is most of a small claim, and so the figures are the client's own work."
)


class _Rounds:
    """Claims by a connection, and acknowledgements of them; or claims whose answers are at hand."""

    def __init__(self, connection: psycopg.Connection[Any], rounds: Callable[[Setting], Sequence[Any] | None]) -> None:
        self._connection = connection
        self._rounds = rounds
        self._answers: Answers | None = None
        self._known: dict[int, bytes] = {}

    def prepare(self, asked: Setting) -> None:
        """Have the answers at hand, if they are to be."""
        if not asked.get("at_hand"):
            return
        jobs = asked["jobs"]
        if jobs not in self._known:
            # What is prepared at the first time is not to be answered by these.
            self._rounds({**asked, "times": 1})
            self._known[jobs] = answer_to(self._connection.info.dsn, _CLAIM, struct.pack("!i", jobs))
        self._answers = Answers(self._connection.fileno(), self._known[jobs], asked["times"])

    def __call__(self, asked: Setting) -> int:
        """Measure."""
        got = self._rounds(asked)
        assert got is None or len(got) == asked["jobs"]
        if self._answers is not None:
            self._answers.close()
            self._answers = None
        return int(asked["times"])


def _psycopg(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    connection.execute("SET synchronous_commit = off")
    claim = f"SELECT {_COLUMNS} FROM {QUEUE}.plain_claim(%s::int4)".encode()
    acknowledge = f"SELECT {QUEUE}.plain_acknowledge(%s::int8[], %s::int8[])".encode()
    cursor = connection.cursor(binary=True)

    def rounds(asked: Setting) -> Sequence[Any]:
        for _ in range(asked["times"]):
            rows = cursor.execute(claim, (asked["jobs"],), prepare=True).fetchall()
            if asked["acknowledged"]:
                keys = [row[0] for row in rows], [row[6] for row in rows]
                cursor.execute(acknowledge, keys, prepare=True).fetchall()
        return rows

    return _Rounds(connection, rounds)


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

    def rounds(asked: Setting) -> Sequence[Any]:
        for _ in range(asked["times"]):
            jobs: Sequence[Any] = queue.claim(connection, asked["jobs"])
            if asked["acknowledged"]:
                queue.acknowledge(connection, jobs)
        return jobs

    return _Rounds(connection, rounds)


def _limit(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    connection.execute("SET synchronous_commit = off")
    connection.execute(b"PREPARE claim AS " + _CLAIM)
    connection.execute(f"PREPARE answer AS SELECT {QUEUE}.plain_acknowledge($1, $2)".encode())
    # libpq has authenticated; from here on nobody but this reads from the socket, which libpq would close.
    number = connection.fileno()
    os.set_blocking(number, True)
    plug = socket.socket(fileno=number)
    place = memoryview(bytearray(1 << 20))

    def exchange(name: bytes, *values: bytes) -> None:
        plug.sendall(bound(name, *values))
        end = b""
        while end != READY:
            got = plug.recv_into(place)
            if got == 0:
                raise RuntimeError("the server has closed the connection")
            end = (end + place[max(0, got - len(READY)) : got])[-len(READY) :]

    nobody = struct.pack("!iii", 0, 0, 20)

    def rounds(asked: Setting) -> None:
        for _ in range(asked["times"]):
            exchange(b"claim", struct.pack("!i", asked["jobs"]))
            if asked["acknowledged"]:
                exchange(b"answer", nobody, nobody)

    return _Rounds(connection, rounds)


SUBJECTS = {PSYCOPG: _psycopg, ASYNCPG: _asyncpg, OURS: _ours, LIMIT: _limit}


def run(plan: Plan) -> Outcome:
    """Measure each size of claim, all subjects in turn."""
    outcome = Outcome("claim", notes=[_NOTE])
    missing: dict[str, str] = {}
    with ground("client") as server, standing("claim", SUBJECTS, places(server), missing) as ready:
        outcome.server = described(server)
        for acknowledged in (False, True):
            for jobs, often, goal in _CASES:
                times = plan.pick(max(2, often // 50), often)
                what = "claimed and acknowledged" if acknowledged else "claimed"
                case = f"{jobs} job{'s'[: jobs - 1]} {what}"
                plan.tell(f"claim: {case}")
                asked: dict[str, Any] = {"jobs": jobs, "times": times, "acknowledged": acknowledged}
                found = measured(plan, ready, partial(_once, server, asked))
                outcome.tables.append(compared(f"claim: {case}", "round", found, OURS, missing, microseconds=True))
                if goal is not None and not acknowledged:
                    outcome.ratios += judged(case, found, [Goal(PSYCOPG, OURS, goal)])
                note_samples(outcome, case, found)
        for jobs, times, goal in _AT_HAND:
            case = f"{jobs} job{'s'[: jobs - 1]} claimed, the answer at hand"
            plan.tell(f"claim: {case}")
            asked = {
                "jobs": jobs, "times": times, "acknowledged": False, "at_hand": True,
                "repeats": plan.pick(2, _REPEATS),
            }  # fmt: skip
            alike = [subject for subject in ready if subject.name != ASYNCPG]
            found = measured(plan, alike, partial(_once, server, asked))
            outcome.tables.append(compared(f"claim: {case}", "round", found, OURS, {}, microseconds=True))
            outcome.ratios += judged(case, found, [Goal(PSYCOPG, OURS, goal)])
            note_samples(outcome, case, found)
    return outcome


def _once(server: Ground, asked: Setting, subject: Apart) -> Taken:
    fill(server, "plain", asked["jobs"] * asked["times"])
    return subject.take(**asked)


BENCHMARK = Benchmark("claim", "the client's CPU time for a claim, and for an acknowledgement", run)
