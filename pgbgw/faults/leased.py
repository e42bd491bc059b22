"""Claiming and acknowledging as sessions do: what checks of several families do."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg

from pgbgw.faults.stage import Leased, Stage
from pgbgw.ir.model import LeaseIR

__all__ = ["Held", "acknowledge", "claim", "lease_of", "put"]

Held: TypeAlias = dict[int, int]
"""Jobs that are leased: their ids and tokens."""


def lease_of(leased: Leased) -> LeaseIR:
    """What a queue with leases has."""
    assert leased.queue.lease is not None
    return leased.queue.lease


def put(stage: Stage, leased: Leased, count: int) -> list[int]:
    """Put jobs into the queue; their ids."""
    columns = ", ".join(column.name for column in leased.queue.columns)
    statement = (
        f"INSERT INTO {leased.queue.table} ({columns}) SELECT {', '.join(leased.payload)}"
        f" FROM generate_series(1::bigint, {count}) AS g RETURNING id"
    )
    return sorted(row[0] for row in stage.rows(statement))


def claim(connection: psycopg.Connection[Any], leased: Leased, lease: str = "1 hour") -> Held:
    """Claim all jobs that there are."""
    statement = f"SELECT id, token FROM {lease_of(leased).claim.name}(1000, '{lease}')"
    return dict(connection.execute(statement.encode()).fetchall())


def acknowledge(stage: Stage, leased: Leased, held: Held) -> list[int]:
    """The ids that are refused."""
    statement = f"SELECT {lease_of(leased).acknowledge.name}(%s::bigint[], %s::bigint[])"
    refused: list[int] = stage.value(statement, [list(held), list(held.values())])
    return refused
