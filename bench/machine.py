"""What a figure depends on besides the code: the processor, its number of cores, the memory, the kernel."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.plan import Plan

__all__ = ["described", "surroundings"]


def surroundings(plan: Plan, arguments: list[str]) -> dict[str, Any]:
    """Machine, date, command and plan, for the JSON of every benchmark."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m bench", *arguments]),
        "rounds": plan.rounds,
        "quick": plan.quick,
        "full": plan.full,
        "machine": {
            "cpu": _first(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo")) or platform.processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_kb": _first(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo")),
            "system": f"{platform.system()} {platform.release()}",
            "python": sys.version.split()[0],
        },
    }


def described(around: dict[str, Any]) -> str:
    """A line about them."""
    machine = around["machine"]
    return (
        f"{around['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}, {around['rounds']} rounds"
    )


def _first(pattern: str, path: Path) -> str | None:
    """What a pattern finds first in a file of the kernel's."""
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None
