"""What a consumer has in hand: jobs that wait for a handler, jobs that are leased, and what became of those that ended.

Several threads share it. Deques and dicts change in one step each; what takes more is done under ``ready``.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from pgbgw.client.ending import Ending
from pgbgw.client.errors import GiveUp
from pgbgw.client.jobs import Job

__all__ = ["Consumed", "Failure", "InHand", "NotBegun", "Outcome", "failure_of"]

P = TypeVar("P")
T = TypeVar("T")

_log = logging.getLogger("pgbgw.client")

_LONGEST_TEXT = 8000

# How deep an error is searched for the one of the server that it was made of.
_DEEPEST_CAUSE = 10


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
class Failure:
    """An attempt that failed, as the queue keeps it; ``retry`` is whether there may be another one."""

    error: str
    sqlstate: str | None
    context: str | None
    retry: bool


class NotBegun(enum.Enum):
    """A job that no handler has seen goes back, and the attempt does not count."""

    NOT_BEGUN = enum.auto()


Outcome: TypeAlias = Failure | NotBegun | None
"""What became of a job; None where it is done."""


@dataclass(slots=True)
class _Held(Generic[P]):
    """A job, and until when its lease holds by the clock of this machine, which began to count no later than that of
    the server.
    """

    job: Job[P]
    until: float
    ended: bool = False


class InHand(Generic[P]):
    """The jobs of one consumer. ``room`` is how many may wait besides those that free handlers take at once; ``lease``
    how long leases last, s, which may not be known before the first claim.
    """

    def __init__(self, queue: str, ending: Ending, concurrency: int, lease: float | None) -> None:
        self.consumed = Consumed()
        self.room = 0
        self.lease = lease
        self.wanted: Callable[[], None] = lambda: None
        self.arrived: Callable[[], None] = lambda: None
        self.to_answer = threading.Event()
        self._queue = queue
        self._ending = ending
        self._concurrency = concurrency
        # how many were claimed, how many of them were given back, and of how many it is known that they are over
        self._claimed = self._given_back = self._over = 0
        self._waiting: deque[Job[P]] = deque()
        self._held: dict[tuple[int, int], _Held[P]] = {}
        self._ended: deque[tuple[Job[P], Outcome]] = deque()
        self._ready = threading.Condition()
        ending.tell(self._wake)

    # for who claims

    @property
    def waiting(self) -> int:
        """How many jobs wait for a handler."""
        return len(self._waiting)

    @property
    def begun(self) -> int:
        """How many jobs handlers have begun by now, which is known without a count at each of them."""
        return self._claimed - len(self._waiting) - self._given_back

    @property
    def free(self) -> int:
        """How many handlers have nothing to do."""
        with self._ready:
            running = self._claimed - len(self._waiting) - len(self._ended) - self._over
        return max(self._concurrency - running, 0)

    def add(self, jobs: Sequence[Job[P]], asked_at: float) -> None:
        """Jobs that were claimed; ``asked_at`` is when the claim was sent, by ``time.monotonic()``."""
        until = asked_at + (self.lease or 0.0)
        for job in jobs:
            self._held[job.id, job.token] = _Held(job, until)
        with self._ready:
            self._claimed += len(jobs)
            # a claim gives them in the order of their priorities, and others may wait from before
            before = self._drawn(len(self._waiting)) if self._last_waits_behind(jobs[0]) else []
            self._waiting.extend(sorted([*before, *jobs], key=lambda job: job.priority) if before else jobs)
            self._ready.notify_all()
        self.arrived()

    def _last_waits_behind(self, job: Job[P]) -> bool:
        try:
            return self._waiting[-1].priority > job.priority
        except IndexError:
            return False

    def _drawn(self, count: int) -> list[Job[P]]:
        """The last so many that wait, in their order, unless handlers have taken them meanwhile."""
        drawn: list[Job[P]] = []
        with contextlib.suppress(IndexError):
            while len(drawn) < count:
                drawn.append(self._waiting.pop())
        drawn.reverse()
        return drawn

    def give_back(self, keep: int) -> None:
        """Those that wait, but for so many, are for other consumers."""
        with self._ready:
            drawn = self._drawn(len(self._waiting) - keep)
            self._given_back += len(drawn)
            self._over += sum(job.lost for job in drawn)
        for job in drawn:
            if not job.lost:
                self.end(job, NotBegun.NOT_BEGUN)

    # for who handles

    def take(self, *, wait: bool = True) -> Job[P] | None:
        """The next job; None once no more is begun, or where there is none and it does not wait."""
        while True:
            if self._ending.stopped:
                return None
            try:
                job = self._waiting.popleft()
            except IndexError:
                # this handler is free now: that it took the last one was told before
                self.wanted()
                if not wait:
                    return None
                with self._ready:
                    while not self._waiting and not self._ending.stopped:
                        self._ready.wait()
                continue
            if len(self._waiting) == self.room // 2 or not self._waiting:
                self.wanted()
            if not job.lost:
                return job
            with self._ready:
                self._over += 1

    def end(self, job: Job[P], outcome: Outcome) -> None:
        """What became of a job is known; the server is told of it."""
        held = self._held.get((job.id, job.token))
        if held is not None:
            held.ended = True
        self._ended.append((job, outcome))
        self.to_answer.set()

    # for who answers

    def __len__(self) -> int:
        return len(self._held)

    @property
    def answered(self) -> bool:
        """Whether the server knows of all that have ended."""
        return not self._ended

    def ended(self) -> list[tuple[Job[P], Outcome]]:
        """Those that have ended since, each once."""
        with self._ready:
            ended = [self._ended.popleft() for _ in range(len(self._ended))]
            self._over += len(ended)
        return ended

    def not_begun(self) -> list[Job[P]]:
        """Those that wait for a handler, none of which takes them any more."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def leased(self) -> list[Job[P]]:
        """Those whose leases are to be renewed."""
        return [held.job for held in list(self._held.values())]

    def renewed(self, jobs: Sequence[Job[P]], asked_at: float) -> None:
        """Leases last longer; ``asked_at`` as for ``add``."""
        for job in jobs:
            held = self._held.get((job.id, job.token))
            if held is not None:
                held.until = asked_at + (self.lease or 0.0)

    def valid(self, job: Job[P]) -> bool:
        """Whether nobody else can have been given the job by now."""
        held = self._held.get((job.id, job.token))
        return held is not None and time.monotonic() < held.until

    def forget(self, job: Job[P]) -> None:
        """A job is answered."""
        self._held.pop((job.id, job.token), None)

    def lose(self, job: Job[P], why: str) -> None:
        """Another may have the job by now."""
        if self._held.pop((job.id, job.token), None) is not None and not job.lost:
            job.lost = True
            self.consumed.lost += 1
            _log.warning("queue %s: job %d is lost: %s", self._queue, job.id, why)

    def expire(self) -> None:
        """Lose what was not renewed in time, whatever the reason; what has ended is answered all the same."""
        now = time.monotonic()
        for held in list(self._held.values()):
            if not held.ended and now >= held.until:
                self.lose(held.job, "its lease could not be renewed in time")

    def _wake(self) -> None:
        with self._ready:
            self._ready.notify_all()
        self.to_answer.set()


def failure_of(error: BaseException) -> Failure:
    """An attempt that has failed of an error of a handler, with the SQLSTATE of the server's error below it, if any.

    Errors are classes of others, whose methods may fail as well: nothing is raised here.
    """
    give_up = issubclass(type(error), GiveUp)
    return Failure(
        _had(lambda: (str(error) if give_up else f"{type(error).__name__}: {error}")[:_LONGEST_TEXT])
        or f"{_had(lambda: type(error).__name__) or 'an error'}, which can't be told",
        _had(lambda: _sqlstate(error)),
        _had(lambda: "".join(traceback.format_exception(error))[-_LONGEST_TEXT:]),
        not give_up,
    )


def _had(tell: Callable[[], T]) -> T | None:
    """What a method of somebody's error tells; None where it raises."""
    try:
        return tell()
    except BaseException:
        return None


def _sqlstate(error: BaseException | None) -> str | None:
    """That of an error of psycopg, also where a library has put another error around it."""
    for _ in range(_DEEPEST_CAUSE):
        if error is None:
            return None
        state = getattr(error, "sqlstate", None)
        if isinstance(state, str) and len(state) == 5 and state.isascii() and state.isalnum():
            return state.upper()
        error = error.__cause__
    return None
