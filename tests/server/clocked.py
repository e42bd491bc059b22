"""A server whose clock a test sets: a small library that is preloaded into its processes tells them the time."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgbgw.faults.waiting import eventually
from pgbgw.server.users import ServerUser
from tests.server.running import Server

__all__ = ["Clock", "clocked"]

_SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class _Told(ServerUser):
    """The server's user, with the library in the environment of whatever it runs."""

    library: Path
    clock: Path

    def _environment(self) -> dict[str, str]:
        told = {"LD_PRELOAD": str(self.library), "PGBGW_TEST_CLOCK": str(self.clock)}
        return {**ServerUser._environment(self), **told}


class Clock:
    """The clock of a running server; it goes on from whatever it is set to."""

    def __init__(self, server: Server, path: Path) -> None:
        self._server = server
        self._path = path

    def now(self) -> datetime:
        """What it shows."""
        at = self._server.value("SELECT clock_timestamp()")
        assert isinstance(at, datetime)
        return at

    def set(self, at: datetime) -> None:
        """Set it, for all processes at once, and tell nobody."""
        ahead = (at - datetime.now(UTC)) // timedelta(microseconds=1)
        with self._path.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", ahead))

    def passes(self, at: datetime) -> None:
        """Wait until it has come to a time, which must be near."""
        eventually(lambda: self.now() >= at, what=f"the server's clock at {at}")


@contextmanager
def clocked(server: Server, at: datetime) -> Iterator[Clock]:
    """Start a server anew with a clock of its own, which shows ``at``; until its end it keeps that clock."""
    cluster = server.cluster
    library, path = cluster.directory / "clock.so", cluster.directory / "clock"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, _SOURCE], check=True)
    path.write_bytes(bytes(8))
    for file in (library, path):
        # the server's user only reads them
        file.chmod(0o755)
    cluster.stop()
    before = cluster.user
    cluster.user = _Told(before.name, before.uid, before.gid, before.switch, library, path)
    clock = Clock(server, path)
    clock.set(at)
    cluster.start()
    try:
        yield clock
    finally:
        cluster.stop("immediate")
        cluster.user = before
