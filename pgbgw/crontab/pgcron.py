"""The jobs of pg_cron, 1.2 to 1.6: the table cron.job, and the settings that its times go by."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import rows

from pgbgw.crontab.entries import Entry, Refusal

__all__ = ["read_jobs"]

# Columns came one after the other: active with 1.2, jobname with 1.3; of a whole row each can be asked for.
_JOBS = """
SELECT j.jobid, j.schedule, j.command, j.database, j.username,
    pg_catalog.to_jsonb(j) OPERATOR(pg_catalog.->>) 'jobname' AS jobname,
    COALESCE((pg_catalog.to_jsonb(j) OPERATOR(pg_catalog.->>) 'active')::pg_catalog.bool, true) AS active,
    j.nodename
FROM cron.job AS j ORDER BY j.jobid
"""

_SETTING = "SELECT pg_catalog.current_setting(%s, true)"


def read_jobs(connection: psycopg.Connection[Any]) -> list[Entry | Refusal]:
    """All jobs that the role of the connection may see: its own, or for a superuser those of everybody.

    Raises:
        psycopg.Error: there is no pg_cron in this database, or its tables may not be read.
    """
    zone = _setting(connection, "cron.timezone") or "GMT"
    both = _setting(connection, "cron.match_dom_and_dow") == "on"
    with connection.cursor(row_factory=rows.dict_row) as cursor:
        return [_entry(row, zone, both) for row in cursor.execute(_JOBS).fetchall()]


def _setting(connection: psycopg.Connection[Any], name: str) -> str | None:
    row = connection.execute(_SETTING, [name]).fetchone()
    return row[0] if row else None


def _entry(row: dict[str, Any], zone: str, both: bool) -> Entry | Refusal:
    where = f"job {row['jobid']}" + (f' "{row["jobname"]}"' if row["jobname"] else "")
    fields = row["schedule"].split()
    if both and len(fields) >= 5 and not fields[2].startswith("*") and not fields[4].startswith("*"):
        return Refusal(
            "days of the month and of the week must both match, by cron.match_dom_and_dow",
            hint='Name the days of the week by their number in the month, as in "tue#2".',
            where=where,
        )
    elsewhere = row["nodename"] not in {"", "localhost", "127.0.0.1", "::1"} and not row["nodename"].startswith("/")
    return Entry(
        where,
        "pg_cron",
        row["schedule"],
        zone,
        (row["command"],),
        name=row["jobname"] or f"job_{row['jobid']}",
        database=row["database"],
        owner=row["username"],
        active=row["active"],
        notes=(f'it connected to host "{row["nodename"]}"',) if elsewhere else (),
    )
