"""How much memory processes of the server have of their own, and whether it grows."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pgbgw.faults.server import Server
from pgbgw.faults.waiting import Red, eventually

__all__ = ["Memory", "flat", "memory"]

# What the C library keeps of the memory that was given back to it, B: as much as a sort may take (work_mem) and more.
_OWN_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use in all memory contexts of a process, and bytes of its own in RAM.

    ``used`` is None where the process has left it out of the log, ``own`` 0 where there is no /proc.
    """

    used: int | None
    own: int


def memory(server: Server, pids: Collection[int]) -> dict[int, Memory]:
    """The memory of each process, which must be connected to a database.

    The first number is what pg_log_backend_memory_contexts() writes into the log, the second RssAnon of proc(5).
    """
    mark = server.mark()
    server.rows("SELECT pg_log_backend_memory_contexts(pid) FROM unnest(%s::integer[]) AS p(pid)", [list(pids)])
    found: dict[int, Memory] = {}

    def logged() -> bool:
        for line in server.log(r"Grand total: .* used|messages were left out of the log", mark):
            pid = re.search(r"\[(\d+)\]", line)
            used = re.search(r"(\d+) used$", line)
            if pid and (used or int(pid[1]) not in found):
                found[int(pid[1])] = Memory(int(used[1]) if used else None, _own(int(pid[1])))
        return found.keys() >= set(pids)

    eventually(logged, what="memory contexts in the log")
    return {pid: found[pid] for pid in pids}


def flat(server: Server, before: dict[int, Memory], limit: int) -> str:
    """Wait until each process has about as much memory as it had; what has become more, in words.

    ``limit``, in kB, is for caches, which are filled and emptied as catalogs change. A round's memory is kept until the
    next round, so that the end of a large batch may still be there for a while.

    Raises:
        Red: it stays larger.
    """
    growth = Memory(0, 0)

    def small() -> bool:
        nonlocal growth
        now = memory(server, before)
        used = [
            after - first
            for after, first in ((now[pid].used, before[pid].used) for pid in before)
            if after is not None and first is not None
        ]
        growth = Memory(max(used) if used else None, max(now[pid].own - before[pid].own for pid in before))
        return (growth.used is None or growth.used <= limit * 1024) and growth.own <= _OWN_LIMIT

    try:
        eventually(small, within=8)
    except Red as error:
        raise Red(f"memory grew by {_told(growth)}") from error
    return _told(growth)


def _told(growth: Memory) -> str:
    contexts = "" if growth.used is None else f"{growth.used / 1024:+.0f} kB in contexts, "
    return f"{contexts}{growth.own / 1024:+.0f} kB in RAM"


def _own(pid: int) -> int:
    try:
        found = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
