"""How coroutine functions are run as handlers: as tasks of an event loop, which nothing that they do can end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from pgbgw.client.ending import Ending
from pgbgw.client.inhand import InHand, NotBegun, Outcome, failure_of
from pgbgw.client.jobs import Job

__all__ = ["Tasks"]

P = TypeVar("P")

_log = logging.getLogger("pgbgw.client")

# How long one task goes on with jobs whose handlers await nothing, s: others of the loop have their turn then.
_TURN = 0.01


class Tasks(Generic[P]):
    """An event loop with up to ``concurrency`` tasks; ``run`` is the work of one thread.

    A task takes the next job by itself where the handler has awaited nothing, since a task costs more than such a
    handler. One that has awaited something had its task for itself: who cancels that later does nothing to other jobs.
    """

    def __init__(
        self,
        call: Callable[[Job[P]], Coroutine[Any, Any, Any]],
        outcome: Callable[[object], Outcome],
        in_hand: InHand[P],
        ending: Ending,
        concurrency: int,
    ) -> None:
        """Make ready; ``call`` calls the handler, and ``outcome`` tells what became of a job by what that returned."""
        self._call = call
        self._outcome = outcome
        self._in_hand = in_hand
        self._ending = ending
        self._concurrency = concurrency
        # the tasks, and the first job of each until it has begun
        self._running: dict[asyncio.Task[None], Job[P] | None] = {}
        self._over = False

    def run(self) -> None:
        """Run handlers until it is stopped and they have ended."""
        try:
            with self._unharmed(), asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._in_hand.arrived = self._wake
                self._ending.tell(self._wake)
                self._wake()
                while not self._over:
                    # a handler that stops the loop means less than that
                    with self._unharmed():
                        self._loop.run_forever()
        finally:
            self._ending.stop()

    @contextlib.contextmanager
    def _unharmed(self) -> Generator[None]:
        """What ends the loop of asyncio ends one task of a handler here; who awaits that task gets the error too."""
        try:
            yield
        except (SystemExit, KeyboardInterrupt) as error:
            _log.warning("a task that a handler has made raised %s, which ends that task alone", type(error).__name__)

    def _wake(self) -> None:
        # RuntimeError: the loop is closed, and nothing is left to do
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        """Begin what can be begun; once it was stopped, see to the end."""
        if self._over:
            # the loop is being closed, and works until that is done
            return
        if not self._ending.stopped:
            self._fill()
        elif not self._running:
            self._over = True
            self._loop.stop()
        elif self._ending.left > 0:
            self._loop.call_later(self._ending.left, self._look)
        else:
            # their jobs are left to the end of their leases
            for task in list(self._running):
                task.cancel()

    def _fill(self) -> None:
        while len(self._running) < self._concurrency:
            job = self._in_hand.take(wait=False)
            if job is None:
                return
            task = self._loop.create_task(self._jobs(job))
            self._running[task] = job
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._running.pop(task)
        if job is not None:
            # cancelled before it ran, by who cancels all tasks there are
            self._in_hand.end(job, NotBegun.NOT_BEGUN)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._ending.failed(error)
        self._fill()
        if self._ending.stopped and not self._running:
            self._look()

    async def _jobs(self, first: Job[P]) -> None:
        """One job, and others after it as long as handlers await nothing."""
        task = asyncio.current_task()
        assert task is not None
        self._running[task] = None
        until = self._loop.time() + _TURN
        job: Job[P] | None = first
        while job is not None:
            had_awaited = False
            try:
                called = self._call(job)
                try:
                    # a function that was marked as one for coroutines may return another kind of awaitable
                    awaited = called.send(None) if hasattr(called, "send") else None
                except StopIteration as stop:
                    returned = stop.value
                else:
                    had_awaited = True
                    returned = await (_rest(called, awaited) if hasattr(called, "send") else called)
                outcome = self._outcome(returned)
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and self._ending.left <= 0:
                    return
                outcome = failure_of(error)
            self._in_hand.end(job, outcome)
            if had_awaited or task.cancelling() or self._loop.time() >= until:
                return
            job = self._in_hand.take(wait=False)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that awaits something."""
    while True:
        try:
            yield awaited
        except BaseException as error:
            try:
                awaited = coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
        else:
            return (yield from coroutine)
