"""Putting jobs into a queue, and seeing them done: what checks of several families do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from pgbgw.faults.probe import EVERY
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import Red, eventually
from pgbgw.sqltext import quote_literal

__all__ = ["SOON", "columns_of", "copy_in", "counted", "insert_of", "never", "soon", "texts", "wake_up_alone"]

# What "an hour" is as the setting of the suite, ms; and how soon a job is done that does not wait for it, s.
_HOUR = 3_600_000
SOON = 10.0

# By when a look has come that was planned when workers still looked every second, s.
_PLANNED = 4.0


def wake_up_alone(stage: Stage) -> None:
    """From now on workers look by themselves once an hour, so that only a wake-up explains a job that is done."""
    stage.every(_HOUR)
    # a new session shows the value once the postmaster has it, and has told its processes
    setting = f"{stage.module.name}.{EVERY}"
    eventually(lambda: stage.value("SELECT setting FROM pg_settings WHERE name = %s", [setting]) == str(_HOUR))
    for line in stage.lines:
        soon(stage, line, stage.enqueue(line))
    # one look is still due that was planned before: it finds a job that nobody tells of. Of several workers nobody
    # knows whose look it was that did.
    alone = [line for line in stage.lines if len(line.takers) == 1]
    for line in alone:
        stage.rows(
            f"INSERT INTO {line.queue.table} (id, {columns_of(line)}) OVERRIDING SYSTEM VALUE"
            f" SELECT -1, {', '.join(line.payload)} FROM generate_series(1::bigint, 1) AS g"
        )
    for line in alone:
        try:
            soon(stage, line, [-1], _PLANNED)
        except Red:
            # it has been, a moment before
            stage.rows(f"DELETE FROM {line.queue.table} WHERE id = -1")
    stage.idle()


def soon(stage: Stage, line: Line, jobs: Sequence[int], within: float = SOON) -> float:
    """Wait until jobs are done; how long it took, ms."""
    began = time.monotonic()
    eventually(lambda: stage.done(line.name).keys() >= set(jobs), within, f'jobs of "{line.queue.name}" done')
    return (time.monotonic() - began) * 1000


def never(stage: Stage, line: Line, jobs: Sequence[int], why: str) -> None:
    """Require that none of these jobs was done; that none waits is what an audit says."""
    wrong = stage.done(line.name).keys() & set(jobs)
    require(not wrong, f"done {why}: {sorted(wrong)[:5]}")


def columns_of(line: Line) -> str:
    """The payload's columns, as they are listed in SQL."""
    return ", ".join(column.name for column in line.queue.columns)


def texts(stage: Stage, line: Line, count: int) -> list[tuple[str | None, ...]]:
    """Payloads as text, for ways in that take no SQL expressions."""
    names = [f"v{number}" for number in range(len(line.queue.columns))]
    rows = f"SELECT {', '.join(line.payload)} FROM generate_series(1::bigint, {count}) AS g"
    return stage.rows(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM ({rows}) AS v({', '.join(names)})")


def insert_of(line: Line, payloads: Sequence[tuple[str | None, ...]]) -> str:
    """An INSERT of payloads that are text."""
    rows = [", ".join("NULL" if v is None else quote_literal(v) for v in payload) for payload in payloads]
    return f"INSERT INTO {line.queue.table} ({columns_of(line)}) VALUES " + ", ".join(f"({row})" for row in rows)


def copy_in(connection: psycopg.Connection[Any], line: Line, payloads: Sequence[tuple[str | None, ...]]) -> None:
    """COPY FROM STDIN of payloads that are text."""
    with connection.cursor().copy(f"COPY {line.queue.table} ({columns_of(line)}) FROM STDIN".encode()) as stream:
        for payload in payloads:
            stream.write_row(payload)


@contextlib.contextmanager
def counted(stage: Stage, line: Line) -> Iterator[list[int]]:
    """The ids that a queue gives out while the block runs; they are there when it ends, whoever has enqueued."""
    last = f"SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {line.queue.sequence}"
    ids: list[int] = []
    before = stage.value(last)
    yield ids
    ids += range(before + 1, stage.value(last) + 1)
