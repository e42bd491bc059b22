"""A process that outlives another one, and then stops its throw-away servers and removes their folders.

Whoever is killed can't clean up. The process is there for as long as the other one, and reads from a pipe which folders
there are; at the end of the pipe those that are still there belong to nobody.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pgbgw.server.process import read_status

__all__ = ["main", "removed_if_killed"]

# How often it looks whether the other process is there, s: one that it has forked may hold the pipe open.
_LOOK_SECONDS = 1.0

# How long a server may take to stop at once, s; then it is killed.
_STOP_SECONDS = 60.0


@contextlib.contextmanager
def removed_if_killed() -> Iterator[Callable[[Path], None]]:
    """Within the block, call it with folders that must not outlive this process, before there is a server in them."""
    command = [sys.executable, "-P", "-m", "pgbgw.server.watcher", str(os.getpid())]
    # in a session of its own it hears neither Ctrl-C nor what else is said to all processes of a terminal
    watcher = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert watcher.stdin is not None
    pipe = watcher.stdin

    def watch(folder: Path) -> None:
        # without the watcher all goes on as it would
        with contextlib.suppress(OSError):
            pipe.write(os.fsencode(folder) + b"\0")
            pipe.flush()

    try:
        yield watch
    finally:
        with contextlib.suppress(OSError):
            pipe.close()
        watcher.wait()


def main() -> None:
    """What the process does, until there is nothing left to remove."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = int(sys.argv[1])
    told = bytearray()
    while True:
        ready, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if ready:
            piece = os.read(0, 65_536)
            if not piece:
                break
            told += piece
        elif os.getppid() != parent:
            break
    for name in told.split(b"\0")[:-1]:
        _remove(Path(os.fsdecode(bytes(name))))


def _remove(folder: Path) -> None:
    for data in folder.glob("*/data"):
        number, until = signal.SIGQUIT, time.monotonic() + _STOP_SECONDS
        while (pid := read_status(data).pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if time.monotonic() > until:
                number = signal.SIGKILL
            time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
