"""What a program does with a declared queue at run time.

The client is imported when it is called for: who checks or builds a declaration has no use for a driver.
"""

from __future__ import annotations

import datetime
import functools
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from pgbgw._core import Columns
    from pgbgw.client import AnyAsync, AnySync, Consumed, Form, Job, Status
    from pgbgw.client.lengths import Length

__all__ = ["QueueCalls"]

P = TypeVar("P")


class QueueCalls(Generic[P]):
    """The methods of a queue that need a server."""

    __slots__ = ()

    @overload
    def enqueue(
        self,
        connection: AnySync,
        job: P | Mapping[str, Any],
        *,
        priority: int = 5,
        run_at: datetime.datetime | None = None,
        unique_key: str | None = None,
        unique_for: datetime.timedelta | None = None,
    ) -> int | None: ...
    @overload
    def enqueue(
        self,
        connection: AnyAsync,
        job: P | Mapping[str, Any],
        *,
        priority: int = 5,
        run_at: datetime.datetime | None = None,
        unique_key: str | None = None,
        unique_for: datetime.timedelta | None = None,
    ) -> Awaitable[int | None]: ...
    def enqueue(
        self,
        connection: AnySync | AnyAsync,
        job: P | Mapping[str, Any],
        *,
        priority: int = 5,
        run_at: datetime.datetime | None = None,
        unique_key: str | None = None,
        unique_for: datetime.timedelta | None = None,
    ) -> int | Awaitable[int | None] | None:
        """Put a job in, in the transaction that is open; its id, or None where its key is taken.

        Args:
            connection: of psycopg 3, a pool of it, a session or a connection of SQLAlchemy over it, or
                ``django.db.connection``; awaitable where that is asynchronous.
            job: of the payload class, or a mapping with its fields.
            priority: from 0, which comes first, to 9.
            run_at: when it may run, with a time zone; at once unless given.
            unique_key: a key of which there is one job at a time, for a queue that is declared with ``unique=True``.
            unique_for: for how long the key stays taken, also after the job is done.

        Raises:
            ClientError: the queue is not in this database, or not for this role.
            Mismatch: of those, it is installed otherwise than it is declared.
            psycopg.Error: the server refused for another reason.
            CopyError, TypeError, ValueError: a value does not fit its column, or an argument can't be used.
        """
        client = _client()
        operation = client.operations.enqueue(client.handle_of(self), job, priority, run_at, unique_key, unique_for)
        return client.run(connection, operation)  # type: ignore[no-any-return]

    @overload
    def enqueue_many(
        self,
        connection: AnySync,
        jobs: Iterable[P | Mapping[str, Any]],
        *,
        priority: int = 5,
        progress: Callable[[int], object] | None = None,
    ) -> int: ...
    @overload
    def enqueue_many(
        self,
        connection: AnyAsync,
        jobs: Iterable[P | Mapping[str, Any]],
        *,
        priority: int = 5,
        progress: Callable[[int], object] | None = None,
    ) -> Awaitable[int]: ...
    def enqueue_many(
        self,
        connection: AnySync | AnyAsync,
        jobs: Iterable[P | Mapping[str, Any]],
        *,
        priority: int = 5,
        progress: Callable[[int], object] | None = None,
    ) -> int | Awaitable[int]:
        """Put jobs in by COPY, in the transaction that is open; how many. An error puts in none of them.

        ``progress`` is called with how many were sent by then, once in a while and at the end.

        Raises:
            As ``enqueue`` does; and Mismatch where columns have other types than are declared.
        """
        client = _client()
        return client.copy_in(connection, client.handle_of(self), jobs, priority, progress)  # type: ignore[no-any-return]

    @overload
    def claim(
        self,
        connection: AnySync,
        max_jobs: int = 1,
        *,
        lease: datetime.timedelta | None = None,
        who: str | None = None,
    ) -> list[Job[P]]: ...
    @overload
    def claim(
        self,
        connection: AnyAsync,
        max_jobs: int = 1,
        *,
        lease: datetime.timedelta | None = None,
        who: str | None = None,
    ) -> Awaitable[list[Job[P]]]: ...
    def claim(
        self,
        connection: AnySync | AnyAsync,
        max_jobs: int = 1,
        *,
        lease: datetime.timedelta | None = None,
        who: str | None = None,
    ) -> list[Job[P]] | Awaitable[list[Job[P]]]:
        """Claim up to so many jobs by leases; commit before the work begins, or use autocommit.

        Args:
            connection: as for ``enqueue``.
            max_jobs: how many at most, from 1 to 100000.
            lease: for how long, unless it is as declared.
            who: by what name the lease is known; the application_name of the session unless given.

        Raises:
            As ``enqueue`` does; and Mismatch, with nothing claimed, where columns are installed that are not declared.
        """
        client = _client()
        return client.run(connection, client.operations.claim(client.handle_of(self), max_jobs, lease, who))  # type: ignore[no-any-return]

    @overload
    def acknowledge(self, connection: AnySync, jobs: Iterable[Job[P]]) -> list[int]: ...
    @overload
    def acknowledge(self, connection: AnyAsync, jobs: Iterable[Job[P]]) -> Awaitable[list[int]]: ...
    def acknowledge(self, connection: AnySync | AnyAsync, jobs: Iterable[Job[P]]) -> list[int] | Awaitable[list[int]]:
        """Jobs are done; the ids of those whose lease is no longer held, and which others may have by now.

        Raises:
            ClientError: one of them is of another queue; or as ``enqueue`` does.
            TypeError: these are no jobs, or it is one instead of several.
        """
        client = _client()
        return client.run(connection, client.operations.acknowledge(client.handle_of(self), jobs))  # type: ignore[no-any-return]

    @overload
    def fail(
        self,
        connection: AnySync,
        jobs: Iterable[Job[P]],
        error: str,
        *,
        sqlstate: str | None = None,
        context: str | None = None,
        retry: bool = True,
    ) -> list[int]: ...
    @overload
    def fail(
        self,
        connection: AnyAsync,
        jobs: Iterable[Job[P]],
        error: str,
        *,
        sqlstate: str | None = None,
        context: str | None = None,
        retry: bool = True,
    ) -> Awaitable[list[int]]: ...
    def fail(
        self,
        connection: AnySync | AnyAsync,
        jobs: Iterable[Job[P]],
        error: str,
        *,
        sqlstate: str | None = None,
        context: str | None = None,
        retry: bool = True,
    ) -> list[int] | Awaitable[list[int]]:
        """Jobs have failed, and are tried again as declared, or given up with ``retry=False``; as ``acknowledge``."""
        client = _client()
        listed = client.operations.listed(jobs)
        count = len(listed)
        operation = client.operations.fail(
            client.handle_of(self), listed, [error] * count, [sqlstate] * count, [context] * count, retry
        )
        return client.run(connection, operation)  # type: ignore[no-any-return]

    @overload
    def extend(
        self, connection: AnySync, jobs: Iterable[Job[P]], *, lease: datetime.timedelta | None = None
    ) -> list[int]: ...
    @overload
    def extend(
        self, connection: AnyAsync, jobs: Iterable[Job[P]], *, lease: datetime.timedelta | None = None
    ) -> Awaitable[list[int]]: ...
    def extend(
        self, connection: AnySync | AnyAsync, jobs: Iterable[Job[P]], *, lease: datetime.timedelta | None = None
    ) -> list[int] | Awaitable[list[int]]:
        """Leases last that long from now on, or as declared; as ``acknowledge``."""
        client = _client()
        return client.run(connection, client.operations.extend(client.handle_of(self), jobs, lease))  # type: ignore[no-any-return]

    @overload
    def release(self, connection: AnySync, jobs: Iterable[Job[P]]) -> list[int]: ...
    @overload
    def release(self, connection: AnyAsync, jobs: Iterable[Job[P]]) -> Awaitable[list[int]]: ...
    def release(self, connection: AnySync | AnyAsync, jobs: Iterable[Job[P]]) -> list[int] | Awaitable[list[int]]:
        """Jobs were not begun: they go back, and the attempt does not count; as ``acknowledge``."""
        client = _client()
        return client.run(connection, client.operations.release(client.handle_of(self), jobs))  # type: ignore[no-any-return]

    @overload
    def verify(self, connection: AnySync) -> None: ...
    @overload
    def verify(self, connection: AnyAsync) -> Awaitable[None]: ...
    def verify(self, connection: AnySync | AnyAsync) -> Awaitable[None] | None:
        """Compare this declaration with what is installed.

        Raises:
            QueueMissing: the queue is not in this database.
            Mismatch: something differs; the detail names all of it.
        """
        client = _client()
        return client.run(connection, client.verify(client.handle_of(self)))  # type: ignore[no-any-return]

    @overload
    def retry(self, connection: AnySync, ids: Sequence[int] | None = None) -> int: ...
    @overload
    def retry(self, connection: AnyAsync, ids: Sequence[int] | None = None) -> Awaitable[int]: ...
    def retry(self, connection: AnySync | AnyAsync, ids: Sequence[int] | None = None) -> int | Awaitable[int]:
        """Have jobs run now that were given up, with attempts counted anew, or that wait for their time; how many.

        Without ``ids`` these are all that were given up. ``connection`` and errors are as for ``enqueue``.
        """
        client = _client()
        return client.run(connection, client.operations.retry(client.handle_of(self), ids))  # type: ignore[no-any-return]

    @overload
    def cancel(self, connection: AnySync, id: int) -> bool: ...
    @overload
    def cancel(self, connection: AnyAsync, id: int) -> Awaitable[bool]: ...
    def cancel(self, connection: AnySync | AnyAsync, id: int) -> bool | Awaitable[bool]:
        """Remove a job, unless a worker in the server has it in hand; whether it was there.

        Who has leased it can't acknowledge it any more. ``connection`` and errors are as for ``enqueue``.
        """
        client = _client()
        return client.run(connection, client.operations.cancel(client.handle_of(self), id))  # type: ignore[no-any-return]

    @overload
    def purge(self, connection: AnySync, older_than: datetime.timedelta) -> int: ...
    @overload
    def purge(self, connection: AnyAsync, older_than: datetime.timedelta) -> Awaitable[int]: ...
    def purge(self, connection: AnySync | AnyAsync, older_than: datetime.timedelta) -> int | Awaitable[int]:
        """Remove jobs that were given up that long ago; how many. ``connection`` and errors are as for ``enqueue``."""
        client = _client()
        return client.run(connection, client.operations.purge(client.handle_of(self), older_than))  # type: ignore[no-any-return]

    @overload
    def pause(self, connection: AnySync) -> bool: ...
    @overload
    def pause(self, connection: AnyAsync) -> Awaitable[bool]: ...
    def pause(self, connection: AnySync | AnyAsync) -> bool | Awaitable[bool]:
        """Give out no more jobs, to workers or programs; whether it was not so already. As ``enqueue``."""
        client = _client()
        return client.run(connection, client.operations.pause(client.handle_of(self)))  # type: ignore[no-any-return]

    @overload
    def resume(self, connection: AnySync) -> bool: ...
    @overload
    def resume(self, connection: AnyAsync) -> Awaitable[bool]: ...
    def resume(self, connection: AnySync | AnyAsync) -> bool | Awaitable[bool]:
        """Give out jobs again; whether it was paused. As ``enqueue``."""
        client = _client()
        return client.run(connection, client.operations.resume(client.handle_of(self)))  # type: ignore[no-any-return]

    @overload
    def counts(self, connection: AnySync) -> dict[str, int]: ...
    @overload
    def counts(self, connection: AnyAsync) -> Awaitable[dict[str, int]]: ...
    def counts(self, connection: AnySync | AnyAsync) -> dict[str, int] | Awaitable[dict[str, int]]:
        """How many jobs there are by status, at once also where there are millions; large numbers are about right.

        ``connection`` and errors are as for ``enqueue``.
        """
        client = _client()
        return client.run(connection, client.operations.counts(client.handle_of(self)))  # type: ignore[no-any-return]

    @overload
    def stream(
        self,
        connection: AnySync,
        status: Status = "ready",
        *,
        form: Literal["jobs"] = "jobs",
        size: int = 1000,
        exclusive: bool = False,
    ) -> Iterator[list[Job[P]]]: ...
    @overload
    def stream(
        self,
        connection: AnySync,
        status: Status = "ready",
        *,
        form: Literal["tuples"],
        size: int = 1000,
        exclusive: bool = False,
    ) -> Iterator[list[tuple[Any, ...]]]: ...
    @overload
    def stream(
        self,
        connection: AnySync,
        status: Status = "ready",
        *,
        form: Literal["columns"],
        size: int = 1000,
        exclusive: bool = False,
    ) -> Iterator[Columns]: ...
    @overload
    def stream(
        self,
        connection: AnyAsync,
        status: Status = "ready",
        *,
        form: Literal["jobs"] = "jobs",
        size: int = 1000,
    ) -> AsyncIterator[list[Job[P]]]: ...
    @overload
    def stream(
        self,
        connection: AnyAsync,
        status: Status = "ready",
        *,
        form: Literal["tuples"],
        size: int = 1000,
    ) -> AsyncIterator[list[tuple[Any, ...]]]: ...
    @overload
    def stream(
        self,
        connection: AnyAsync,
        status: Status = "ready",
        *,
        form: Literal["columns"],
        size: int = 1000,
    ) -> AsyncIterator[Columns]: ...
    def stream(
        self,
        connection: AnySync | AnyAsync,
        status: Status = "ready",
        *,
        form: Form = "jobs",
        size: int = 1000,
        exclusive: bool = False,
    ) -> Iterator[Any] | AsyncIterator[Any]:
        """Read what lies in the queue, and leave it there: jobs of a status, in pieces of up to ``size``.

        Args:
            connection: as for ``enqueue``; where it is asynchronous, ``async for`` takes the pieces.
            status: "ready", "later", "running", "failed" or "done".
            form: "jobs", "tuples" of all columns, or "columns", which pyarrow, pandas and polars take as they are.
            size: how many jobs a piece has at most.
            exclusive: nothing else is done on the connection until the end, or ``close()`` of the iterator; that is
                about twice as fast, and so it is over a pool.

        All are seen as of the first piece, but for an asynchronous connection in autocommit, where each piece is a
        statement of its own. The loop may be left early; what else is done on the connection meanwhile is kept.

        Raises:
            ClientError: the queue keeps no jobs of that status, or they are not for this role.
        """
        client = _client()
        handle = client.handle_of(self)
        if client.is_asynchronous(connection):
            return client.stream_async(connection, handle, status, form, size)  # type: ignore[no-any-return]
        return client.stream(connection, handle, status, form, size, exclusive)  # type: ignore[no-any-return]

    def consume(
        self,
        conninfo: str,
        handler: Callable[[P], object] | Callable[[P, Job[P]], object],
        *,
        concurrency: int = 1,
        executor: Executor | None = None,
        lease: Length | None = None,
        who: str | None = None,
        poll: Length = 30.0,
        grace: Length = 30.0,
        until_empty: bool = False,
    ) -> Consumed:
        """Take jobs and hand each to a handler, until SIGTERM or SIGINT; what became of them.

        Args:
            conninfo: where the server is, as libpq takes it.
            handler: called with the payload, and with the job as well if it has a second parameter; a coroutine
                function runs in an event loop. What it raises is a failed attempt, ``pgbgw.client.GiveUp`` the last.
            concurrency: how many handlers run at once.
            executor: what runs them instead of threads: any executor of ``concurrent.futures``.
            lease: for how long jobs are claimed at a time, and renewed, unless it is as declared; lengths of time are
                seconds, a ``timedelta``, or a duration such as ``pgbgw.minutes(1)``.
            who: by what name the leases are known; the host and the process unless given.
            poll: how often it looks without having been told of jobs.
            grace: how long handlers may go on after it was stopped.
            until_empty: whether it ends once there is nothing to claim.

        Raises:
            ClientError: the queue has no leases, or is not installed as it is declared.
            TypeError, ValueError: an argument can't be used, the handler among them.
            psycopg.OperationalError: the server can't be reached at the start; later it is waited for.
        """
        client = _client()
        consumer = client.Consumer(
            client.handle_of(self), handler, conninfo, concurrency=concurrency, executor=executor, lease=lease,
            who=who, poll=poll, grace=grace, until_empty=until_empty,
        )  # fmt: skip
        return consumer.run()  # type: ignore[no-any-return]


@functools.cache
def _client() -> Any:
    return importlib.import_module("pgbgw.client")
