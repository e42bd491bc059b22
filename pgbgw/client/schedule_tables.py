"""Schedules that are rows, as the command line sees them: found in the catalog, looked at and steered by their ids."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from pgbgw.client.errors import ClientError, ScheduleMissing, explained
from pgbgw.client.schedules import ScheduleStatus, by_clocks, shown_there
from pgbgw.sqltext import quote_ident

__all__ = [
    "RowHandle",
    "RowRun",
    "RowStatus",
    "TableHandle",
    "begun_after",
    "change",
    "names",
    "read",
    "remove",
    "run_now",
    "runs",
    "set_paused",
    "status",
    "tables",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableHandle:
    """A table of schedules, by its name, and its extension and schema."""

    extension: str
    schema: str
    table: str

    @property
    def full_name(self) -> str:
        """With its extension."""
        return f"{self.extension}.{self.table}"

    @property
    def local_time(self) -> str:
        """The function of its extension that tells what clocks show, as ``named`` has it."""
        prefix = "" if self.schema == self.extension else f"{self.extension}_"
        return f"{quote_ident(self.schema)}.{quote_ident(f'{prefix}local_time')}".replace("%", "%%")

    def named(self, ending: str = "") -> str:
        """The table, or what is beside it, qualified and quoted, as a statement with parameters has it."""
        return f"{quote_ident(self.schema)}.{quote_ident(self.table + ending)}".replace("%", "%%")


@dataclass(frozen=True, slots=True)
class RowHandle:
    """One schedule of a table; its name is unique among those of its owner alone, its id among all."""

    of: TableHandle
    id: int
    name: str
    owner: str

    def __str__(self) -> str:
        return f'schedule "{self.name}" of {self.owner}'

    @property
    def extension(self) -> str:
        """That of its table."""
        return self.of.extension

    @property
    def full_name(self) -> str:
        """With its extension and its table."""
        return f"{self.of.full_name}.{self.name}"


@dataclass(frozen=True, slots=True)
class RowStatus(ScheduleStatus):
    """A schedule of a table: ``changed`` is False, since nothing is declared of it.

    ``outcome`` may also be "waiting"; ``started_at`` is None for a run that did not begin. ``transaction`` tells
    whether ``command`` runs inside one.
    """

    id: int
    owner: str
    command: str
    transaction: bool


@dataclass(frozen=True, slots=True)
class RowRun:
    """A run of a schedule of a table; ``attempts`` is how often it was begun.

    ``outcome`` is "waiting", "running", "done", "failed" or "lost".
    """

    id: int
    due: datetime
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    error: str | None
    sqlstate: str | None

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it lasts, and where it did not begin."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None


# A table of schedules belongs to an extension together with its view, its runs, and the trigger function in C of its
# name that checks what is written; and whether this role may look at it, which the view takes from whoever asks.
_TABLES = """
WITH member AS (
    SELECT e.extname, d.classid, d.objid FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        AND d.refobjid = e.oid AND d.deptype = 'e'
), relation AS (
    SELECT m.extname, c.oid, c.relname, c.relnamespace, c.relkind FROM member AS m
    JOIN pg_catalog.pg_class AS c ON c.oid = m.objid AND m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
), function AS (
    SELECT m.extname, p.oid, p.proname FROM member AS m
    JOIN pg_catalog.pg_proc AS p ON p.oid = m.objid AND m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang AND l.lanname = 'c'
)
SELECT t.extname, n.nspname, t.relname,
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(v.oid, 'SELECT')
    AND pg_catalog.has_table_privilege(t.oid, 'SELECT') AND pg_catalog.has_table_privilege(r.oid, 'SELECT')
FROM relation AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN relation AS r ON (r.extname, r.relnamespace, r.relkind) = (t.extname, t.relnamespace, t.relkind)
    AND r.relname = t.relname || '_runs'
JOIN relation AS v ON (v.extname, v.relnamespace, v.relkind) = (t.extname, t.relnamespace, 'v')
    AND v.relname = t.relname || '_status'
WHERE t.relkind = 'r' AND EXISTS (
    SELECT FROM function AS f JOIN pg_catalog.pg_trigger AS g ON g.tgfoid = f.oid AND g.tgrelid = t.oid
    WHERE f.extname = t.extname AND f.proname = t.relname || '_check'
)
ORDER BY t.extname, t.relname
"""


def tables(connection: psycopg.Connection[Any]) -> list[tuple[TableHandle, bool]]:
    """The tables of schedules of a database, by extension and name, and whether this role may look at each.

    Raises:
        psycopg.Error: the server refused.
    """
    return [(TableHandle(*row), may) for *row, may in connection.execute(_TABLES.encode())]


_STATUS = (
    "SELECT s.id, s.name, pg_catalog.pg_get_userbyid(s.owner), s.expression, s.time_zone, s.command, s.transaction,"
    " s.paused, s.next_run, s.next_run_local, s.last_due, s.started_at, s.ended_at, s.outcome, s.error, s.sqlstate"
    " FROM {} AS s"
)

_RUNS = (
    "SELECT r.id, r.due, {}(r.due, s.time_zone), s.time_zone, r.attempts, r.started_at, r.ended_at,"
    " r.outcome, r.error, r.sqlstate FROM {} AS r JOIN {} AS s ON s.id = r.schedule WHERE r.schedule = %s"
)


def read(
    connection: psycopg.Connection[Any], of: TableHandle, among: Sequence[str] | None = None, owner: str | None = None
) -> list[tuple[RowHandle, RowStatus]]:
    """The schedules of a table that this role sees, by name and owner; those with one of the names, or of one owner.

    Raises:
        ClientError: the table is not in this database, or not for this role.
    """
    statement = (
        f"{_STATUS.format(of.named('_status'))} WHERE (%(all)s OR s.name = ANY (%(among)s::pg_catalog.text[]))"
        " AND (%(owner)s::pg_catalog.text IS NULL OR pg_catalog.pg_get_userbyid(s.owner) = %(owner)s::pg_catalog.text)"
        " ORDER BY s.name, 3"
    )
    given = {"all": among is None, "among": list(among or ()), "owner": owner}
    with _told(of, f"schedule table {of.full_name}"):
        rows = connection.execute(statement.encode(), given).fetchall()
    states = [_status(row) for row in rows]
    return [(RowHandle(of, state.id, state.name, state.owner), state) for state in states]


def names(connection: psycopg.Connection[Any], of: TableHandle, limit: int) -> list[str]:
    """Some names of schedules that this role sees, in their order.

    Raises:
        ClientError: the table is not in this database, or not for this role.
    """
    statement = f"SELECT DISTINCT name FROM {of.named()} ORDER BY name LIMIT %s"
    with _told(of, f"schedule table {of.full_name}"):
        return [row[0] for row in connection.execute(statement.encode(), [limit])]


def status(connection: psycopg.Connection[Any], handle: RowHandle) -> RowStatus:
    """What it is at.

    Raises:
        ScheduleMissing: it was removed.
    """
    statement = f"{_STATUS.format(handle.of.named('_status'))} WHERE s.id = %s"
    with _told(handle, f"{handle}"):
        row = connection.execute(statement.encode(), [handle.id]).fetchone()
    if row is None:
        raise _gone(handle)
    return _status(row)


def runs(connection: psycopg.Connection[Any], handle: RowHandle, limit: int) -> list[RowRun]:
    """Its last runs, the latest first.

    Raises:
        ClientError: they are not for this role.
    """
    with _told(handle, f"{handle}"):
        rows = connection.execute(f"{_runs(handle)} ORDER BY r.id DESC LIMIT %s".encode(), [handle.id, limit])
        return [_run(row) for row in rows]


def begun_after(connection: psycopg.Connection[Any], handle: RowHandle, id: int) -> RowRun | None:
    """The first run after that with an id.

    Raises:
        ScheduleMissing: the schedule was removed.
    """
    with _told(handle, f"{handle}"):
        statement = f"{_runs(handle)} AND r.id > %s ORDER BY r.id LIMIT 1"
        row = connection.execute(statement.encode(), [handle.id, id]).fetchone()
    if row is None:
        status(connection, handle)
        return None
    return _run(row)


def run_now(connection: psycopg.Connection[Any], handle: RowHandle) -> int:
    """Have it run now; the id of its last run before that, which ``begun_after`` takes, or 0.

    The scheduler takes runs under a lock of the row, which is held here until the end, so that no other run comes
    between.

    Raises:
        ClientError: it is not for this role to change.
        ScheduleMissing: it was removed.
    """
    with _changing(connection, handle):
        _set(connection, handle, "run_now = true")
        row = connection.execute(
            f"SELECT pg_catalog.max(id) FROM {handle.of.named('_runs')} WHERE schedule = %s".encode(), [handle.id]
        ).fetchone()
    return (row[0] if row else None) or 0


def set_paused(connection: psycopg.Connection[Any], handle: RowHandle, paused: bool) -> bool:
    """Run it no more, or again from its next time on; whether that is a change.

    Raises:
        ClientError: it is not for this role to change.
        ScheduleMissing: it was removed.
    """
    with _changing(connection, handle) as before:
        # a change is when its next time is counted anew, and none must not do that
        if before != paused:
            _set(connection, handle, "paused = %s", paused)
    return before != paused


def change(connection: psycopg.Connection[Any], handle: RowHandle, expression: str, time_zone: str) -> None:
    """Give it another expression and time zone.

    Raises:
        ClientError: it is not for this role to change.
        ScheduleMissing: it was removed.
        psycopg.errors.InvalidParameterValue: that is not a schedule.
    """
    with _changing(connection, handle):
        _set(connection, handle, "expression = %s, time_zone = %s", expression, time_zone)


def remove(connection: psycopg.Connection[Any], handle: RowHandle) -> None:
    """Remove it; a run that is under way goes on, and what became of its runs is kept as long as that of others.

    Raises:
        ClientError: it is not for this role to change.
        ScheduleMissing: it was removed before.
    """
    with _changing(connection, handle):
        connection.execute(f"DELETE FROM {handle.of.named()} WHERE id = %s".encode(), [handle.id])


@contextlib.contextmanager
def _changing(connection: psycopg.Connection[Any], handle: RowHandle) -> Iterator[bool]:
    """A transaction that holds its row; whether it is paused."""
    with _told(handle, f"{handle}"), connection.transaction():
        lock = f"SELECT paused FROM {handle.of.named()} WHERE id = %s FOR UPDATE"
        row = connection.execute(lock.encode(), [handle.id]).fetchone()
        if row is None:
            # one that may be seen and not locked is of another role
            status(connection, handle)
            raise ClientError(
                f'{handle} is not for role "{connection.info.user}" to change',
                detail="Roles change schedules of their own.",
                hint="Connect as its owner, as the owner of the extension, or as a superuser.",
            )
        yield row[0]


def _set(connection: psycopg.Connection[Any], handle: RowHandle, what: str, *values: Any) -> None:
    statement = f"UPDATE {handle.of.named()} SET {what} WHERE id = %s"
    connection.execute(statement.encode(), [*values, handle.id])


@contextlib.contextmanager
def _told(owned: TableHandle | RowHandle, what: str) -> Iterator[None]:
    """Better errors, where the server's say that something of ours is missing or not allowed."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ClientError(
            f"{what} is not for this role: {error.diag.message_primary}",
            hint="The declaration names the roles that may have schedules in schedulers=.",
            sqlstate=error.sqlstate,
        ) from error
    except psycopg.Error as error:
        better = explained(error, owned.extension, what, ScheduleMissing)
        if better is error:
            raise
        raise better from error


def _gone(handle: RowHandle) -> ScheduleMissing:
    return ScheduleMissing(
        f"{handle} is not there any more",
        detail=f"It was removed from schedule table {handle.of.full_name}.",
        hint=f"Make it anew: SELECT {handle.of.named('_schedule').replace('%%', '%')}(...).",
    )


def _runs(handle: RowHandle) -> str:
    return _RUNS.format(handle.of.local_time, handle.of.named("_runs"), handle.of.named())


def _status(row: tuple[Any, ...]) -> RowStatus:
    id, name, owner, expression, zone, command, transaction, paused, due, local, *rest = row
    last_due, started_at, ended_at, outcome, error, sqlstate = rest
    return RowStatus(
        name=name,
        expression=expression,
        time_zone=zone,
        changed=False,
        paused=paused,
        next_run=shown_there(due, local, zone),
        last_due=by_clocks(last_due, zone),
        started_at=by_clocks(started_at, zone),
        ended_at=by_clocks(ended_at, zone),
        outcome=outcome,
        error=error,
        sqlstate=sqlstate,
        running=int(outcome == "running"),
        id=id,
        owner=owner,
        command=command,
        transaction=transaction,
    )


def _run(row: tuple[Any, ...]) -> RowRun:
    id, due, local, zone, attempts, started_at, ended_at, *rest = row
    there = shown_there(due, local, zone)
    assert there is not None
    return RowRun(id, there, attempts, by_clocks(started_at, zone), by_clocks(ended_at, zone), *rest)
