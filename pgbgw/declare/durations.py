"""Lengths of time, kept as whole microseconds as PostgreSQL's interval does."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pgbgw.declare.places import shown
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin

__all__ = ["NEVER", "Duration", "Never", "days", "hours", "milliseconds", "minutes", "seconds"]


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in microseconds."""

    us: int

    def __str__(self) -> str:
        for unit, size in (("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)):
            if self.us and self.us % size == 0:
                return f"{self.us // size} {unit}"
        return f"{self.us} us"


class Never:
    """The restart interval of a worker that is not started again (BGW_NEVER_RESTART)."""

    __slots__ = ()

    def __str__(self) -> str:
        return "NEVER"

    __repr__ = __str__


NEVER = Never()


def milliseconds(count: float) -> Duration:
    """A duration of ``count`` milliseconds."""
    return _duration(count, 1_000)


def seconds(count: float) -> Duration:
    """A duration of ``count`` seconds."""
    return _duration(count, 1_000_000)


def minutes(count: float) -> Duration:
    """A duration of ``count`` minutes."""
    return _duration(count, 60_000_000)


def hours(count: float) -> Duration:
    """A duration of ``count`` hours."""
    return _duration(count, 3_600_000_000)


def days(count: float) -> Duration:
    """A duration of ``count`` times 24 hours."""
    return _duration(count, 86_400_000_000)


def _duration(count: object, unit: int) -> Duration:
    if isinstance(count, int | float) and not isinstance(count, bool) and math.isfinite(count):
        return Duration(round(count * unit))
    report(
        Diagnostic(
            "BGW403",
            f"duration is not a number: {shown(count)}",
            Origin.of_caller(),
            hint="Give a number, such as seconds(10) or seconds(0.5).",
        )
    )
    return Duration(unit)
