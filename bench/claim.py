"""claim: what a round trip costs the client that takes jobs by leases, and one that acknowledges them."""

from __future__ import annotations

import os
import socket
import struct
from functools import partial
from typing import Any

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

_COLUMNS = "id, payload, priority, attempt, created_at, lease_end, token, who"

_NOTE = (
    "CPU time of the client for a round trip: a prepared statement that claims from a queue with a payload of bytea, in"
    " autocommit and without waiting for the disk. The others run the SQL that ours runs, and get tuples or records;"
    " ours are jobs that are not looked at. An acknowledgement names as many jobs as were claimed, by their ids and"
    " tokens. Claims are alone in a measurement; acknowledgements follow upon them, and both are in their figure. The"
    " limit sends the same messages and looks at nothing but the last bytes of what comes; it acknowledges no job."
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


def _limit(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    connection.execute("SET synchronous_commit = off")
    connection.execute(f"PREPARE claim AS SELECT {_COLUMNS} FROM {QUEUE}.plain_claim($1)".encode())
    connection.execute(f"PREPARE answer AS SELECT {QUEUE}.plain_acknowledge($1, $2)".encode())
    # libpq has authenticated; from here on nobody but this reads from the socket, which libpq would close.
    plug = socket.socket(fileno=os.dup(connection.fileno()))
    plug.setblocking(True)
    place = memoryview(bytearray(1 << 20))

    def exchange(name: bytes, *values: bytes) -> None:
        plug.sendall(_bound(name, *values))
        end = b""
        while end != READY:
            got = plug.recv_into(place)
            if got == 0:
                raise RuntimeError("the server has closed the connection")
            end = (end + place[max(0, got - len(READY)) : got])[-len(READY) :]

    nobody = struct.pack("!iii", 0, 0, 20)

    def step(asked: Setting) -> int:
        assert not connection.closed
        for _ in range(asked["times"]):
            exchange(b"claim", struct.pack("!i", asked["jobs"]))
            if asked["acknowledged"]:
                exchange(b"answer", nobody, nobody)
        return int(asked["times"])

    return step


def _bound(name: bytes, *values: bytes) -> bytes:
    """Bind in binary, Execute and Sync ("Message Formats" in the chapter on the protocol)."""
    given = b"".join(struct.pack("!i", len(each)) + each for each in values)
    bind = b"\0" + name + b"\0" + struct.pack("!hhh", 1, 1, len(values)) + given + struct.pack("!hh", 1, 1)
    messages = ((b"B", bind), (b"E", b"\0" + bytes(4)), (b"S", b""))
    return b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages)


SUBJECTS = {PSYCOPG: _psycopg, ASYNCPG: _asyncpg, OURS: _ours, LIMIT: _limit}


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
