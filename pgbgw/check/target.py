"""The servers that a declaration is checked for, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pgbgw.declare.extension import Extension
from pgbgw.diagnostics import Diagnostic
from pgbgw.origin import Origin

__all__ = ["Rule", "Target", "place"]


@dataclass(frozen=True, slots=True)
class Target:
    """The majors that the emitted C must serve, and the slots for background workers, PostgreSQL's default here."""

    majors: tuple[int, ...] = (15, 16, 17, 18, 19)
    max_worker_processes: int = 8


Rule: TypeAlias = Callable[[Extension, Target], Iterator[Diagnostic]]


def place(origin: Origin, seen_from: Origin) -> str:
    """Another place as a detail names it: by its line in the same file."""
    return f"line {origin.line}" if origin.path == seen_from.path else f"{origin.path}:{origin.line}"
