"""An oracle for schedules: it walks through time step by step and asks the clocks of a zone, as the rules tell it.

It shares nothing with the code under test: fields are told as sets of numbers, days are looked at one by one with
``calendar.monthrange``, and clocks are those of ``zoneinfo``.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

__all__ = ["Fields", "changes", "due"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Clocks have gone back by less than that since 1970.
_BEFORE = 86_400

_STEP = 3 * 3600


@dataclass(frozen=True)
class Fields:
    """A schedule: its text, and what it means."""

    text: str
    minutes: frozenset[int] = frozenset(range(60))
    hours: frozenset[int] = frozenset(range(24))
    days: frozenset[int] = frozenset(range(1, 32))
    last_days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset(range(1, 13))
    weekdays: frozenset[int] = frozenset(range(7))  # 0 is Sunday
    nth: frozenset[tuple[int, int]] = frozenset()  # a weekday and 1 to 5, or 0 for the last
    seconds: frozenset[int] = frozenset({0})
    stars: frozenset[str] = field(default=frozenset())  # which of hour, day and weekday begin with an asterisk

    def means(self, shown: datetime) -> bool:
        """Whether it names what clocks show, whose zone is of no interest."""
        return (
            shown.second in self.seconds
            and shown.minute in self.minutes
            and shown.hour in self.hours
            and self.means_day(shown)
        )

    def means_day(self, shown: datetime) -> bool:
        length = monthrange(shown.year, shown.month)[1]
        weekday = shown.isoweekday() % 7
        by_day = shown.day in self.days or length - shown.day in self.last_days
        by_weekday = (
            weekday in self.weekdays
            or (weekday, (shown.day + 6) // 7) in self.nth
            or ((weekday, 0) in self.nth and shown.day + 7 > length)
        )
        if self.stars & {"day", "weekday"}:
            return shown.month in self.months and by_day and by_weekday
        return shown.month in self.months and (by_day or by_weekday)


def _clock(zone: ZoneInfo, at: int) -> datetime:
    """What the clocks show, without a zone."""
    return (_EPOCH + timedelta(seconds=at)).astimezone(zone).replace(tzinfo=None, fold=0)


def due(
    fields: Fields, zone: ZoneInfo, begin: int, end: int, *, step: int = 60, skip_gap: bool = False, both: bool = False
) -> list[int]:
    """All times later than ``begin`` and up to ``end`` at which it is due, in seconds since 1970.

    ``step`` divides all offsets and is what the schedule is told in: 60, or less where there are seconds.
    """
    begin -= begin % step
    found = []
    highest = max(_clock(zone, at) for at in range(begin - _BEFORE, begin + 1, step))
    for at in range(begin + step, end + 1, step):
        shown = _clock(zone, at)
        if "hour" in fields.stars:
            hit = fields.means(shown)
        else:
            hit = both and fields.means(shown)
            if shown > highest:
                # what the clocks have come to, and what they left out on the way
                left_out = _between(highest, shown, step)
                hit = hit or fields.means(shown) or (not skip_gap and any(fields.means(each) for each in left_out))
        highest = max(highest, shown)
        if hit:
            found.append(at)
    return found


def _between(low: datetime, high: datetime, step: int) -> Iterator[datetime]:
    low += timedelta(seconds=step)
    while low < high:
        yield low
        low += timedelta(seconds=step)


def changes(zone: ZoneInfo, begin: int, end: int) -> list[int]:
    """The seconds at which the offset changes, found by looking at it every three hours."""
    found = []
    before = _offset(zone, begin)
    for at in range(begin + _STEP, end, _STEP):
        now = _offset(zone, at)
        if now != before:
            found.append(next(second for second in range(at - _STEP + 1, at + 1) if _offset(zone, second) == now))
            before = now
    return found


def _offset(zone: ZoneInfo, at: int) -> timedelta | None:
    return (_EPOCH + timedelta(seconds=at)).astimezone(zone).utcoffset()
