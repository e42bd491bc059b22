"""Schedules by name, those of workers and those that are rows of a table, looked at and steered in one way."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import psycopg

from pgbgw.client import ClientError, ScheduleHandle, ScheduleMissing, ScheduleRun, ScheduleStatus, run
from pgbgw.client import schedule_tables as rows
from pgbgw.client import schedules as workers
from pgbgw.sqltext import near

__all__ = ["Run", "Steered", "find", "find_all", "typed"]

Run: TypeAlias = ScheduleRun | rows.RowRun

# How many names an error shows, and among how many of a table it looks for the one that was meant.
_SHOWN, _LOOKED_AT = 12, 5000


class Steered(Protocol):
    """A schedule and a connection in autocommit; ``table`` and ``owner`` are None where it is a worker's."""

    @property
    def handle(self) -> ScheduleHandle | rows.RowHandle:
        """Its name."""

    @property
    def state(self) -> ScheduleStatus:
        """What it was at when it was looked for."""

    @property
    def table(self) -> str | None:
        """The table of which it is a row."""

    @property
    def owner(self) -> str | None:
        """The role as which it runs, where each has its own."""

    def status(self) -> ScheduleStatus:
        """What it is at now."""

    def runs(self, limit: int) -> Sequence[Run]:
        """Its last runs, the latest first."""

    def begun_after(self, id: int) -> Run | None:
        """The first run after that one."""

    def run_now(self) -> int:
        """Have it run now; the last run before that."""

    def set_paused(self, paused: bool) -> bool:
        """Run it no more, or again; whether that is a change."""

    def change(self, expression: str | None, time_zone: str | None) -> None:
        """Give it another expression and time zone; a worker's is as declared where they are None."""

    def remove(self) -> None:
        """Have it there no more.

        Raises:
            ClientError: it is a worker's.
        """


@dataclass(frozen=True, slots=True)
class _Worker:
    """A schedule of a worker."""

    connection: psycopg.Connection[Any]
    handle: ScheduleHandle
    state: ScheduleStatus
    table: str | None = None
    owner: str | None = None

    def status(self) -> ScheduleStatus:
        return run(self.connection, workers.status(self.handle))

    def runs(self, limit: int) -> Sequence[Run]:
        return run(self.connection, workers.runs(self.handle, limit))

    def begun_after(self, id: int) -> Run | None:
        return run(self.connection, workers.begun_after(self.handle, id))

    def run_now(self) -> int:
        return workers.run_now_after(self.connection, self.handle)

    def set_paused(self, paused: bool) -> bool:
        return run(self.connection, (workers.pause if paused else workers.resume)(self.handle))

    def change(self, expression: str | None, time_zone: str | None) -> None:
        run(self.connection, workers.change(self.handle, expression, time_zone))

    def remove(self) -> None:
        raise ClientError(
            f"{self.handle} belongs to a worker, and can't be removed",
            hint="Take the worker out of the declaration, or have it run no more: pgbgw schedules pause"
            f" {typed(self.handle.full_name, None)}",
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """A schedule of a table."""

    connection: psycopg.Connection[Any]
    handle: rows.RowHandle
    state: rows.RowStatus

    @property
    def table(self) -> str | None:
        return self.handle.of.table

    @property
    def owner(self) -> str | None:
        return self.handle.owner

    def status(self) -> ScheduleStatus:
        return rows.status(self.connection, self.handle)

    def runs(self, limit: int) -> Sequence[Run]:
        return rows.runs(self.connection, self.handle, limit)

    def begun_after(self, id: int) -> Run | None:
        return rows.begun_after(self.connection, self.handle, id)

    def run_now(self) -> int:
        return rows.run_now(self.connection, self.handle)

    def set_paused(self, paused: bool) -> bool:
        return rows.set_paused(self.connection, self.handle, paused)

    def change(self, expression: str | None, time_zone: str | None) -> None:
        assert expression is not None
        assert time_zone is not None
        rows.change(self.connection, self.handle, expression, time_zone)

    def remove(self) -> None:
        rows.remove(self.connection, self.handle)


def typed(full_name: str, owner: str | None) -> str:
    """A schedule as the arguments of a command: quoted, and with its owner if one is given."""
    return shlex.quote(full_name) + (f" --owner {shlex.quote(owner)}" if owner is not None else "")


def find_all(connection: psycopg.Connection[Any], owner: str | None) -> list[Steered]:
    """All schedules of a database that this role sees, by extension, table and name; those of one owner if it is given.

    Raises:
        ScheduleMissing: no extension there has schedules, or none that this role may look at.
    """
    seen, tables = _places(connection)
    found: list[Steered] = []
    if owner is None:
        found += [_Worker(connection, *each) for place in seen for each in workers.find_in(connection, place)]
    found += [_Row(connection, *each) for table in tables for each in rows.read(connection, table, owner=owner)]
    return sorted(found, key=lambda each: (each.handle.extension, each.table or "", each.handle.name))


def find(connection: psycopg.Connection[Any], name: str, owner: str | None) -> Steered:
    """The schedule of a name, which may have its extension before it, and its table where it has one: "report",
    "shop.report", "crontab.jobs.report". ``owner`` tells schedules of a table apart.

    Raises:
        ScheduleMissing: there is none, or there are several.
    """
    seen, tables = _places(connection)
    known: list[Steered] = []
    if owner is None:
        known += [_Worker(connection, *each) for place in seen for each in workers.find_in(connection, place)]
    found = [each for each in known if name in (each.handle.name, each.handle.full_name)]
    for table in tables:
        among = [name, name.removeprefix(f"{table.full_name}.")]
        found += [_Row(connection, *each) for each in rows.read(connection, table, among, owner)]
    # the name of a row may be any text, also that by which another one is called
    in_full = [each for each in found if each.handle.full_name == name]
    found = in_full or found
    if len(found) == 1:
        return found[0]
    if found:
        raise _several(name, found)
    raise _none(connection, name, owner, known, tables)


def _places(connection: psycopg.Connection[Any]) -> tuple[list[ScheduleHandle], list[rows.TableHandle]]:
    """The extensions whose workers run by the calendar and the tables of schedules, those that this role may look at.

    Raises:
        ScheduleMissing: there are none.
    """
    places, tables = workers.places(connection), rows.tables(connection)
    database = connection.info.dbname
    if not places and not tables:
        raise ScheduleMissing(
            f'database "{database}" has no schedules',
            detail="No extension there has workers that run by the calendar, or a table of schedules.",
            hint="Run CREATE EXTENSION there, or connect to the database that has it.",
        )
    seen = [place for place, may in places if may], [table for table, may in tables if may]
    if not any(seen):
        known = [place.extension for place, _ in places] + [table.full_name for table, _ in tables]
        roles = [option for option, has in (("operators=", places), ("schedulers=", tables)) if has]
        raise ScheduleMissing(
            f'the schedules of database "{database}" are not for role "{connection.info.user}"',
            detail=f"They are of {', '.join(known)}.",
            hint=f"Name it in {' or '.join(roles)} of the declaration, or GRANT pg_monitor to it.",
        )
    return seen


def _several(name: str, found: Sequence[Steered]) -> ScheduleMissing:
    names = list(dict.fromkeys(each.handle.full_name for each in found))
    if len(names) > 1:
        further = "extension and the table" if any(each.table for each in found) else "extension"
        return ScheduleMissing(
            f'several schedules have the name "{name}"', hint=f"Give the {further} as well: {_some(names)}."
        )
    return ScheduleMissing(
        f'several roles have a schedule "{name}"',
        hint=f"Give its owner with --owner: {_some([each.owner or '' for each in found])}.",
    )


def _none(
    connection: psycopg.Connection[Any],
    name: str,
    owner: str | None,
    known: Sequence[Steered],
    tables: Sequence[rows.TableHandle],
) -> ScheduleMissing:
    message = f'there is no schedule "{name}" in database "{connection.info.dbname}"'
    if owner is not None:
        return ScheduleMissing(
            f"{message} that belongs to {owner} and that this role may see",
            hint="--owner takes the name of a role as it is, without quotes.",
        )
    of_rows = [(table, each) for table in tables for each in rows.names(connection, table, _LOOKED_AT)]
    all_names = [each.handle.full_name for each in known] + [f"{table.full_name}.{each}" for table, each in of_rows]
    if not all_names:
        if tables:
            return ScheduleMissing(
                message,
                detail=f"This role sees none in {_some([table.full_name for table in tables])}.",
                hint="See that this is the database, and the role, that has them.",
            )
        return ScheduleMissing(
            message,
            detail="No worker has looked at its schedule there yet, which makes its row.",
            hint="See that the workers run, and that this is the database which they serve.",
        )
    meant = near(name, [*all_names, *(each.handle.name for each in known), *(each for _, each in of_rows)])
    return ScheduleMissing(
        message,
        detail=f"Its schedules are {_some(all_names)}.",
        hint=f"Did you mean {meant}?" if meant else "Connect to the database that has it.",
    )


def _some(names: Sequence[str]) -> str:
    """A list of names that does not fill the screen."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
