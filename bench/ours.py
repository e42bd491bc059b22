"""Our own queue as a subject: filled while its workers stand still, then let go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from bench.claims import assert_direct, read_claims
from bench.ground import PAYLOAD, Ground
from pgbgw.faults.waiting import eventually

__all__ = ["OurQueue"]

# The time between two looks, in seconds: this is the error of a drain's end.
_LOOK = 0.005

_PATIENCE = 300.0


class OurQueue:
    """A queue of the extension on the ground, and the workers that drain it.

    ``claims`` says after a drain which way the jobs were claimed.
    """

    def __init__(self, ground: Ground, queue: str, name: str = "pgbgw") -> None:
        self.name = name
        self.ground = ground
        self.table = f"{ground.extension}.{queue}"
        self.claims = ""
        self.hold()

    def hold(self) -> None:
        """Ask the workers of the whole extension to stand still, and wait until they do."""
        states = f"SELECT count(*) FROM {self.ground.extension}.workers() WHERE state <> 'paused'"
        self.ground.rows(f"SELECT {self.ground.extension}.request_shutdown()")
        eventually(lambda: self.ground.value(states) == 0, within=60, what="workers that stand still")

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        """Let the workers go while the block lasts.

        Raises:
            WrongClaim: jobs were not claimed as they should be.
        """
        with self.ground.connect() as connection:
            before = read_claims(connection, self.ground.extension)
            connection.execute(f"SELECT {self.ground.extension}.resume()".encode())
            try:
                yield
            finally:
                self.hold()
            self.claims = assert_direct(connection, self.ground.extension, before)

    def clear(self) -> None:
        """Empty the queue; the sequence goes on, as it does in a table that is in use."""
        self.ground.rows(f"TRUNCATE {self.table}, {self.table}_later, {self.table}_failed")

    def fill(self, count: int) -> None:
        """Add jobs."""
        insert = f"INSERT INTO {self.table} (payload) SELECT {PAYLOAD} FROM generate_series(1, {count}) AS g"
        self.ground.rows(insert)

    def drain(self) -> float:
        """Let the workers go until the last job is gone; how long that took, in seconds.

        The look is for one id, by the index: a count, or a scan for any row, would read all that was deleted before.
        No snapshot is held between two looks.

        Raises:
            AssertionError: a job is left, has failed, or was not claimed as it should be.
        """
        left = f"SELECT EXISTS (SELECT FROM {self.table} WHERE priority = 5 AND id = %s)".encode()
        with self.ground.connect() as connection:
            connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
            before = read_claims(connection, self.ground.extension)
            row = connection.execute(f"SELECT max(id) FROM {self.table} WHERE priority = 5".encode()).fetchone()
            assert row is not None
            last = row[0]
            started = time.perf_counter()
            connection.execute(f"SELECT {self.ground.extension}.resume()".encode())
            while connection.execute(left, [last], prepare=True).fetchone() == (True,):
                if time.perf_counter() > started + _PATIENCE:
                    raise AssertionError(f"{self.table} is not empty after {_PATIENCE:g} s")
                time.sleep(_LOOK)
            elapsed = time.perf_counter() - started
            # With several workers another one may have jobs in hand, less than a batch.
            eventually(self._empty, within=30, what=f"an empty {self.table}")
            self.hold()
            self.claims = assert_direct(connection, self.ground.extension, before)
        return elapsed

    def _empty(self) -> bool:
        tables = (f"EXISTS (SELECT FROM {self.table}{suffix})" for suffix in ("", "_later", "_failed"))
        return self.ground.rows(f"SELECT {', '.join(tables)}") == [(False, False, False)]
