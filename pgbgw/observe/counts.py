"""How many jobs a queue has by status: counted where they are few, else as the server's statistics have it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

__all__ = ["MOST_COUNTED", "recounted"]

MOST_COUNTED = 10_000
"""So many jobs of a status are counted one by one."""


def recounted(
    connection: psycopg.Connection[Any], view: sql.Composable, status: str, estimate: int
) -> tuple[int, bool]:
    """How many jobs a view of jobs has of a status, and whether that is exact; of many it is the estimate.

    A table that consumers have emptied is large until it is vacuumed, and statistics come late where they are busy. A
    look takes a second at most; the connection is one that commits by itself.
    """
    some = sql.SQL("SELECT FROM {} WHERE status = {} LIMIT {}").format(view, status, MOST_COUNTED + 1)
    try:
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = '1s'")
            row = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS j").format(some)).fetchone()
    except (psycopg.errors.QueryCanceled, psycopg.errors.InsufficientPrivilege):
        # a role that may count jobs need not be allowed to read them
        return estimate, False
    assert row is not None
    return (row[0], True) if row[0] <= MOST_COUNTED else (max(estimate, MOST_COUNTED), False)
