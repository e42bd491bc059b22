"""Schedules as a program sees them: what they are at, their runs, and what steers them, as statements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import psycopg

from pgbgw.calendar import Zone, ZoneMissing
from pgbgw.client.errors import ScheduleMissing, explained
from pgbgw.client.operations import Operation, Rows
from pgbgw.client.running import run
from pgbgw.declare.derived import schedule_objects
from pgbgw.declare.schedules import CronWorker
from pgbgw.sqltext import near, quote_ident

__all__ = [
    "ScheduleHandle",
    "ScheduleRun",
    "ScheduleStatus",
    "begun_after",
    "by_clocks",
    "change",
    "find",
    "find_all",
    "find_in",
    "pause",
    "places",
    "read_all",
    "resume",
    "run_now",
    "run_now_after",
    "runs",
    "schedule_of",
    "shown_there",
    "status",
    "statuses",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule, with its next run and its last one. Times are by the clocks of its zone.

    ``next_run`` is None while it is paused, and where it is never due. The last run is the one that was begun last:
    with ``overlap=allow(n)`` up to n are under way, which is what ``running`` counts. ``outcome`` is "running", "done",
    "failed" or "lost"; it is None, as are the other fields of the last run, before the first one.
    """

    name: str
    expression: str
    time_zone: str
    changed: bool
    paused: bool
    next_run: datetime | None
    last_due: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    error: str | None
    sqlstate: str | None
    running: int

    @property
    def duration(self) -> timedelta | None:
        """How long the last run took; None while it lasts."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """A run of a schedule; its fields are as in ``ScheduleStatus``.

    ``process`` is the one of its worker that has it, from 1. ``attempt`` is 1, and one more for each time that it is
    tried again after an error; ``begun`` is how often this attempt was begun, which is more than once after a crash.
    """

    id: int
    process: int
    due: datetime
    attempt: int
    begun: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    error: str | None
    sqlstate: str | None

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it lasts."""
        return self.ended_at - self.started_at if self.ended_at else None


@dataclass(frozen=True, slots=True)
class ScheduleHandle:
    """One schedule of an extension, and where that has them; ``prefix`` stands before the names of all objects."""

    extension: str
    schema: str
    prefix: str
    name: str

    def __str__(self) -> str:
        return f'schedule "{self.name}"'

    @property
    def full_name(self) -> str:
        """With its extension, which tells it from one of the same name."""
        return f"{self.extension}.{self.name}"

    def named(self, what: str) -> str:
        """An object for the schedules of its extension, qualified and quoted, as a statement with parameters has it."""
        return f"{quote_ident(self.schema)}.{quote_ident(self.prefix + what)}".replace("%", "%%")


def schedule_of(worker: CronWorker) -> ScheduleHandle:
    """The schedule of a declared worker."""
    extension = worker.extension
    prefix = schedule_objects(extension).table.removesuffix("schedules")
    return ScheduleHandle(extension.name, extension.schema, prefix, worker.name)


class _Asked(Operation[T]):
    """A statement about schedules; what is missing is told as a schedule that is."""

    __slots__ = ()

    def told(self, error: psycopg.Error) -> Exception:
        return explained(error, self.owned.extension, self.what, ScheduleMissing)


_STATUS = (
    "SELECT name, expression, time_zone, changed, paused, next_run, next_run_local, last_due, started_at, ended_at,"
    " outcome, error, sqlstate, running FROM {}"
)


def status(handle: ScheduleHandle) -> Operation[ScheduleStatus]:
    """What it is at."""

    def read(rows: Rows) -> ScheduleStatus:
        if not rows:
            raise _not_there(handle)
        return _status(rows[0])

    statement = f"{_STATUS.format(handle.named('schedule_status'))} WHERE name = %s"
    return _Asked(handle, f"{handle}", statement, [handle.name], read)


def statuses(handle: ScheduleHandle) -> Operation[list[ScheduleStatus]]:
    """All schedules of the extension, by name."""
    statement = f"{_STATUS.format(handle.named('schedule_status'))} ORDER BY name"
    what = f"the schedules of {handle.extension}"
    return _Asked(handle, what, statement, [], lambda rows: [_status(row) for row in rows])


def read_all(connection: psycopg.Connection[Any], view: str) -> tuple[ScheduleStatus, ...]:
    """What a view of schedules shows, by name; ``view`` is quoted and with its schema.

    Raises:
        psycopg.Error: the server refused.
    """
    rows = connection.execute(f"{_STATUS.format(view)} ORDER BY name".encode())
    return tuple(_status(row) for row in rows)


def runs(handle: ScheduleHandle, limit: int) -> Operation[list[ScheduleRun]]:
    """Its last runs, the latest first."""
    statement = f"{_runs(handle)} ORDER BY r.id DESC LIMIT %s"
    return _Asked(handle, f"{handle}", statement, [handle.name, limit], lambda rows: [_run(row) for row in rows])


def begun_after(handle: ScheduleHandle, id: int) -> Operation[ScheduleRun | None]:
    """The first run after that with an id."""
    statement = f"{_runs(handle)} AND r.id > %s ORDER BY r.id LIMIT 1"
    return _Asked(handle, f"{handle}", statement, [handle.name, id], lambda rows: _run(rows[0]) if rows else None)


def run_now(handle: ScheduleHandle) -> Operation[None]:
    """Have it run now."""
    return _Asked(handle, f"{handle}", *_call(handle, "run_schedule"), lambda rows: _there(handle, rows))


def run_now_after(connection: psycopg.Connection[Any], handle: ScheduleHandle) -> int:
    """Have it run now; the id of the last run before that, which ``begun_after`` takes.

    The connection must autocommit. The worker takes runs under a lock of the row that this writes, so that no other
    run begins between the two statements.
    """
    with connection.transaction():
        run(connection, run_now(handle))
        last = run(connection, runs(handle, 1))
    return last[0].id if last else 0


def pause(handle: ScheduleHandle) -> Operation[bool]:
    """Run it no more; whether it did until now."""
    return _Asked(handle, f"{handle}", *_call(handle, "pause_schedule"), lambda rows: _did(handle, rows))


def resume(handle: ScheduleHandle) -> Operation[bool]:
    """Run it again; whether it was paused."""
    return _Asked(handle, f"{handle}", *_call(handle, "resume_schedule"), lambda rows: _did(handle, rows))


def change(handle: ScheduleHandle, expression: str | None, time_zone: str | None) -> Operation[None]:
    """Give it another expression and time zone; each is as declared if it is None."""
    statement, values = _call(handle, "change_schedule", expression, time_zone)
    return _Asked(handle, f"{handle}", statement, values, lambda rows: _there(handle, rows))


def _call(handle: ScheduleHandle, function: str, *values: str | None) -> tuple[str, list[str | None]]:
    """A call of a function about this schedule, and its parameters."""
    places = ", ".join("%s::pg_catalog.text" for _ in (handle.name, *values))
    return f"SELECT {handle.named(function)}({places})", [handle.name, *values]


def _runs(handle: ScheduleHandle) -> str:
    return (
        f"SELECT r.id, r.process, r.attempt, r.begun, r.due, {handle.named('local_time')}(r.due, s.time_zone),"
        " s.time_zone, r.started_at, r.ended_at, r.outcome, r.error, r.sqlstate"
        f" FROM {handle.named('schedule_runs')} AS r JOIN {handle.named('schedule_status')} AS s"
        " ON s.name = r.schedule WHERE r.schedule = %s"
    )


def _there(handle: ScheduleHandle, rows: Rows) -> None:
    if rows[0][0] is not True:
        raise _not_there(handle)


def _did(handle: ScheduleHandle, rows: Rows) -> bool:
    if rows[0][0] is None:
        raise _not_there(handle)
    return bool(rows[0][0])


def _not_there(handle: ScheduleHandle) -> ScheduleMissing:
    return ScheduleMissing(
        f"there is no {handle} in extension {handle.extension} of this database",
        detail="A worker makes the row of its schedule when it first looks at it.",
        hint="See that the worker runs, and that the extension which is installed declares it.",
    )


def _status(row: tuple[Any, ...]) -> ScheduleStatus:
    name, expression, zone, changed, paused, due, local, last_due, started_at, ended_at, *rest = row
    next_run, last_due, started_at, ended_at = (
        shown_there(due, local, zone), *(by_clocks(at, zone) for at in (last_due, started_at, ended_at))
    )  # fmt: skip
    return ScheduleStatus(name, expression, zone, changed, paused, next_run, last_due, started_at, ended_at, *rest)


def _run(row: tuple[Any, ...]) -> ScheduleRun:
    id, process, attempt, begun, due, local, zone, started_at, ended_at, *rest = row
    there, began = shown_there(due, local, zone), by_clocks(started_at, zone)
    assert there is not None
    assert began is not None
    return ScheduleRun(id, process, there, attempt, begun, began, by_clocks(ended_at, zone), *rest)


def shown_there(at: datetime | None, local: datetime | None, zone: str) -> datetime | None:
    """A time by the clocks of a zone, which the server has told; its data may differ from what is here."""
    shown = by_clocks(at, zone)
    if shown is None or local is None or shown.replace(tzinfo=None) == local:
        return shown
    return local.replace(tzinfo=timezone(local - shown.astimezone(UTC).replace(tzinfo=None)))


def by_clocks(at: datetime | None, zone: str) -> datetime | None:
    """A time by the clocks of a zone, and in UTC where nothing is known of that here."""
    try:
        return at if at is None else at.astimezone(Zone(zone).info)
    except ZoneMissing:
        return at if at is None else at.astimezone(UTC)


# The tables of schedules: such as belong to an extension and have their view and their runs beside them, and whether
# this role may look at the view.
_SCHEDULES = """
SELECT e.extname, n.nspname, v.prefix,
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(s.oid, 'SELECT')
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'r'
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT CASE c.relname WHEN 'schedules' THEN '' WHEN e.extname || '_schedules'
    THEN e.extname || '_' END) AS v(prefix)
JOIN pg_class AS s ON s.relnamespace = n.oid AND s.relkind = 'v' AND s.relname = v.prefix || 'schedule_status'
JOIN pg_class AS r ON r.relnamespace = n.oid AND r.relkind = 'r' AND r.relname = v.prefix || 'schedule_runs'
ORDER BY e.extname
"""


def find_all(connection: psycopg.Connection[Any]) -> list[tuple[ScheduleHandle, ScheduleStatus]]:
    """All schedules of a database that this role may look at, by extension and name.

    Raises:
        ScheduleMissing: no extension there has schedules, or none that this role may look at.
    """
    database = connection.info.dbname
    found_places = places(connection)
    if not found_places:
        raise ScheduleMissing(
            f'database "{database}" has no schedules',
            detail="No extension there has workers that run by the calendar.",
            hint="Run CREATE EXTENSION there, or connect to the database that has it.",
        )
    shown = [place for place, may in found_places if may]
    if not shown:
        known = ", ".join(place.extension for place, _ in found_places)
        raise ScheduleMissing(
            f'the schedules of database "{database}" are not for role "{connection.info.user}"',
            detail=f"They are of {known}.",
            hint="Name it in operators= of the extension, or GRANT pg_monitor to it.",
        )
    return [found for each in shown for found in find_in(connection, each)]


def places(connection: psycopg.Connection[Any]) -> list[tuple[ScheduleHandle, bool]]:
    """The extensions of a database with workers that run by the calendar, each as a handle without a name; and whether
    this role may look at their schedules.

    Raises:
        psycopg.Error: the server refused.
    """
    return [
        (ScheduleHandle(extension, schema, prefix, ""), may)
        for extension, schema, prefix, may in connection.execute(_SCHEDULES)
    ]


def find_in(connection: psycopg.Connection[Any], place: ScheduleHandle) -> list[tuple[ScheduleHandle, ScheduleStatus]]:
    """All schedules of an extension, by name.

    Raises:
        ClientError: they are not in this database, or not for this role.
    """
    return [(replace(place, name=state.name), state) for state in run(connection, statuses(place))]


def find(connection: psycopg.Connection[Any], name: str) -> tuple[ScheduleHandle, ScheduleStatus]:
    """The schedule of a name, which may have its extension before it: "report", "shop.report".

    Raises:
        ScheduleMissing: there is none, or several in different extensions.
    """
    schedules = find_all(connection)
    found = [each for each in schedules if name in (each[0].name, each[0].full_name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(handle.full_name for handle, _ in found or schedules)
    if found:
        raise ScheduleMissing(f'several schedules have the name "{name}"', hint=f"Give the extension as well: {known}.")
    if not schedules:
        raise ScheduleMissing(
            f'there is no schedule "{name}" in database "{connection.info.dbname}"',
            detail="No worker has looked at its schedule there yet, which makes its row.",
            hint="See that the workers run, and that this is the database which they serve.",
        )
    meant = near(name, [text for handle, _ in schedules for text in (handle.name, handle.full_name)])
    raise ScheduleMissing(
        f'there is no schedule "{name}" in database "{connection.info.dbname}"',
        detail=f"Its schedules are {known}.",
        hint=f"Did you mean {meant}?" if meant else "Connect to the database that has it.",
    )
