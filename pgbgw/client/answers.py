"""What a consumer tells the server of its jobs, in batches: what became of them, and that it still has the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

import psycopg

from pgbgw.client import operations
from pgbgw.client.ending import Ending
from pgbgw.client.handle import Handle
from pgbgw.client.inhand import Failure, InHand, NotBegun
from pgbgw.client.jobs import Job
from pgbgw.client.kept import Kept, Stopped
from pgbgw.client.operations import Operation
from pgbgw.client.running import run

__all__ = ["Answers"]

P = TypeVar("P")

_log = logging.getLogger("pgbgw.client")

# Leases are renewed when so much of them has passed.
_RENEWED_AT = 1 / 3

# How often failures are told of at the most, s, and so much of an error.
_FAILURES_TOLD_EVERY = 1.0
_LONGEST_TOLD = 200

# How often it looks at the least, also before the first claim has shown how long leases last, s.
_UNKNOWN = 3600.0


class Answers(Generic[P]):
    """Answers for jobs that have ended, and renews leases; ``run`` is the work of one thread."""

    def __init__(
        self, handle: Handle[P], in_hand: InHand[P], kept: Kept, ending: Ending, lease: timedelta | None
    ) -> None:
        self.drained = threading.Event()
        self._handle = handle
        self._in_hand = in_hand
        self._kept = kept
        self._ending = ending
        self._lease = lease
        # how many have failed that nobody was told of, and the first of them
        self._untold = 0
        self._first = (0, "")
        self._told_at = float("-inf")

    @property
    def renewed_every(self) -> float:
        """How often leases are renewed, s."""
        return _UNKNOWN if self._in_hand.lease is None else self._in_hand.lease * _RENEWED_AT

    def drain(self) -> None:
        """No handler goes on, and no more jobs come: answer for what has ended, and end."""
        self.drained.set()
        self._in_hand.to_answer.set()

    def run(self) -> None:
        """Answer until all is drained, or there is no more time."""
        renew_at = time.monotonic() + self.renewed_every
        try:
            while True:
                renew_at = min(renew_at, time.monotonic() + self.renewed_every)
                self._in_hand.to_answer.wait(min(max(renew_at - time.monotonic(), 0), _UNKNOWN))
                self._in_hand.to_answer.clear()
                drained = self.drained.is_set()
                self._answer_ended()
                if time.monotonic() >= renew_at:
                    self._renew()
                    renew_at = time.monotonic() + self.renewed_every
                if self._ending.stopped:
                    self._release(self._in_hand.not_begun())
                if drained and self._in_hand.answered:
                    return
        except Stopped:
            pass
        finally:
            self._kept.close()
            if self._untold:
                self._tell_failures()
            if left := len(self._in_hand):
                what = (
                    "job is left to the end of its lease" if left == 1 else "jobs are left to the end of their leases"
                )
                _log.warning("queue %s: %d %s", self._handle.name, left, what)

    def _answer_ended(self) -> None:
        """Tell the server what became of all jobs that have ended by now."""
        ended = [(job, outcome) for job, outcome in self._in_hand.ended() if not job.lost]
        counted = self._in_hand.consumed
        done = [job for job, outcome in ended if outcome is None]
        if done:
            counted.done += self._settle(operations.acknowledge(self._handle, done), done)
        for retry in (True, False):
            failed = [(job, f) for job, f in ended if isinstance(f, Failure) and f.retry == retry]
            if failed:
                counted.failed += self._fail([job for job, _ in failed], [f for _, f in failed], retry)
                if not self._untold:
                    self._first = (failed[0][0].id, _line(failed[0][1].error))
                self._untold += len(failed)
        if self._untold and time.monotonic() >= self._told_at + _FAILURES_TOLD_EVERY:
            self._tell_failures()
        self._release([job for job, outcome in ended if isinstance(outcome, NotBegun)])

    def _tell_failures(self) -> None:
        """Tell of failures since the last time, which the queue keeps in full."""
        number, error = self._first
        many = "" if self._untold == 1 else f"{self._untold} jobs have failed, the first: "
        _log.warning("queue %s: %sjob %d has failed: %s", self._handle.name, many, number, error)
        self._untold, self._told_at = 0, time.monotonic()

    def _fail(self, jobs: Sequence[Job[P]], failures: Sequence[Failure], retry: bool) -> int:
        """Tell why jobs have failed; of how many it was accepted."""

        def told(text: Callable[[str], str]) -> Operation[list[int]]:
            return operations.fail(
                self._handle, jobs, [text(f.error) for f in failures], [f.sqlstate for f in failures],
                [None if f.context is None else text(f.context) for f in failures], retry,
            )  # fmt: skip

        try:
            return self._settle(told(str), jobs)
        except psycopg.errors.UntranslatableCharacter:
            # the encoding of the database has not all characters
            return self._settle(told(lambda text: text.encode("ascii", "backslashreplace").decode()), jobs)

    def _release(self, jobs: Sequence[Job[P]]) -> None:
        """Give back what was not begun."""
        jobs = [job for job in jobs if not job.lost]
        if jobs:
            self._in_hand.consumed.released += self._settle(operations.release(self._handle, jobs), jobs)

    def _renew(self) -> None:
        jobs = self._in_hand.leased()
        if not jobs:
            return
        asked_at = 0.0

        def ask(connection: psycopg.Connection[Any]) -> list[int]:
            nonlocal asked_at
            asked_at = time.monotonic()
            return run(connection, operations.extend(self._handle, jobs, self._lease))

        refused = set(self._kept.ask(ask))
        self._in_hand.renewed([job for job in jobs if job.id not in refused], asked_at)
        for job in jobs:
            if job.id in refused:
                self._in_hand.lose(job, "its lease has ended, or it was cancelled")

    def _settle(self, operation: Operation[list[int]], jobs: Sequence[Job[P]]) -> int:
        """Say what became of jobs, which then are no longer in hand; of how many it was accepted."""
        asked = 0

        def ask(connection: psycopg.Connection[Any]) -> list[int]:
            nonlocal asked
            asked += 1
            return run(connection, operation)

        refused = set(self._kept.ask(ask))
        accepted = 0
        for job in jobs:
            # A connection may break after the server has accepted an answer. What is refused the second time, and can't
            # have been given to anybody else, was accepted the first time.
            if job.id not in refused or (asked > 1 and self._in_hand.valid(job)):
                self._in_hand.forget(job)
                accepted += 1
            else:
                self._in_hand.lose(job, "its lease has ended, or it was cancelled")
        return accepted


def _line(error: str) -> str:
    """The beginning of an error in one line, without what a terminal takes for commands."""
    lines = error[:_LONGEST_TOLD].splitlines() or [""]
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in lines[0])
