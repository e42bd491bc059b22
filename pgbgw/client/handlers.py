"""How handlers are run: in threads, by an executor, or as tasks of an event loop."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Generic, TypeAlias, TypeVar

from pgbgw.client.ending import Ending
from pgbgw.client.inhand import Failure, InHand, NotBegun, Outcome, failure_of
from pgbgw.client.jobs import Job
from pgbgw.client.tasks import Tasks

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
            TypeError: the handler takes neither one argument nor two, its body would never run, or it can't be sent to
                the processes of the executor.
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
        if executor is not None:
            _check_travels(handler, executor)
        self._handler = handler
        self._takes_job = _takes_job(handler)
        self._in_hand = in_hand
        self._ending = ending
        self._concurrency = concurrency
        self._executor = executor

    def targets(self) -> list[Callable[[], None]]:
        """What to run, each in a thread of its own; each ends once it was stopped and its handlers have ended."""
        if is_asynchronous(self._handler):
            tasks = Tasks(self._call, self._outcome, self._in_hand, self._ending, self._concurrency)
            return [tasks.run]
        if self._executor is not None:
            return [self._submissions]
        return [self._calls] * self._concurrency

    def _arguments(self, job: Job[P]) -> tuple[Any, ...]:
        return (job.payload, job) if self._takes_job else (job.payload,)

    def _call(self, job: Job[P]) -> Any:
        return self._handler(*self._arguments(job))

    def _outcome(self, returned: object) -> Failure | None:
        """What became of a job whose handler has returned: done, unless that is work which nobody does."""
        if returned is None:
            return None
        if inspect.isgenerator(returned) or inspect.isasyncgen(returned):
            what, way_out = "generator, whose body has not run", "loop over it in the handler"
        elif inspect.isawaitable(returned) and not asyncio.isfuture(returned):
            what, way_out = "coroutine, which nobody awaits", "give the coroutine function itself, or await it there"
        else:
            return None
        if inspect.iscoroutine(returned):
            # without a warning at some time later
            returned.close()
        return failure_of(TypeError(f"the handler {_name(self._handler)} returned a {what}; {way_out}"))

    def _calls(self) -> None:
        """Call the handler in this thread, for one job after the other."""
        while (job := self._in_hand.take()) is not None:
            try:
                outcome = self._outcome(self._call(job))
            except BaseException as error:
                # a handler that calls sys.exit() means itself, and not all other jobs
                outcome = failure_of(error)
            self._in_hand.end(job, outcome)

    def _submissions(self) -> None:
        """Hand jobs to the executor, so many at a time."""
        executor = self._executor
        assert executor is not None
        options = _of_a_submission(executor)
        free = threading.Semaphore(self._concurrency)
        outstanding: set[Future[Any]] = set()

        def ended(future: Future[Any], job: Job[P]) -> None:
            outcome: Outcome = NotBegun.NOT_BEGUN
            try:
                # it is cancelled by whoever shuts the executor down
                if not future.cancelled():
                    outcome = self._outcome(future.result())
            except BaseException as error:
                outcome = failure_of(error)
            finally:
                self._in_hand.end(job, outcome)
                outstanding.discard(future)
                free.release()
                if not self._in_hand.waiting:
                    # the thread below may wait for a job already, for another that was free
                    self._in_hand.wanted()

        while True:
            free.acquire()
            job = self._in_hand.take()
            if job is None:
                break
            try:
                future = executor.submit(self._handler, *self._arguments(job), **options)
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


def _of_a_submission(executor: Executor) -> dict[str, Any]:
    """What ``submit`` is told beside the call. Dask takes equal calls for one unless it is told that they are not pure
    (distributed.dask.org, API, ``Client.submit``), and jobs may be equal.
    """
    of_dask = any(each.__module__.partition(".")[0] == "distributed" for each in type(executor).__mro__)
    return {"pure": False} if of_dask else {}


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
    for each in (handler, getattr(handler, "__call__", None)):  # noqa: B004
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            raise TypeError(
                f"the handler {_name(handler)} is a generator function, whose body never runs when it is called:"
                " leave out its yield, or loop over it in a function"
            )
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


def _check_travels(handler: Handler, executor: Executor) -> None:
    """See that a handler can be sent to processes, before each attempt fails for that.

    Raises:
        TypeError: it can't.
    """
    # who has such an executor has the module
    processes = sys.modules.get("concurrent.futures.process")
    if processes is None or not isinstance(executor, processes.ProcessPoolExecutor):
        return
    try:
        pickle.dumps(handler)
    except Exception as error:
        raise TypeError(
            f"the handler {_name(handler)} can't be sent to the processes of the executor: {error};"
            " give a function that stands at the top level of a module"
        ) from error


def _name(handler: Handler) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__name__))
