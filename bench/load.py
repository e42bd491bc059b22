"""load: many jobs into a queue by COPY, from objects of Python to the commit, beside drivers and the limit."""

from __future__ import annotations

import contextlib
from typing import Any

from bench.apart import Apart, Setting, Step, Taken, standing, wanted
from bench.clients import (
    QUEUE,
    Goal,
    adbc_connection,
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
from pgbgw._core import encode_copy

__all__ = ["BENCHMARK", "SUBJECTS"]

PSYCOPG, OURS, LIMIT = "psycopg, write_row", "pgbgw, enqueue_many", "limit: encoded before"
PAYLOAD = b"x" * 100

GOALS = (Goal(OURS, LIMIT, 0.9, rate=True),)

_STATEMENT = f"COPY {QUEUE}.plain (payload, priority) FROM STDIN (FORMAT binary)".encode()
_BLOCK = 1 << 17

_NOTE = (
    "Into our queue with a payload of 100 bytes of bytea, its index and its triggers, with synchronous commit. Ours"
    " takes objects of the payload class, the others tuples, ADBC an Arrow table that is ready. The limit sends what"
    " was encoded before, in blocks, by psycopg. CPU time is the client's."
)


def _psycopg(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    rows = [(PAYLOAD, 5)] * setting["rows"]

    def step(asked: Setting) -> int:
        with connection.cursor().copy(_STATEMENT) as copy:
            copy.set_types(["bytea", "int2"])
            for row in rows:
                copy.write_row(row)
        return len(rows)

    return step


def _asyncpg(setting: Setting) -> Step:
    connection, run = asyncpg_connection(setting["conninfo"])
    rows = [(PAYLOAD, 5)] * setting["rows"]

    def step(asked: Setting) -> int:
        columns = ["payload", "priority"]
        run(connection.copy_records_to_table("plain", schema_name=QUEUE, records=rows, columns=columns))
        return len(rows)

    return step


def _adbc(setting: Setting) -> Step:
    connection = adbc_connection(setting["conninfo"])
    pyarrow = wanted("pyarrow")
    count = setting["rows"]
    batch = pyarrow.record_batch(
        [pyarrow.array([PAYLOAD] * count, pyarrow.binary()), pyarrow.array([5] * count, pyarrow.int16())],
        names=["payload", "priority"],
    )

    def step(asked: Setting) -> int:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.adbc_ingest("plain", batch, mode="append", db_schema_name=QUEUE)
        return int(count)

    return step


def _ours(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    declared: Any = wanted("bench.declarations.client")
    jobs = [declared.Plain(payload=PAYLOAD) for _ in range(setting["rows"])]
    return lambda asked: int(declared.plain.enqueue_many(connection, jobs))


def _limit(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    rows = [(PAYLOAD, 5)] * setting["rows"]
    whole = encode_copy(rows, ["bytea", "int2"])
    blocks = [whole[start : start + _BLOCK] for start in range(0, len(whole), _BLOCK)]

    def step(asked: Setting) -> int:
        with connection.cursor().copy(_STATEMENT) as copy:
            for block in blocks:
                copy.write(block)
        return len(rows)

    return step


SUBJECTS = {
    PSYCOPG: _psycopg,
    "asyncpg, copy_records_to_table": _asyncpg,
    "ADBC, ingest": _adbc,
    OURS: _ours,
    LIMIT: _limit,
}


def run(plan: Plan) -> Outcome:
    """Measure all subjects in turn, each into an empty queue."""
    outcome = Outcome("load", notes=[_NOTE])
    rows = plan.pick(10_000, 200_000, 1_000_000)
    missing: dict[str, str] = {}
    with ground("client") as server:
        outcome.server = described(server)
        with standing("load", SUBJECTS, {**places(server), "rows": rows}, missing) as ready:
            plan.tell(f"load: {rows} rows")
            found = measured(plan, ready, lambda subject: _once(server, rows, subject))
    outcome.tables.append(compared(f"load: {rows} jobs", "row", found, OURS, missing))
    outcome.ratios = judged("jobs of bytea", found, GOALS)
    note_samples(outcome, "bytea", found)
    return outcome


def _once(server: Ground, rows: int, subject: Apart) -> Taken:
    fill(server, "plain", 0)
    taken = subject.take()
    arrived = server.value(f"SELECT count(*) FROM {QUEUE}.plain")
    if taken.count != rows or arrived != rows:
        raise RuntimeError(f"{subject.name} put in {arrived} of {rows} jobs")
    return taken


BENCHMARK = Benchmark("load", "rows a second into a queue by enqueue_many, beside drivers and the limit", run)
