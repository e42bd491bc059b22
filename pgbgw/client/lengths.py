"""Lengths of time as programs give them: seconds, a timedelta, or a duration of the declaration."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from pgbgw.declare.durations import Duration

__all__ = ["Length", "length"]

Length: TypeAlias = timedelta | Duration | float
"""``timedelta(minutes=1)``, ``pgbgw.minutes(1)`` and ``60`` are the same."""


def length(value: Length, name: str) -> timedelta:
    """A length of time, however it was given; ``name`` is the argument.

    Raises:
        TypeError: it is of another type.
        ValueError: it is negative, not a number, or longer than a timedelta can be.
    """
    given: object = value
    if not isinstance(given, timedelta | Duration | float | int) or isinstance(given, bool):
        raise TypeError(
            f"{name} is a {type(value).__name__}, not a length of time: give seconds, a timedelta,"
            " or a duration such as pgbgw.seconds(60)"
        )
    try:
        found = value if isinstance(value, timedelta) else timedelta(seconds=_seconds(value))
    except (OverflowError, ValueError):
        found = None
    if found is None or found < timedelta(0):
        raise ValueError(f"{name} can't be used as a length of time: {value}")
    return found


def _seconds(value: Duration | float) -> float:
    return value.us / 1_000_000 if isinstance(value, Duration) else value
