"""How a consumer gets its jobs: for handlers that are free, and as many ahead as they begin in some tenths of a second;
and when it is told of some.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import sql

from pgbgw.client import operations
from pgbgw.client.ending import Bell, Ending
from pgbgw.client.handle import Handle
from pgbgw.client.inhand import InHand
from pgbgw.client.jobs import Job
from pgbgw.client.kept import Kept, Stopped
from pgbgw.client.running import run

__all__ = ["Claims"]

P = TypeVar("P")

# No more than this waits for a handler, and no more than what is begun within so long, s.
_MOST_AHEAD = 1000
_AHEAD = 0.5

# How long it takes to know how fast jobs are begun, s; where many are in less than that, there may be more.
_MEASURED = 0.1

# What would wait for longer than this is given back, s.
_LONGEST_HELD = 1.0

# How often it looks whether the last jobs have ended, where it ends with them, s.
_UNTIL_EMPTY = 0.05


class Claims(Generic[P]):
    """Claims jobs until it is stopped, or there are no more; ``run`` is the work of one thread."""

    def __init__(
        self,
        handle: Handle[P],
        in_hand: InHand[P],
        kept: Kept,
        ending: Ending,
        *,
        lease: timedelta | None,
        who: str,
        concurrency: int,
        poll: float,
        until_empty: bool,
    ) -> None:
        self.bell = Bell()
        self._handle = handle
        self._in_hand = in_hand
        self._kept = kept
        self._ending = ending
        self._lease = lease
        self._who = who
        self._concurrency = concurrency
        self._poll = poll
        self._until_empty = until_empty
        # since when it is measured how many jobs are begun, and how many had been by then; whether the last claim got
        # all that it had asked for
        self._since = 0.0
        self._begun = 0
        self._claimed_at = 0.0
        self._full = False
        # when what waits was looked at for the last time, and how many jobs were begun by then
        self._looked_at = 0.0
        self._begun_when_looked = 0
        # the connection that listens, and whether it was told of jobs since the last claim
        self._listening: psycopg.Connection[Any] | None = None
        self._told = False
        in_hand.wanted = self.bell.ring
        ending.tell(self.bell.ring)

    def run(self) -> None:
        """Claim until it was stopped, or there is nothing more to do where it ends with that."""
        try:
            while not self._ending.stopped:
                self._measure()
                if not self._wanted():
                    self._wait(min(self._poll, self._give_back()))
                    continue
                asked_at = time.monotonic()
                jobs = self._kept.ask(self._claim)
                if jobs:
                    self._in_hand.add(jobs, max(asked_at, self._claimed_at))
                elif self._until_empty and not self._in_hand:
                    return
                elif not self._told:
                    self._wait(min(_UNTIL_EMPTY if self._until_empty else self._poll, self._give_back()))
        except Stopped:
            pass
        finally:
            self._kept.close()

    def _claim(self, connection: psycopg.Connection[Any]) -> list[Job[P]]:
        """Claim what there is room for; the first time of a connection, listen as well."""
        if connection is not self._listening:
            connection.add_notify_handler(self._hear)
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._handle.channel)))
            self._listening = connection
        self._told = False
        in_hand = self._in_hand
        most = max(self._wanted(), 1)
        self._claimed_at = self._looked_at = time.monotonic()
        self._begun_when_looked = in_hand.begun
        jobs = run(connection, operations.claim(self._handle, most, self._lease, self._who))
        self._full = len(jobs) == most
        if jobs and in_hand.lease is None:
            # where there is no declaration only the server knows
            query = "SELECT extract(epoch FROM %s::timestamptz - clock_timestamp())::float8"
            row = connection.execute(query, [jobs[0].lease_end]).fetchone()
            assert row is not None
            in_hand.lease = max(row[0], 0.0)
            in_hand.to_answer.set()
        return jobs

    def _measure(self) -> None:
        """See how many jobs may wait, by how fast others are begun: few where handlers are slow, so that others get the
        rest, and none before it is known. It is twice as many at a time at the most.
        """
        in_hand = self._in_hand
        now, begun = time.monotonic(), in_hand.begun
        passed, count = now - self._since, begun - self._begun
        most = min(max(2 * in_hand.room, self._concurrency), _MOST_AHEAD)
        if passed > _MEASURED:
            in_hand.room = min(int(count / passed * _AHEAD), most)
        elif self._full and ((in_hand.free and not in_hand.waiting) or count > 2 * in_hand.room + self._concurrency):
            in_hand.room = most
        else:
            return
        self._since, self._begun, self._full = now, begun, False

    def _wanted(self) -> int:
        """How many jobs to claim, 0 while more than half of those wait that may."""
        room = self._in_hand.room
        most = self._in_hand.free + room - self._in_hand.waiting
        return min(most, _MOST_AHEAD) if most >= max(room - room // 2, 1) else 0

    def _give_back(self) -> float:
        """Give back what handlers would not begin soon; when to look again, s."""
        in_hand = self._in_hand
        if not in_hand.waiting:
            return float("inf")
        now = time.monotonic()
        passed = now - self._looked_at
        if passed < _LONGEST_HELD:
            return _LONGEST_HELD - passed
        begun = in_hand.begun
        keep = int((begun - self._begun_when_looked) / passed * _LONGEST_HELD) + in_hand.free
        if in_hand.waiting > keep:
            in_hand.give_back(keep)
            # what was known of handlers does not hold any more
            self._since, self._begun, self._full = now, begun, False
            in_hand.room = min(in_hand.room, keep)
        self._looked_at, self._begun_when_looked = now, begun
        return _LONGEST_HELD

    def _hear(self, notification: psycopg.Notify) -> None:
        self._told = True

    def _wait(self, timeout: float) -> None:
        """Wait until more jobs are wanted, the server tells of some, or it is stopped.

        What the server tells is read while there is no room as well: it would wait for its reader in the end.
        """
        connection = self._kept.connection
        if not self.bell.wait(timeout, None if connection is None else connection.fileno()) or connection is None:
            return
        try:
            connection.pgconn.consume_input()
            while connection.pgconn.notifies() is not None:
                self._told = True
        except psycopg.Error:
            # the next claim makes another one
            self._kept.close()
