"""How handlers are run: in threads, by an executor, or as tasks of an event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Generic, TypeAlias, TypeVar

from pgbgw.client.ending import Ending
from pgbgw.client.errors import ClientError
from pgbgw.client.inhand import InHand, NotBegun, failure_of
from pgbgw.client.jobs import Job

__all__ = ["Handler", "Handlers", "is_asynchronous"]

P = TypeVar("P")

Handler: TypeAlias = Callable[..., Any]
"""Called with the payload, or with the payload and the job; plain or a coroutine function."""


class Handlers(Generic[P]):
    """Runs a handler for each job in hand, ``concurrency`` at a time."""

    def __init__(
        self, handler: Handler, in_hand: InHand[P], ending: Ending, concurrency: int, executor: Executor | None
    ) -> None:
        """Make ready.

        Raises:
            TypeError: the handler takes neither one argument nor two.
            ValueError: no such number can run, or the executor can't run this handler.
        """
        _check(handler)
        if concurrency < 1:
            raise ValueError(f"concurrency is not a positive number: {concurrency}")
        if executor is not None and is_asynchronous(handler):
            raise ValueError(
                "an executor runs plain functions, and the handler is a coroutine function:"
                " leave out executor=, or let a plain function call asyncio.run()"
            )
        self._handler = handler
        self._takes_job = _takes_job(handler)
        self._in_hand = in_hand
        self._ending = ending
        self._concurrency = concurrency
        self._executor = executor

    def targets(self) -> list[Callable[[], None]]:
        """What to run, each in a thread of its own; each ends once it was stopped and its handlers have ended."""
        if is_asynchronous(self._handler):
            return [self._tasks]
        if self._executor is not None:
            return [self._submissions]
        return [self._calls] * self._concurrency

    def _arguments(self, job: Job[P]) -> tuple[Any, ...]:
        return (job.payload, job) if self._takes_job else (job.payload,)

    def _calls(self) -> None:
        """Call the handler in this thread, for one job after the other."""
        while (job := self._in_hand.take()) is not None:
            try:
                returned = self._handler(*self._arguments(job))
            except BaseException as error:
                # a handler that calls sys.exit() means itself, and not all other jobs
                self._in_hand.end(job, failure_of(error))
                continue
            if inspect.isawaitable(returned):
                # its work is not done, and nobody would do it
                if inspect.iscoroutine(returned):
                    returned.close()
                self._in_hand.end(job, NotBegun.NOT_BEGUN)
                raise ClientError(
                    f"the handler {_name(self._handler)} returned a coroutine, which nobody awaits",
                    hint="Give the coroutine function itself as the handler, or call asyncio.run() in it.",
                )
            self._in_hand.end(job, None)

    def _submissions(self) -> None:
        """Hand jobs to the executor, so many at a time."""
        executor = self._executor
        assert executor is not None
        free = threading.Semaphore(self._concurrency)
        outstanding: set[Future[Any]] = set()

        def ended(future: Future[Any], job: Job[P]) -> None:
            if future.cancelled():
                # by whoever shuts the executor down
                self._in_hand.end(job, NotBegun.NOT_BEGUN)
            else:
                error = future.exception()
                self._in_hand.end(job, None if error is None else failure_of(error))
            outstanding.discard(future)
            free.release()

        while True:
            free.acquire()
            job = self._in_hand.take()
            if job is None:
                break
            try:
                future = executor.submit(self._handler, *self._arguments(job))
            except RuntimeError:
                # it is broken or shut down (Executor.submit), for which the job can do nothing
                self._in_hand.end(job, NotBegun.NOT_BEGUN)
                raise
            except Exception as error:
                # a payload that can't be read, or can't travel
                self._in_hand.end(job, failure_of(error))
                free.release()
                continue
            outstanding.add(future)
            future.add_done_callback(lambda done, job=job: ended(done, job))  # type: ignore[misc]
        while outstanding and self._ending.left > 0:
            free.acquire(timeout=0.1)

    def _tasks(self) -> None:
        """An event loop with so many tasks."""
        asyncio.run(self._looped())

    async def _looped(self) -> None:
        loop = asyncio.get_running_loop()
        # waiting for a job, or for the end, blocks a thread and not the loop
        with ThreadPoolExecutor(self._concurrency + 1, "pgbgw waiting") as pool:
            tasks = [asyncio.create_task(self._task(loop, pool)) for _ in range(self._concurrency)]
            end = asyncio.create_task(self._cancel_at_the_end(loop, pool, tasks))
            try:
                await asyncio.gather(*tasks)
            except asyncio.CancelledError:
                if self._ending.left > 0:
                    raise
            finally:
                end.cancel()
                self._ending.stop()

    async def _task(self, loop: asyncio.AbstractEventLoop, pool: Executor) -> None:
        while (job := await loop.run_in_executor(pool, self._in_hand.take)) is not None:
            while job is not None:
                try:
                    await self._handler(*self._arguments(job))
                except BaseException as error:
                    task = asyncio.current_task()
                    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                        raise
                    self._in_hand.end(job, failure_of(error))
                else:
                    self._in_hand.end(job, None)
                job = self._in_hand.take(wait=False)

    async def _cancel_at_the_end(
        self, loop: asyncio.AbstractEventLoop, pool: Executor, tasks: list[asyncio.Task[None]]
    ) -> None:
        """Cancel handlers when their time is over; their jobs are left to the end of their leases."""
        await loop.run_in_executor(pool, self._ending.wait)
        while self._ending.left > 0:
            await asyncio.sleep(min(self._ending.left, 0.1))
        for each in tasks:
            each.cancel()


def is_asynchronous(handler: Handler) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, or an object whose call is one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def _takes_job(handler: Handler) -> bool:
    """Whether a handler wants the job beside the payload: it has two parameters that are given by place."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in placed and p.default is inspect.Parameter.empty]
    return len(required) >= 2


def _check(handler: Handler) -> None:
    """See that a handler can be called, before there is a job whose attempt would be lost.

    Raises:
        TypeError: it can't.
    """
    if not callable(handler):
        raise TypeError(f"the handler is not a function: {handler!r}")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        # some of those that are written in C do not tell
        return
    try:
        signature.bind(*[None] * (2 if _takes_job(handler) else 1))
    except TypeError as error:
        raise TypeError(
            f"the handler {_name(handler)}{signature} can't be called: {error};"
            " it takes the payload, or the payload and the job"
        ) from error


def _name(handler: Handler) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__name__))
