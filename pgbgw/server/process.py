"""Whether a server runs on a data directory, told from postmaster.pid without being misled by a number used again.

The file's lines are listed in src/include/utils/pidfile.h: the first holds the pid, the eighth the state.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pgbgw.server.sockets import SOCKET_PORT

__all__ = ["Status", "clear_stale", "read_status"]

State = Literal["stopped", "starting", "running", "stopping"]

_ORPHAN_SECONDS = 5.0

_STATES: dict[str, State] = {"ready": "running", "standby": "running", "stopping": "stopping"}


@dataclass(frozen=True, slots=True)
class Status:
    """State of a server and the pid of its postmaster, None when stopped."""

    state: State
    pid: int | None

    @property
    def running(self) -> bool:
        """Whether there is a postmaster, be it on its way up or down."""
        return self.pid is not None


def read_status(data: Path) -> Status:
    """State of the server on a data directory; a missing directory counts as stopped."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid = abs(int(lines[0]))
    except (FileNotFoundError, ValueError, IndexError):
        return Status("stopped", None)
    if not _is_postmaster(pid, data):
        return Status("stopped", None)
    word = lines[7].strip() if len(lines) > 7 else ""
    return Status(_STATES.get(word, "starting"), pid)


def clear_stale(data: Path, socket_dir: Path) -> None:
    """Remove the lock files of a server that is gone, if it is certain that no process of it is left.

    PostgreSQL removes them itself when their pid is dead, but refuses to start when another process of the same user
    has got the number meanwhile, as happens after a reboot (CreateLockFile() in src/backend/utils/init/miscinit.c).
    Children of a killed postmaster are given a moment to notice. Where the processes can't be listed, or one stays,
    this is left to PostgreSQL.
    """
    if not os.path.isdir("/proc/self/cwd") or not _emptied(data):
        return
    socket = socket_dir / f".s.PGSQL.{SOCKET_PORT}"
    for path in (data / "postmaster.pid", socket, socket.with_name(socket.name + ".lock")):
        path.unlink(missing_ok=True)


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # Another user's process: the owner of the data could signal its own.
    if os.path.isdir("/proc/self/cwd"):
        return _works_in(pid, data)
    said = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True).stdout
    return "postgres" in said


def _emptied(data: Path) -> bool:
    """Wait until no process of a server is left; False if one stays."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while any(_works_in(int(name), data) for name in _processes()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _works_in(pid: int, data: Path) -> bool:
    """Whether a process has the data directory as its current one, as all processes of a server do."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data)
    except PermissionError:
        # Hardened systems hide this even from the same user; then the lock files are better left alone.
        return _owner(f"/proc/{pid}") == _owner(str(data))
    except OSError:
        return False


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None
