"""Queues and schedules without their declaration: by name, from a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, overload

import psycopg

from pgbgw._core import Columns
from pgbgw.client import catalog, operations, schedules
from pgbgw.client.consume import Consumed, Consumer, Handler
from pgbgw.client.handle import Handle
from pgbgw.client.jobs import Job
from pgbgw.client.lengths import Length
from pgbgw.client.running import copy_in, run
from pgbgw.client.schedules import ScheduleHandle, ScheduleRun, ScheduleStatus
from pgbgw.client.stream import Form, Status, stream

__all__ = ["Database", "NamedQueue", "NamedSchedule", "connect"]


class Database:
    """A database, its queues and schedules, over a connection in autocommit; ``close`` or a context manager ends it."""

    def __init__(self, conninfo: str) -> None:
        """Connect.

        Raises:
            psycopg.OperationalError: the server can't be reached.
        """
        self.conninfo = conninfo
        self.connection: psycopg.Connection[Any] = psycopg.connect(conninfo, autocommit=True, client_encoding="utf8")

    def queue(self, name: str) -> NamedQueue:
        """The queue of a name, which may have its schema before it: "mail", "shop.mail".

        Raises:
            QueueMissing: there is none, or several.
        """
        return NamedQueue(self, catalog.find(self.connection, name))

    def queues(self) -> list[NamedQueue]:
        """All queues of the database."""
        return [NamedQueue(self, handle) for handle in catalog.find_all(self.connection)]

    def schedule(self, name: str) -> NamedSchedule:
        """The schedule of a name, which may have its extension before it: "report", "shop.report".

        Raises:
            ScheduleMissing: there is none, or several, or none that this role may look at.
        """
        return NamedSchedule(self, schedules.find(self.connection, name)[0])

    def schedules(self) -> list[NamedSchedule]:
        """All schedules of the database that this role may look at.

        Raises:
            ScheduleMissing: there are none.
        """
        return [NamedSchedule(self, handle) for handle, _ in schedules.find_all(self.connection)]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NamedQueue:
    """A queue whose jobs are mappings from the names of columns to values."""

    def __init__(self, database: Database, handle: Handle[Any]) -> None:
        self.database = database
        self.handle = handle

    def __repr__(self) -> str:
        return f"<queue {self.handle.schema}.{self.handle.table}>"

    def enqueue(
        self,
        job: Mapping[str, Any],
        *,
        priority: int = 5,
        run_at: datetime | None = None,
        unique_key: str | None = None,
        unique_for: timedelta | None = None,
    ) -> int | None:
        """Put a job in; its id, or None where its key is taken. See ``Queue.enqueue``."""
        operation = operations.enqueue(self.handle, job, priority, run_at, unique_key, unique_for)
        return run(self.database.connection, operation)

    def enqueue_many(
        self,
        jobs: Iterable[Mapping[str, Any]],
        *,
        priority: int = 5,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Put jobs in by COPY; how many. See ``Queue.enqueue_many``."""
        return copy_in(self.database.connection, self.handle, jobs, priority, progress)

    def claim(self, max_jobs: int = 1, *, lease: timedelta | None = None, who: str | None = None) -> list[Job[Any]]:
        """Claim jobs."""
        return run(self.database.connection, operations.claim(self.handle, max_jobs, lease, who))

    def acknowledge(self, jobs: Iterable[Job[Any]]) -> list[int]:
        """Jobs are done; the ids of those whose lease is no longer held."""
        return run(self.database.connection, operations.acknowledge(self.handle, jobs))

    def fail(
        self,
        jobs: Iterable[Job[Any]],
        error: str,
        *,
        sqlstate: str | None = None,
        context: str | None = None,
        retry: bool = True,
    ) -> list[int]:
        """Jobs have failed. See ``Queue.fail``."""
        listed = operations.listed(jobs)
        count = len(listed)
        told = operations.fail(self.handle, listed, [error] * count, [sqlstate] * count, [context] * count, retry)
        return run(self.database.connection, told)

    def extend(self, jobs: Iterable[Job[Any]], *, lease: timedelta | None = None) -> list[int]:
        """Leases last that long from now on. See ``Queue.extend``."""
        return run(self.database.connection, operations.extend(self.handle, jobs, lease))

    def release(self, jobs: Iterable[Job[Any]]) -> list[int]:
        """Jobs were not begun. See ``Queue.release``."""
        return run(self.database.connection, operations.release(self.handle, jobs))

    def retry(self, ids: Sequence[int] | None = None) -> int:
        """Have jobs run now that were given up, or that wait. See ``Queue.retry``."""
        return run(self.database.connection, operations.retry(self.handle, ids))

    def cancel(self, id: int) -> bool:
        """Remove a job. See ``Queue.cancel``."""
        return run(self.database.connection, operations.cancel(self.handle, id))

    def purge(self, older_than: timedelta) -> int:
        """Remove jobs that were given up that long ago. See ``Queue.purge``."""
        return run(self.database.connection, operations.purge(self.handle, older_than))

    def pause(self) -> bool:
        """Give out no more jobs. See ``Queue.pause``."""
        return run(self.database.connection, operations.pause(self.handle))

    def resume(self) -> bool:
        """Give out jobs again. See ``Queue.resume``."""
        return run(self.database.connection, operations.resume(self.handle))

    def counts(self) -> dict[str, int]:
        """How many jobs there are by status. See ``Queue.counts``."""
        return run(self.database.connection, operations.counts(self.handle))

    @overload
    def stream(
        self, status: Status = "ready", *, form: Literal["jobs"] = "jobs", size: int = 1000, exclusive: bool = False
    ) -> Iterator[list[Job[Any]]]: ...
    @overload
    def stream(
        self, status: Status = "ready", *, form: Literal["tuples"], size: int = 1000, exclusive: bool = False
    ) -> Iterator[list[tuple[Any, ...]]]: ...
    @overload
    def stream(
        self, status: Status = "ready", *, form: Literal["columns"], size: int = 1000, exclusive: bool = False
    ) -> Iterator[Columns]: ...
    def stream(
        self, status: Status = "ready", *, form: Form = "jobs", size: int = 1000, exclusive: bool = False
    ) -> Iterator[Any]:
        """Read what lies there, as jobs, tuples or columns. See ``Queue.stream``."""
        return stream(self.database.connection, self.handle, status, form, size, exclusive)

    def consume(
        self,
        handler: Handler,
        *,
        concurrency: int = 1,
        executor: Executor | None = None,
        lease: Length | None = None,
        who: str | None = None,
        poll: Length = 30.0,
        grace: Length = 30.0,
        until_empty: bool = False,
    ) -> Consumed:
        """Take jobs and hand them to a handler, until a signal. See ``Queue.consume``."""
        return Consumer(
            self.handle, handler, self.database.conninfo, concurrency=concurrency, executor=executor, lease=lease,
            who=who, poll=poll, grace=grace, until_empty=until_empty,
        ).run()  # fmt: skip


class NamedSchedule:
    """A schedule; its methods are those of a declared worker, see ``pgbgw.declare.schedule_calls``."""

    def __init__(self, database: Database, handle: ScheduleHandle) -> None:
        self.database = database
        self.handle = handle

    def __repr__(self) -> str:
        return f"<schedule {self.handle.full_name}>"

    def run_now(self) -> None:
        """Have it run now, paused or not."""
        run(self.database.connection, schedules.run_now(self.handle))

    def pause(self) -> bool:
        """Run it no more; whether it did until now."""
        return run(self.database.connection, schedules.pause(self.handle))

    def resume(self) -> bool:
        """Run it again; whether it was paused."""
        return run(self.database.connection, schedules.resume(self.handle))

    def change(self, schedule: str | None = None, time_zone: str | None = None) -> None:
        """Give it another schedule and time zone; each of them is as declared if it is not given."""
        run(self.database.connection, schedules.change(self.handle, schedule, time_zone))

    def status(self) -> ScheduleStatus:
        """What it is at."""
        return run(self.database.connection, schedules.status(self.handle))

    def runs(self, limit: int = 20) -> list[ScheduleRun]:
        """Its last runs, the latest first."""
        return run(self.database.connection, schedules.runs(self.handle, limit))


def connect(conninfo: str = "") -> Database:
    """Connect to a database, as libpq takes it: "postgresql://app@db.example/shopdb", "dbname=shopdb", or "".

    Raises:
        psycopg.OperationalError: the server can't be reached.
    """
    return Database(conninfo)
