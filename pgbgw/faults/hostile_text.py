"""Text that breaks code which pastes, formats, or cuts it, and ways to hand it to workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from pgbgw.faults.jobs import columns_of
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage
from pgbgw.ir.model import ArgumentIR, CBody, KeeperBody, RunnerBody, SchedulerBody, WorkerIR
from pgbgw.sqltext import quote_literal

__all__ = [
    "HOSTILE",
    "LONG",
    "as_value",
    "enqueue_text",
    "takes_text",
    "text_arguments",
    "text_columns",
    "text_settings",
    "unlogged",
]

LONG = 1_000_000

HOSTILE = (
    "",
    'it\'s "quoted", `too`',
    f"'; DROP TABLE {SCHEMA}.ledger; --",
    "\\ \\' \\\\ \\n \\x41 \\.",
    "$$ $q$ $1 :1 :name ? {0} @{x} %(a)s",
    "%s %n %d %% %1$s %.1000000s %*d",
    "??/ */ /* -- \\echo",
    "two\nlines\r\nand\ttabs",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "e\u0301 \u202eright to left\u202c \U0001f600 \ufffe",
)
"""Everything that has a meaning in SQL, in C, in formats, in COPY, on terminals; NUL alone is no text."""

_TEXT = ("text", "character varying")
_JSON = ("json", "jsonb")


def takes_text(sql_type: str) -> bool:
    """Whether values of a type hold any text."""
    return sql_type in (*_TEXT, *_JSON)


def text_columns(line: Line) -> list[str]:
    """The payload's columns that hold any text."""
    return [column.name for column in line.queue.columns if takes_text(column.sql_type)]


def text_arguments(worker: WorkerIR) -> list[ArgumentIR]:
    """The arguments of a launch that hold any text."""
    return [argument for argument in worker.arguments if takes_text(argument.sql_type)]


def text_settings(stage: Stage) -> list[tuple[WorkerIR, str, str]]:
    """Workers whose handler is handed a setting of text that a reload changes: worker, parameter, name of the setting.

    Of those that take from a queue, the first of each.
    """
    names = {each.variable: each.name for each in stage.module.settings if each.context != "PGC_POSTMASTER"}
    rounds = [worker for worker in stage.rounds if stage.home(worker) == stage.database]
    return [
        (worker, parameter.name, names[parameter.variable])
        for worker in (*(line.worker for line in stage.lines), *rounds)
        if not isinstance(worker.body, CBody | KeeperBody | SchedulerBody | RunnerBody)
        for parameter in worker.body.run.parameters
        if parameter.kind == "string" and parameter.variable in names
    ]


def as_value(text: str, sql_type: str) -> str:
    """An SQL expression for text, as a value of a type that holds any."""
    return f"to_{sql_type}({quote_literal(text)}::text)" if sql_type in _JSON else f"{quote_literal(text)}::{sql_type}"


def enqueue_text(
    stage: Stage, line: Line, payloads: Iterable[str], script: str | None = None, *, attempt: int = 0
) -> dict[int, str]:
    """Enqueue jobs with that text in each column that holds any, in one transaction; their ids and payloads.

    ``script`` is what their handler does, ``attempt`` how often they have failed before. The log tells nothing of it.
    """
    names = [f"v{number}" for number in range(len(line.queue.columns))]
    made_up = f"SELECT {', '.join(line.payload)} FROM generate_series(1::bigint, 1) AS g"
    jobs: dict[int, str] = {}
    with unlogged(stage) as connection, connection.transaction():
        for text in payloads:
            values = [
                as_value(text, column.sql_type) if takes_text(column.sql_type) else name
                for column, name in zip(line.queue.columns, names, strict=True)
            ]
            insert = (
                f"INSERT INTO {line.queue.table} ({columns_of(line)}, attempt)"
                f" SELECT {', '.join(values)}, {attempt} FROM ({made_up}) AS v({', '.join(names)})"
                f" RETURNING id, ROW({columns_of(line)})::text"
            )
            jobs |= dict(connection.execute(insert.encode()).fetchall())
        if script is not None:
            connection.cursor().executemany(
                f"INSERT INTO {SCHEMA}.scripts VALUES (%s, %s, %s)".encode(), [(line.name, job, script) for job in jobs]
            )
    return jobs


def unlogged(stage: Stage) -> psycopg.Connection[tuple[Any, ...]]:
    """A session of which the log tells nothing, whatever is set for others."""
    return stage.connect(options="-c log_min_messages=panic")
