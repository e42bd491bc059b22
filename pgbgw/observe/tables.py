"""A look at a table of schedules: thousands of rows, in a few figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from pgbgw.client.schedules import by_clocks, shown_there
from pgbgw.observe.subject import TableNames

__all__ = ["RowFailure", "RowNext", "TableSummary", "summary"]


@dataclass(frozen=True, slots=True)
class RowNext:
    """The schedule that is due next, and when, by the clocks of its zone."""

    name: str
    owner: str
    next_run: datetime


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A run that failed or was lost; ``name`` is None if its schedule was removed."""

    name: str | None
    owner: str
    outcome: str
    ended_at: datetime
    error: str | None
    sqlstate: str | None


@dataclass(frozen=True, slots=True)
class TableSummary:
    """A table of schedules: how many it has, of how many owners, and how many of them are paused.

    ``next`` is due next of those that are neither paused nor under way, None where none ever is. ``running`` and
    ``waiting`` are runs under way, ``failed`` those of the last day that failed or were lost, ``last_failure`` the
    latest of them.
    """

    name: str
    schedules: int
    owners: int
    paused: int
    next: RowNext | None
    running: int
    waiting: int
    failed: int
    last_failure: RowFailure | None


# Runs under way, as their index has them.
_OPEN = "r.outcome = ANY ('{{waiting,running}}'::pg_catalog.text[])"

_COUNTS = (
    "SELECT pg_catalog.count(*), pg_catalog.count(DISTINCT owner), pg_catalog.count(*) FILTER (WHERE paused) FROM {}"
)

_NEXT = (
    "SELECT s.name, pg_catalog.pg_get_userbyid(s.owner), s.next_run,"
    " {shown}, s.time_zone FROM {rows} AS s WHERE NOT s.paused"
    f" AND s.next_run IS NOT NULL AND s.id <> ALL (ARRAY(SELECT r.schedule FROM {{runs}} AS r WHERE {_OPEN}))"
    " ORDER BY s.next_run, s.id LIMIT 1"
)

_UNDER_WAY = (
    "SELECT pg_catalog.count(*) FILTER (WHERE r.outcome = 'running'),"
    f" pg_catalog.count(*) FILTER (WHERE r.outcome = 'waiting') FROM {{}} AS r WHERE {_OPEN}"
)

_FAILED = (
    "SELECT s.name, pg_catalog.pg_get_userbyid(r.owner), r.outcome, r.ended_at, r.error, r.sqlstate, s.time_zone,"
    " pg_catalog.count(*) OVER () FROM {runs} AS r LEFT JOIN {rows} AS s ON s.id = r.schedule"
    " WHERE r.ended_at > pg_catalog.clock_timestamp() - '1 day'::pg_catalog.interval"
    " AND r.outcome = ANY ('{{failed,lost}}'::pg_catalog.text[])"
    " ORDER BY r.ended_at DESC, r.id DESC LIMIT 1"
)


def summary(connection: psycopg.Connection[Any], table: TableNames) -> TableSummary:
    """What there is of a table; its figures are of one moment where the connection is in such a transaction.

    Raises:
        psycopg.Error: the server refused.
    """

    def one(statement: str) -> Any:
        return connection.execute(statement.encode()).fetchone()

    schedules, owners, paused = one(_COUNTS.format(table.rows))
    running, waiting = one(_UNDER_WAY.format(table.runs))
    # what was written down before there was such a function knows none
    shown = f"{table.local_time}(s.next_run, s.time_zone)" if table.local_time else "NULL::pg_catalog.timestamp"
    due = one(_NEXT.format(rows=table.rows, runs=table.runs, shown=shown))
    failed = one(_FAILED.format(rows=table.rows, runs=table.runs))
    return TableSummary(
        name=table.name,
        schedules=schedules,
        owners=owners,
        paused=paused,
        next=_next(*due) if due else None,
        running=running,
        waiting=waiting,
        failed=failed[-1] if failed else 0,
        last_failure=_failure(*failed[:-1]) if failed else None,
    )


def _next(name: str, owner: str, due: datetime, local: datetime | None, zone: str) -> RowNext:
    shown = shown_there(due, local, zone)
    assert shown is not None
    return RowNext(name, owner, shown)


def _failure(
    name: str | None, owner: str, outcome: str, ended_at: datetime, error: str | None, sqlstate: str | None, zone: str
) -> RowFailure:
    at = by_clocks(ended_at, zone or "UTC")
    assert at is not None
    return RowFailure(name, owner, outcome, at, error, sqlstate)
