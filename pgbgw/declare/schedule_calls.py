"""What a program does with the schedule of a declared worker at run time.

The client is imported when it is called for, as in ``pgbgw.declare.calls``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from pgbgw.client import AnyAsync, AnySync, ScheduleRun, ScheduleStatus

__all__ = ["ScheduleCalls"]


class ScheduleCalls:
    """The methods of a worker that runs by the calendar which need a server.

    ``connection`` is of psycopg 3, a pool of it, a session or a connection of SQLAlchemy over it, or
    ``django.db.connection``; what is done with an asynchronous one is awaited. What is changed counts from the commit.

    All raise ScheduleMissing where the schedule is not in this database, or its worker has never looked at it,
    ClientError where it is not for this role, and psycopg.Error where the server refuses for another reason.
    """

    __slots__ = ()

    @overload
    def run_now(self, connection: AnySync) -> None: ...
    @overload
    def run_now(self, connection: AnyAsync) -> Awaitable[None]: ...
    def run_now(self, connection: AnySync | AnyAsync) -> Awaitable[None] | None:
        """Have it run now, paused or not; after the run that is under way, if there is one."""
        client = _client()
        return client.run(connection, client.schedules.run_now(client.schedules.schedule_of(self)))  # type: ignore[no-any-return]

    @overload
    def pause(self, connection: AnySync) -> bool: ...
    @overload
    def pause(self, connection: AnyAsync) -> Awaitable[bool]: ...
    def pause(self, connection: AnySync | AnyAsync) -> bool | Awaitable[bool]:
        """Run it no more, until it is resumed; whether it did until now."""
        client = _client()
        return client.run(connection, client.schedules.pause(client.schedules.schedule_of(self)))  # type: ignore[no-any-return]

    @overload
    def resume(self, connection: AnySync) -> bool: ...
    @overload
    def resume(self, connection: AnyAsync) -> Awaitable[bool]: ...
    def resume(self, connection: AnySync | AnyAsync) -> bool | Awaitable[bool]:
        """Run it again, from its next time on; whether it was paused."""
        client = _client()
        return client.run(connection, client.schedules.resume(client.schedules.schedule_of(self)))  # type: ignore[no-any-return]

    @overload
    def change(self, connection: AnySync, schedule: str | None = None, time_zone: str | None = None) -> None: ...
    @overload
    def change(
        self, connection: AnyAsync, schedule: str | None = None, time_zone: str | None = None
    ) -> Awaitable[None]: ...
    def change(
        self, connection: AnySync | AnyAsync, schedule: str | None = None, time_zone: str | None = None
    ) -> Awaitable[None] | None:
        """Give it another schedule and time zone; each of them is as declared if it is not given.

        Raises:
            psycopg.errors.InvalidParameterValue: it is no schedule, or no time zone; nothing is changed.
        """
        client = _client()
        operation = client.schedules.change(client.schedules.schedule_of(self), schedule, time_zone)
        return client.run(connection, operation)  # type: ignore[no-any-return]

    @overload
    def status(self, connection: AnySync) -> ScheduleStatus: ...
    @overload
    def status(self, connection: AnyAsync) -> Awaitable[ScheduleStatus]: ...
    def status(self, connection: AnySync | AnyAsync) -> ScheduleStatus | Awaitable[ScheduleStatus]:
        """What the server has of it: its next run, and what became of the last one."""
        client = _client()
        return client.run(connection, client.schedules.status(client.schedules.schedule_of(self)))  # type: ignore[no-any-return]

    @overload
    def runs(self, connection: AnySync, limit: int = 20) -> list[ScheduleRun]: ...
    @overload
    def runs(self, connection: AnyAsync, limit: int = 20) -> Awaitable[list[ScheduleRun]]: ...
    def runs(self, connection: AnySync | AnyAsync, limit: int = 20) -> list[ScheduleRun] | Awaitable[list[ScheduleRun]]:
        """Its last runs, the latest first; the server keeps 1000."""
        client = _client()
        return client.run(connection, client.schedules.runs(client.schedules.schedule_of(self), limit))  # type: ignore[no-any-return]


@functools.cache
def _client() -> Any:
    return importlib.import_module("pgbgw.client")
