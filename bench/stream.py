"""stream: reading all that lies in a queue, from the server to objects of Python, beside drivers and the limit."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from bench.apart import Apart, Setting, Step, standing, wanted
from bench.clients import (
    QUEUE,
    READY,
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
from bench.ground import ground
from bench.measures import Span
from bench.outcome import Chart, Line, Outcome
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK", "SUBJECTS"]

PSYCOPG, ASYNCPG = "psycopg, fetchall", "asyncpg, fetch"
JOBS, TUPLES, COLUMNS = "pgbgw, jobs", "pgbgw, tuples", "pgbgw, columns"
LIMIT = "limit: receive and drop"

_CASES = {"bytea 100 B": "plain", "jsonb 100 B": "parsed"}

# What is wanted of bytea, where the server is fast enough for the client to matter.
GOALS = (Goal(JOBS, LIMIT, 0.95, rate=True), Goal(PSYCOPG, JOBS, 6), Goal(ASYNCPG, JOBS, 18))

_NOTE = (
    "All read the same rows in the same order: SELECT *, by the index on priority and id. psycopg and asyncpg hold all"
    " rows at the end; ours come in pieces of 1000, in columns of 10 000. jsonb is not parsed by anybody. The limit"
    " takes what a COPY of them sends from the socket, and looks at nothing but the last bytes. CPU time is the"
    " client's; rates also depend on the server, which has the other core where there are two."
)


def _query(queue: str) -> str:
    return f"SELECT * FROM {QUEUE}.{queue} ORDER BY priority, id"


def _psycopg(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    query = _query(setting["queue"]).encode()

    def step(asked: Setting) -> int:
        with connection.cursor(binary=True) as cursor:
            return len(cursor.execute(query).fetchall())

    return step


def _psycopg_copy(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    with connection.cursor() as cursor:
        described = cursor.execute(f"{_query(setting['queue'])} LIMIT 0".encode()).description
    types = [column.type_code for column in described or ()]
    query = f"COPY ({_query(setting['queue'])}) TO STDOUT (FORMAT binary)".encode()

    def step(asked: Setting) -> int:
        with connection.cursor().copy(query) as copy:
            copy.set_types(types)
            return sum(1 for _ in copy.rows())

    return step


def _asyncpg(setting: Setting) -> Step:
    connection, run = asyncpg_connection(setting["conninfo"])
    query = _query(setting["queue"])
    return lambda asked: len(run(connection.fetch(query)))


def _adbc(setting: Setting) -> Step:
    connection = adbc_connection(setting["conninfo"])
    query = _query(setting["queue"])

    def step(asked: Setting) -> int:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetch_arrow_table().num_rows)

    return step


def _ours(form: str, size: int) -> Callable[[Setting], Step]:
    def make(setting: Setting) -> Step:
        connection = connected(setting["conninfo"])
        queue: Any = getattr(wanted("bench.declarations.client"), setting["queue"])

        def step(asked: Setting) -> int:
            return sum(len(piece) for piece in queue.stream(connection, form=form, size=size, exclusive=True))

        return step

    return make


def _limit(setting: Setting) -> Step:
    connection = connected(setting["conninfo"])
    query = f"COPY ({_query(setting['queue'])}) TO STDOUT (FORMAT binary)"
    message = b"Q" + (len(query) + 5).to_bytes(4, "big") + query.encode() + b"\0"
    # libpq has authenticated; from here on nobody but this reads from the socket, which libpq would close.
    plug = socket.socket(fileno=os.dup(connection.fileno()))
    plug.setblocking(True)
    rows: int = connection.execute(f"SELECT count(*) FROM {QUEUE}.{setting['queue']}".encode()).fetchall()[0][0]
    place = memoryview(bytearray(1 << 18))

    def step(asked: Setting) -> int:
        assert not connection.closed
        plug.sendall(message)
        end = b""
        while end != READY:
            got = plug.recv_into(place)
            if got == 0:
                raise RuntimeError("the server has closed the connection")
            end = (end + place[max(0, got - len(READY)) : got])[-len(READY) :]
        return rows

    return step


SUBJECTS = {
    PSYCOPG: _psycopg,
    "psycopg, rows of a COPY": _psycopg_copy,
    ASYNCPG: _asyncpg,
    "ADBC, to Arrow": _adbc,
    JOBS: _ours("jobs", 1000),
    TUPLES: _ours("tuples", 1000),
    COLUMNS: _ours("columns", 10_000),
    LIMIT: _limit,
}


def run(plan: Plan) -> Outcome:
    """Measure each payload, all subjects in turn."""
    outcome = Outcome("stream", notes=[_NOTE])
    rows = plan.pick(20_000, 500_000, 2_000_000)
    spans: dict[str, list[Any]] = {}
    with ground("client") as server:
        outcome.server = described(server)
        for case, queue in _CASES.items():
            plan.tell(f"stream: {case}, {rows} rows")
            fill(server, queue, rows)
            missing: dict[str, str] = {}
            with standing("stream", SUBJECTS, {**places(server), "queue": queue}, missing) as ready:
                found = measured(plan, ready, lambda subject: _whole(subject, rows))
            title = f"stream: {rows} jobs with {case}"
            outcome.tables.append(compared(title, "row", found, JOBS, missing))
            if queue == "plain":
                outcome.ratios += judged(case, found, GOALS)
            note_samples(outcome, case, found)
            for name, taken in found.items():
                spans.setdefault(name, []).append([each.rate for each in taken])
    outcome.charts.append(_chart(spans))
    return outcome


def _whole(subject: Apart, rows: int) -> Any:
    taken = subject.take()
    if taken.count != rows:
        raise RuntimeError(f"{subject.name} read {taken.count} of {rows} rows")
    return taken


def _chart(rates: dict[str, list[list[float]]]) -> Chart:
    lines = [Line.of(name, [Span.of(samples) for samples in each]) for name, each in rates.items()]
    whole = tuple(line for line in lines if len(line.values) == len(_CASES))
    return Chart("stream", "Reading a queue", "rows/s", whole, tuple(_CASES), logarithmic=False)


BENCHMARK = Benchmark("stream", "rows a second out of a queue, and the client's CPU time for one", run)
