"""Consuming a queue: jobs are claimed ahead of what handlers do, answered in batches, and kept by renewed leases."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import random
import select
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any, Generic, TypeVar

import psycopg

from pgbgw.client import operations
from pgbgw.client.catalog import verify
from pgbgw.client.errors import ClientError, GiveUp
from pgbgw.client.handle import Handle
from pgbgw.client.jobs import Job
from pgbgw.client.operations import Operation
from pgbgw.client.running import run

__all__ = ["Consumed", "Consumer", "Handler"]

P = TypeVar("P")
T = TypeVar("T")

Handler = Callable[..., Any]
"""Called with the payload, or with the payload and the job; plain or a coroutine function."""

_log = logging.getLogger("pgbgw.client")

# A claim takes no more than this, and aims at jobs for about so long, s.
_MOST_CLAIMED = 1000
_QUICK, _SLOW = 0.1, 0.5

# How long a connection that was lost is waited for at first, and at most, s.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

# Leases are renewed when so much of them has passed.
_RENEWED_AT = 1 / 3

_LONGEST_CONTEXT = 8000


@dataclass(slots=True)
class Consumed:
    """What became of jobs: done, failed (and tried again or given up), released since they were not begun, and lost,
    whose lease had ended before they were answered.
    """

    done: int = 0
    failed: int = 0
    released: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    error: str
    sqlstate: str | None
    context: str | None
    retry: bool


class _Stopped(Exception):
    """There is no more time to wait for a server."""


class Consumer(Generic[P]):
    """Takes jobs from a queue until it is stopped; ``run`` is called once.

    Three things go on at once: the calling thread claims jobs, handlers run as ``executor`` or ``concurrency`` says,
    and a thread answers for those that have ended, and renews leases. ``stop`` may be called from any thread.
    """

    def __init__(
        self,
        handle: Handle[P],
        handler: Handler,
        conninfo: str,
        *,
        concurrency: int = 1,
        executor: Executor | None = None,
        lease: timedelta | None = None,
        who: str | None = None,
        poll: timedelta = timedelta(seconds=30),
        grace: timedelta = timedelta(seconds=30),
        until_empty: bool = False,
    ) -> None:
        """Make ready; nothing is connected yet.

        Args:
            handle: the queue.
            handler: what is called for each job, with its payload, and the job itself if it takes a second argument.
            conninfo: where the server is, as libpq takes it; two connections are made.
            concurrency: how many handlers run at once: threads, tasks of an event loop for a coroutine function, or
                calls that ``executor`` has at a time.
            executor: what runs handlers instead of threads: any executor of ``concurrent.futures``.
            lease: for how long jobs are claimed and renewed, unless it is as the queue was declared.
            who: by what name the leases are known, the host and the process unless given.
            poll: how often it looks without having been told.
            grace: how long handlers may go on after ``stop``; then their jobs are left to the end of their leases.
            until_empty: whether it ends when there is nothing more to claim.
        """
        if handle.lease_seconds is None:
            raise ClientError(
                f"jobs of {handle} can't be claimed by programs", hint="Declare the queue with lease=seconds(60)."
            )
        if concurrency < 1:
            raise ValueError(f"concurrency is not a positive number: {concurrency}")
        self.handle = handle
        self.consumed = Consumed()
        self._handler = handler
        self._takes_job = _takes_job(handler)
        self._conninfo = conninfo
        self._concurrency = concurrency
        self._executor = executor
        self._lease = lease
        self._renewed_every = (lease.total_seconds() if lease else handle.lease_seconds) * _RENEWED_AT
        self._who = who or f"{os.uname().nodename} {os.getpid()}"
        self._poll = poll.total_seconds()
        self._grace = grace.total_seconds()
        self._until_empty = until_empty
        # jobs that wait for a handler, jobs that this program has, and what became of those that have ended
        self._waiting: deque[Job[P]] = deque()
        self._held: dict[tuple[int, int], Job[P]] = {}
        self._ended: deque[tuple[Job[P], _Failure | None]] = deque()
        self._ready = threading.Condition()
        self._answer = threading.Event()
        self._stopping = threading.Event()
        self._drained = threading.Event()
        self._deadline = float("inf")
        self._fault: BaseException | None = None
        self._room = 2 * concurrency
        self._claimed_at = 0.0
        # the connection that listens, and whether it was told of jobs since the last claim
        self._listening: psycopg.Connection[Any] | None = None
        self._told = False
        self._called, self._call = os.pipe()
        os.set_blocking(self._call, False)

    def stop(self) -> None:
        """Claim no more; jobs that were not begun go back, and those that were are waited for. May be called again."""
        if not self._stopping.is_set():
            self._deadline = time.monotonic() + self._grace
            self._stopping.set()
        self._wake_claims()
        with self._ready:
            self._ready.notify_all()
        self._answer.set()

    def run(self, *, signals: bool = True) -> Consumed:
        """Consume until ``stop``, or a signal: SIGTERM and SIGINT stop it, a second one ends the grace of handlers.

        Signals are heard where this is called in the main thread.

        Raises:
            QueueMissing, Mismatch: the queue is not installed as it is declared.
            psycopg.OperationalError: the server can't be reached at the start; later it is waited for.
        """
        with self._connect() as connection:
            if self.handle.payload is not None:
                run(connection, verify(self.handle))
        with contextlib.ExitStack() as stack:
            if signals and threading.current_thread() is threading.main_thread():
                stack.enter_context(self._signals())
            answering = threading.Thread(target=self._guarded, args=(self._answers,), name="pgbgw answers")
            runners = self._start_runners()
            answering.start()
            try:
                self._claims()
            finally:
                self.stop()
                self._finish(runners)
                answering.join()
                os.close(self._called)
                os.close(self._call)
        if self._fault is not None:
            raise self._fault
        return self.consumed

    # connections

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._conninfo, autocommit=True, application_name=self._who[:63])

    def _kept(self, ask: Callable[[psycopg.Connection[Any]], T], connection: list[psycopg.Connection[Any]]) -> T:
        """Ask a server, again and again while it is away.

        Raises:
            _Stopped: it is away, and the time after ``stop`` is over.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                if not connection:
                    connection.append(self._connect())
                return ask(connection[0])
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                while connection:
                    connection.pop().close()
                if self._stopping.is_set() and time.monotonic() + pause >= self._deadline:
                    raise _Stopped from error
                _log.warning("queue %s: the server is away, trying again in %.1f s: %s", self.handle.name, pause, error)
            jittered = pause * (0.75 + random.random() / 4)
            if self._stopping.is_set():
                time.sleep(jittered)
            else:
                self._stopping.wait(jittered)
            pause = min(pause * 2, _LONGEST_PAUSE)

    # claiming: the thread that called run()

    def _claims(self) -> None:
        connection: list[psycopg.Connection[Any]] = []
        try:
            while not self._stopping.is_set():
                if len(self._waiting) > self._room // 2:
                    self._wait_for_call(None, self._poll)
                    continue
                jobs = self._kept(self._claim, connection)
                if jobs:
                    self._hand_out(jobs)
                elif self._until_empty and not self._held:
                    return
                else:
                    self._wait_for_call(connection[0], 0.05 if self._until_empty else self._poll)
        except _Stopped:
            pass
        finally:
            for each in connection:
                each.close()

    def _claim(self, connection: psycopg.Connection[Any]) -> list[Job[P]]:
        """Claim what there is room for; the first time of a connection, listen as well."""
        if connection is not self._listening:
            connection.add_notify_handler(self._hear)
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self.handle.channel)))
            self._listening = connection
        self._told = False
        now = time.monotonic()
        # as many as take some tenths of a second: few where handlers are slow, so that others get the rest
        if self._claimed_at and not self._waiting and now - self._claimed_at < _QUICK:
            self._room = min(self._room * 2, _MOST_CLAIMED)
        elif self._claimed_at and now - self._claimed_at > _SLOW:
            self._room = max(self._room // 2, 2 * self._concurrency)
        most = max(self._room - len(self._waiting), 1)
        self._claimed_at = now
        return run(connection, operations.claim(self.handle, most, self._lease, self._who))

    def _hand_out(self, jobs: Sequence[Job[P]]) -> None:
        for job in jobs:
            self._held[job.id, job.token] = job
        with self._ready:
            self._waiting.extend(jobs)
            self._ready.notify_all()

    def _hear(self, notification: psycopg.Notify) -> None:
        self._told = True

    def _wait_for_call(self, connection: psycopg.Connection[Any] | None, timeout: float) -> None:
        """Wait until more jobs are wanted, the server tells of some, or ``stop``."""
        # it may have come with the last answer
        if self._told and connection is not None:
            return
        watched: list[Any] = [self._called] if connection is None else [self._called, connection]
        found, _, _ = select.select(watched, [], [], timeout)
        if self._called in found:
            os.read(self._called, 4096)
        if connection is not None and connection in found:
            try:
                connection.pgconn.consume_input()
                while connection.pgconn.notifies() is not None:
                    pass
            except psycopg.Error:
                # the next claim finds it closed
                connection.close()

    def _wake_claims(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._call, b"x")

    # handlers

    def _take(self, *, wait: bool = True) -> Job[P] | None:
        """The next job; None once no more is begun, or where there is none and it does not wait."""
        while True:
            if self._stopping.is_set():
                return None
            try:
                job = self._waiting.popleft()
            except IndexError:
                if not wait:
                    return None
                with self._ready:
                    while not self._waiting and not self._stopping.is_set():
                        self._ready.wait()
                continue
            if len(self._waiting) == self._room // 2 or not self._waiting:
                self._wake_claims()
            if not job.lost:
                return job

    def _end(self, job: Job[P], failure: _Failure | None) -> None:
        self._ended.append((job, failure))
        self._answer.set()

    def _arguments(self, job: Job[P]) -> tuple[Any, ...]:
        return (job.payload, job) if self._takes_job else (job.payload,)

    def _start_runners(self) -> list[threading.Thread]:
        if inspect.iscoroutinefunction(self._handler):
            targets: list[Callable[[], None]] = [self._run_tasks]
        elif self._executor is not None:
            targets = [self._run_executor]
        else:
            targets = [self._run_calls] * self._concurrency
        threads = [
            threading.Thread(target=self._guarded, args=(target,), name=f"pgbgw handler {number}", daemon=True)
            for number, target in enumerate(targets, 1)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _run_calls(self) -> None:
        """One thread of handlers."""
        while (job := self._take()) is not None:
            try:
                self._handler(*self._arguments(job))
            except Exception as error:
                self._end(job, _failure(error))
            else:
                self._end(job, None)

    def _run_executor(self) -> None:
        """Hand jobs to the executor, so many at a time."""
        executor = self._executor
        assert executor is not None
        free = threading.Semaphore(self._concurrency)
        outstanding: set[Future[Any]] = set()

        def ended(future: Future[Any], job: Job[P]) -> None:
            outstanding.discard(future)
            error = future.exception() if not future.cancelled() else GiveUp("cancelled")
            self._end(job, None if error is None else _failure(error))
            free.release()

        while True:
            free.acquire()
            job = self._take()
            if job is None:
                break
            try:
                future = executor.submit(self._handler, *self._arguments(job))
            except BaseException as error:
                # an executor that takes no more work, or a payload that can't travel
                self._end(job, _failure(error))
                free.release()
                if isinstance(error, RuntimeError):
                    raise
                continue
            outstanding.add(future)
            future.add_done_callback(lambda done, job=job: ended(done, job))  # type: ignore[misc]
        while outstanding and time.monotonic() < self._deadline:
            free.acquire(timeout=0.1)

    def _run_tasks(self) -> None:
        """An event loop with so many tasks."""
        asyncio.run(self._tasks())

    async def _tasks(self) -> None:
        loop = asyncio.get_running_loop()
        handler: Callable[..., Awaitable[Any]] = self._handler

        async def one() -> None:
            # waiting for a job blocks a thread, and not the loop
            while (job := await loop.run_in_executor(None, self._take)) is not None:
                while job is not None:
                    try:
                        await handler(*self._arguments(job))
                    except Exception as error:
                        self._end(job, _failure(error))
                    else:
                        self._end(job, None)
                    job = self._take(wait=False)

        with ThreadPoolExecutor(self._concurrency) as pool:
            loop.set_default_executor(pool)
            await asyncio.gather(*(one() for _ in range(self._concurrency)))

    # answering

    def _answers(self) -> None:
        connection: list[psycopg.Connection[Any]] = []
        renew_at = time.monotonic() + self._renewed_every
        try:
            while True:
                self._answer.wait(max(renew_at - time.monotonic(), 0))
                self._answer.clear()
                self._answer_ended(connection)
                if time.monotonic() >= renew_at:
                    self._renew(connection)
                    renew_at = time.monotonic() + self._renewed_every
                if self._stopping.is_set():
                    self._release_waiting(connection)
                if self._drained.is_set() and not self._ended:
                    return
        except _Stopped:
            _log.warning("queue %s: %d jobs are left to the end of their leases", self.handle.name, len(self._held))
        finally:
            for each in connection:
                each.close()

    def _answer_ended(self, connection: list[psycopg.Connection[Any]]) -> None:
        """Tell the server what became of all jobs that have ended by now."""
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        done = [job for job, failure in ended if failure is None and not job.lost]
        if done:
            self._settle(operations.acknowledge(self.handle, done), done, connection)
            self.consumed.done += sum(not job.lost for job in done)
        for retry in (True, False):
            failed = [(job, f) for job, f in ended if f is not None and f.retry == retry and not job.lost]
            if failed:
                jobs = [job for job, _ in failed]
                told = operations.fail(
                    self.handle, jobs, [f.error for _, f in failed], [f.sqlstate for _, f in failed],
                    [f.context for _, f in failed], retry,
                )  # fmt: skip
                self._settle(told, jobs, connection)
                self.consumed.failed += sum(not job.lost for job in jobs)
        for job, _ in ended:
            self._held.pop((job.id, job.token), None)

    def _renew(self, connection: list[psycopg.Connection[Any]]) -> None:
        jobs = [job for job in list(self._held.values()) if not job.lost]
        if jobs:
            self._settle(operations.extend(self.handle, jobs, self._lease), jobs, connection)

    def _release_waiting(self, connection: list[psycopg.Connection[Any]]) -> None:
        """Give back what was not begun: no handler takes it any more."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        jobs = [job for job in waiting if not job.lost]
        if jobs:
            self._settle(operations.release(self.handle, jobs), jobs, connection)
            self.consumed.released += sum(not job.lost for job in jobs)
        for job in waiting:
            self._held.pop((job.id, job.token), None)

    def _settle(
        self,
        operation: Operation[list[int]],
        jobs: Sequence[Job[P]],
        connection: list[psycopg.Connection[Any]],
    ) -> None:
        """Say something about leases, and mark those that are no longer held."""
        refused = set(self._kept(lambda at: run(at, operation), connection))
        for job in jobs:
            if job.id in refused and not job.lost:
                job.lost = True
                self.consumed.lost += 1
                self._held.pop((job.id, job.token), None)
                _log.warning(
                    "queue %s: the lease of job %d has ended, or the job was cancelled", self.handle.name, job.id
                )

    # the end

    def _finish(self, runners: Sequence[threading.Thread]) -> None:
        """Wait for handlers, as long as they may go on."""
        for thread in runners:
            while thread.is_alive() and time.monotonic() < self._deadline:
                thread.join(min(0.1, max(self._deadline - time.monotonic(), 0)))
        self._drained.set()
        self._answer.set()

    def _guarded(self, target: Callable[[], None]) -> None:
        """A fault of ours ends the whole, and is raised by run()."""
        try:
            target()
        except BaseException as error:
            self._fault = self._fault or error
            self.stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            if self._stopping.is_set():
                self._deadline = 0.0
            self.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _takes_job(handler: Handler) -> bool:
    """Whether a handler wants the job beside the payload: it has two parameters that are given by place."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in placed and p.default is inspect.Parameter.empty]
    return len(required) >= 2


def _failure(error: BaseException) -> _Failure:
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    context = "".join(traceback.format_exception(error))[-_LONGEST_CONTEXT:]
    text = str(error) if isinstance(error, GiveUp) else f"{type(error).__name__}: {error}"
    return _Failure(text, sqlstate, context, not isinstance(error, GiveUp))
