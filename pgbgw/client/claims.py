"""How a consumer gets its jobs: as many as handlers take in some tenths of a second, and when it is told of some."""

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

# A claim takes no more than this, and aims at jobs for about so long, s.
_MOST_CLAIMED = 1000
_QUICK, _SLOW = 0.1, 0.5

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
        least: int,
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
        self._least = least
        self._poll = poll
        self._until_empty = until_empty
        self._claimed_at = 0.0
        # the connection that listens, and whether it was told of jobs since the last claim
        self._listening: psycopg.Connection[Any] | None = None
        self._told = False
        in_hand.wanted = self.bell.ring
        ending.tell(self.bell.ring)

    def run(self) -> None:
        """Claim until it was stopped, or there is nothing more to do where it ends with that."""
        try:
            while not self._ending.stopped:
                if self._in_hand.waiting > self._in_hand.room // 2:
                    self._wait(self._poll)
                    continue
                asked_at = time.monotonic()
                jobs = self._kept.ask(self._claim)
                if jobs:
                    self._in_hand.add(jobs, max(asked_at, self._claimed_at))
                elif self._until_empty and not self._in_hand:
                    return
                elif not self._told:
                    self._wait(_UNTIL_EMPTY if self._until_empty else self._poll)
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
        now = time.monotonic()
        in_hand = self._in_hand
        # as many as take some tenths of a second: few where handlers are slow, so that others get the rest
        if self._claimed_at and not in_hand.waiting and now - self._claimed_at < _QUICK:
            in_hand.room = min(in_hand.room * 2, _MOST_CLAIMED)
        elif self._claimed_at and now - self._claimed_at > _SLOW:
            in_hand.room = max(in_hand.room // 2, self._least)
        most = max(in_hand.room - in_hand.waiting, 1)
        self._claimed_at = now
        jobs = run(connection, operations.claim(self._handle, most, self._lease, self._who))
        if jobs and in_hand.lease is None:
            # where there is no declaration only the server knows
            query = "SELECT extract(epoch FROM %s::timestamptz - clock_timestamp())::float8"
            row = connection.execute(query, [jobs[0].lease_end]).fetchone()
            assert row is not None
            in_hand.lease = max(row[0], 0.0)
            in_hand.to_answer.set()
        return jobs

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
