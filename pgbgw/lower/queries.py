"""The statements that move a queue's jobs; the claim stands here and nowhere else.

Names are quoted already. Operators and functions are written with their schema, so that no search_path can change
what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgbgw.ir.model import SqlLines
from pgbgw.sqltext import quote_literal

__all__ = ["accept_copy", "claim", "give_up", "next_due", "promote", "retry"]


def claim(table: str, payload: Sequence[str]) -> SqlLines:
    """Take up to $1 jobs out of the table, oldest first, passing over those that somebody has locked.

    The rows are found by an array of ctids, which is computed once: ``id IN (SELECT ... LIMIT n)`` may be run again
    for each row of a nested loop, and then claims more than n.
    """
    columns = ("id", *payload, "attempt", "created_at")
    return (
        "WITH claimed AS (",
        f"DELETE FROM {table} AS q",
        "WHERE q.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT c.ctid FROM {table} AS c ORDER BY c.id LIMIT $1 FOR UPDATE SKIP LOCKED))",
        f"RETURNING {_of('q', columns)})",
        f"SELECT {_of('claimed', columns)} FROM claimed ORDER BY claimed.id",
    )


def promote(table: str, later: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Move up to $1 jobs whose time has come back among those that may run.

    Where somebody has restarted the sequence, an id may be taken by now: such a job gets a new one.
    """
    columns = ("id", *payload, "attempt", "created_at")
    return (
        "WITH due AS (",
        f"DELETE FROM {later} AS l",
        "WHERE l.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT d.ctid FROM {later} AS d",
        "WHERE d.run_at OPERATOR(pg_catalog.<=) pg_catalog.now()",
        "ORDER BY d.run_at LIMIT $1 FOR UPDATE SKIP LOCKED))",
        f"RETURNING {_of('l', columns)})",
        f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE",
        f"SELECT CASE WHEN EXISTS (SELECT FROM {table} AS q WHERE q.id OPERATOR(pg_catalog.=) due.id)",
        f"THEN pg_catalog.nextval({quote_literal(sequence)}) ELSE due.id END, {_of('due', columns[1:])} FROM due",
    )


def next_due(later: str) -> SqlLines:
    """When the first waiting job is due; NULL where none waits."""
    return (f"SELECT pg_catalog.min(l.run_at) FROM {later} AS l",)


def retry(later: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Keep a failed job for another attempt: its columns, then run_at, error and SQLSTATE."""
    return _insert(later, sequence, ("id", *payload, "attempt", "created_at", "run_at", "error", "sqlstate"))


def give_up(failed: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Keep a job that has failed for the last time: its columns, then error and SQLSTATE."""
    return _insert(failed, sequence, ("id", *payload, "attempts", "created_at", "error", "sqlstate"))


def accept_copy(copies: str) -> SqlLines:
    """Let one row stand for the database as it is now."""
    return (
        f"WITH others AS (DELETE FROM {copies})",
        f"INSERT INTO {copies} (restored) VALUES (false)",
    )


def _insert(table: str, sequence: str, columns: Sequence[str]) -> SqlLines:
    """One row; where its id is taken, which takes a restarted sequence, it gets the next free one of the table.

    Whoever may write the column id may use up the largest number. Then the sequence gives one: if that is taken too the
    round fails, and the next one gets another.
    """
    values = ", ".join(f"${number}" for number in range(2, len(columns) + 1))
    return (
        f"INSERT INTO {table} ({', '.join(columns)})",
        f"SELECT CASE WHEN EXISTS (SELECT FROM {table} AS t WHERE t.id OPERATOR(pg_catalog.=) $1)",
        f"THEN (SELECT CASE WHEN pg_catalog.max(t.id) OPERATOR(pg_catalog.<) {2**63 - 1}",
        f"THEN pg_catalog.max(t.id) OPERATOR(pg_catalog.+) 1 ELSE pg_catalog.nextval({quote_literal(sequence)}) END",
        f"FROM {table} AS t) ELSE $1 END,",
        values,
    )


def _of(alias: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{column}" for column in columns)
