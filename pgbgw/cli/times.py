"""Spans of time as people say them, and times by the clocks of a zone."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["at", "since", "span", "took"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def since(delta: timedelta) -> str:
    """How long ago, in one unit; the clocks of two machines may differ, so never below zero."""
    return _in_one_unit(delta, 1)


def span(delta: timedelta) -> str:
    """About how long, in one unit of which there are two at least: 90 min, 3 h, 47 h, 2 d."""
    return _in_one_unit(delta, 2)


def _in_one_unit(delta: timedelta, least: int) -> str:
    seconds = max(0, int(delta.total_seconds()))
    size, unit = next((each for each in _UNITS if seconds >= least * each[0]), _UNITS[-1])
    return f"{seconds // size} {unit}"


def took(delta: timedelta) -> str:
    """How long something took: < 1 ms, 35 ms, 1.2 s, 3 min 20 s, 2 h 5 min, 1 d 3 h."""
    seconds = max(0.0, delta.total_seconds())
    if seconds < 0.0005:
        return "< 1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    index = next(n for n, (size, _) in enumerate(_UNITS) if whole >= size)
    (size, unit), (smaller, rest) = _UNITS[index : index + 2]
    left = whole % size // smaller
    return f"{whole // size} {unit}" + (f" {left} {rest}" if left else "")


def at(time: datetime, now: datetime) -> str:
    """A day and a time by the clocks of its zone, "27 Nov 02:30 CET"; year and seconds only where they tell."""
    year = f" {time.year}" if time.year != now.astimezone(time.tzinfo).year else ""
    seconds = f":{time:%S}" if time.second else ""
    return f"{time:%d %b}{year} {time:%H:%M}{seconds} {time:%Z}"
