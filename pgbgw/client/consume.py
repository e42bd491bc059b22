"""Consuming a queue: jobs are claimed ahead of what handlers do, answered in batches, and kept by renewed leases.

Each part has a module and threads of its own: ``claims``, ``handlers`` and ``answers`` meet in ``inhand``. The thread
that runs a consumer does nothing but wait, so that signals are heard whatever the others wait for.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from typing import Generic, TypeVar

from pgbgw.client.answers import Answers
from pgbgw.client.catalog import verify
from pgbgw.client.claims import Claims
from pgbgw.client.ending import Bell, Ending, hearing
from pgbgw.client.errors import ClientError
from pgbgw.client.handle import Handle
from pgbgw.client.handlers import Handler, Handlers, is_asynchronous
from pgbgw.client.inhand import Consumed, InHand
from pgbgw.client.jobs import Job
from pgbgw.client.kept import Kept, connected
from pgbgw.client.lengths import Length, length
from pgbgw.client.running import run

__all__ = ["Consumed", "Consumer", "Handler"]

P = TypeVar("P")

# How long a server may be silent at the end, and coroutines take that were cancelled, s.
_LAST_WORDS = 5.0
_CANCELLED = 1.0

# How long a thread may take to end once its connection was cut, s.
_CUT = 1.0

# How often it looks whether leases have ended that could not be renewed, s.
_LOOKED_EVERY = 1.0


class Consumer(Generic[P]):
    """Takes jobs from a queue until it is stopped; ``run`` is called once. ``stop`` may be called from any thread."""

    def __init__(
        self,
        handle: Handle[P],
        handler: Callable[[P], object] | Callable[[P, Job[P]], object],
        conninfo: str,
        *,
        concurrency: int = 1,
        executor: Executor | None = None,
        lease: Length | None = None,
        who: str | None = None,
        poll: Length = 30.0,
        grace: Length = 30.0,
        until_empty: bool = False,
    ) -> None:
        """Make ready; nothing is connected yet.

        Args:
            handle: the queue.
            handler: what is called for each job, with its payload, and the job itself if it takes a second argument.
            conninfo: where the server is, as libpq takes it; two connections are made, which notice within half a
                minute when nobody is at the other end, unless it says otherwise.
            concurrency: how many handlers run at once: threads, tasks of an event loop for a coroutine function, or
                calls that ``executor`` has at a time.
            executor: what runs plain handlers instead of threads: any executor of ``concurrent.futures``.
            lease: for how long jobs are claimed and renewed, unless it is as the queue was declared; this and other
                lengths of time are seconds, a ``timedelta``, or a duration such as ``pgbgw.minutes(1)``.
            who: by what name the leases are known, the host and the process unless given.
            poll: how often it looks without having been told.
            grace: how long handlers may go on after ``stop``; then their jobs are left to the end of their leases.
            until_empty: whether it ends when there is nothing more to claim.

        Raises:
            ClientError: the queue has no leases.
            TypeError: the handler can't be called with a payload, or a payload and a job, or would not run when it is;
                another argument is of a type that can't be used.
            ValueError: an argument can't be used.
        """
        if handle.lease_seconds is None:
            raise ClientError(
                f"jobs of {handle} can't be claimed by programs", hint="Declare the queue with lease=seconds(60)."
            )
        if not isinstance(conninfo, str):
            raise TypeError(
                f"conninfo is a {type(conninfo).__name__}, not text: a consumer makes connections of its own;"
                ' give where the server is, such as "dbname=shopdb"'
            )
        lease = None if lease is None else length(lease, "lease")
        if lease == timedelta(0):
            raise ValueError("lease is 0: a lease lasts for some time")
        self.handle = handle
        self._conninfo = conninfo
        self._who = who or f"{os.uname().nodename} {os.getpid()}"
        self._bell = Bell()
        self._acted = 0
        self._ran = False
        self._left_alone = False
        self._ending = Ending(length(grace, "grace").total_seconds())
        self._ending.tell(self._bell.ring)
        if lease is not None:
            lasts: float | None = lease.total_seconds()
        else:
            lasts = handle.lease_seconds if handle.payload is not None else None
        self._in_hand: InHand[P] = InHand(handle.name, self._ending, concurrency, lasts)
        self._handlers = Handlers(handler, self._in_hand, self._ending, concurrency, executor)
        self._last_words = _CANCELLED if is_asynchronous(handler) else 0.0
        self._claiming = Kept(conninfo, self._who, handle.name, self._ending, patient=False)
        self._answering = Kept(conninfo, self._who, handle.name, self._ending, patient=True)
        self._answers = Answers(handle, self._in_hand, self._answering, self._ending, lease)
        self._claims = Claims(
            handle, self._in_hand, self._claiming, self._ending, lease=lease, who=self._who, concurrency=concurrency,
            poll=length(poll, "poll").total_seconds(), until_empty=until_empty,
        )  # fmt: skip

    @property
    def consumed(self) -> Consumed:
        """What became of jobs by now."""
        return self._in_hand.consumed

    def stop(self) -> None:
        """Claim no more; jobs that were not begun go back, and those that were are waited for. May be called again."""
        self._ending.stop()

    def hurry(self) -> None:
        """End the time of handlers, and stop it if it was not. May be called again."""
        self._ending.hurry()

    @property
    def left_alone(self) -> bool:
        """Whether handlers went on when it ended. Those that ``asyncio.to_thread`` runs keep Python from ending."""
        return self._left_alone

    def run(self, *, signals: bool = True) -> Consumed:
        """Consume until ``stop``, or a signal: SIGTERM, SIGINT and SIGHUP stop it, a second one ends the grace.

        Signals are heard where this is called in the main thread.

        Raises:
            RuntimeError: it has run before.
            QueueMissing, Mismatch: the queue is not installed as it is declared.
            psycopg.OperationalError: the server can't be reached at the start; later it is waited for.
            ClientError, psycopg.Error: the server refuses claims or answers for another reason than being away.
        """
        if self._ran:
            raise RuntimeError("a consumer runs once: make another Consumer")
        self._ran = True
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._bell)
            stack.enter_context(self._claims.bell)
            with connected(self._conninfo, self._who) as connection:
                if self.handle.payload is not None:
                    run(connection, verify(self.handle))
            heard: list[int] = []
            if signals and threading.current_thread() is threading.main_thread():
                heard = stack.enter_context(hearing(self._bell))
            self._consume(heard)
        if self._ending.fault is not None:
            raise self._ending.fault
        return self.consumed

    def _consume(self, heard: Sequence[int]) -> None:
        def part(name: str, target: Callable[[], None]) -> _Part:
            return _Part(name, target, self._ending, self._bell)

        claims = part("pgbgw claims", self._claims.run)
        answers = part("pgbgw answers", self._answers.run)
        runners = [part(f"pgbgw handler {n}", each) for n, each in enumerate(self._handlers.targets(), 1)]
        ending = self._ending
        try:
            for each in (answers, *runners, claims):
                each.start()
            self._wait(lambda: claims.over or ending.stopped, lambda: float("inf"), heard)
        except BaseException as error:
            # a machine that gives no more threads, or Ctrl-C where signals are not heard
            ending.failed(error)
        ending.stop()
        self._finish(claims, self._claiming, heard)
        ended = self._wait(lambda: all(each.over for each in runners), lambda: ending.left_and(self._last_words), heard)
        self._left_alone = not ended
        self._answers.drain()
        self._finish(answers, self._answering, heard)

    def _finish(self, part: _Part, kept: Kept, heard: Sequence[int]) -> None:
        """Wait for what talks to the server, which may be silent, and at last hang up."""
        until = time.monotonic() + _LAST_WORDS

        def left() -> float:
            return max(until - time.monotonic(), self._ending.left if kept.patient else 0.0)

        if not self._wait(lambda: part.over, left, heard):
            kept.cut()
            until = time.monotonic() + _CUT
            self._wait(lambda: part.over, lambda: until - time.monotonic(), heard)

    def _wait(self, over: Callable[[], bool], left: Callable[[], float], heard: Sequence[int]) -> bool:
        """Wait for something as long as there is time, and act on signals meanwhile; whether it has come."""
        while not over():
            if len(heard) > self._acted:
                self._acted = len(heard)
                self._ending.stop() if self._acted == 1 else self._ending.hurry()
            time_left = left()
            if time_left <= 0:
                return False
            self._bell.wait(min(time_left, _LOOKED_EVERY))
            self._in_hand.expire()
        return True


class _Part(threading.Thread):
    """A thread of a consumer, whose errors end the whole; it is left alone at the end if it does not end."""

    def __init__(self, name: str, target: Callable[[], None], ending: Ending, bell: Bell) -> None:
        super().__init__(name=name, daemon=True)
        self.over = False
        self._work = target
        self._ending = ending
        self._bell = bell

    def run(self) -> None:
        """Do the work, and tell that it is done."""
        try:
            self._work()
        except BaseException as error:
            self._ending.failed(error)
        finally:
            self.over = True
            self._bell.ring()
