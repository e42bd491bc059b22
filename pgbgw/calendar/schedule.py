"""A schedule in a time zone, and when it is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import ceil, floor
from typing import Literal, TypeAlias

from pgbgw._core import Cron
from pgbgw.calendar.sentence import sentence
from pgbgw.calendar.zone import FIRST, LAST, Zone

__all__ = ["Gap", "Repeated", "Schedule"]

Gap: TypeAlias = Literal["after", "skip"]
"""What becomes of a time that the clocks leave out: due right after the gap, or not at all."""

Repeated: TypeAlias = Literal["first", "both"]
"""Which of the two counts when the clocks show a time twice."""


class Schedule:
    """A cron expression, by the clocks of a time zone.

    Where the field of hours begins with an asterisk it is due each time that the clocks show a time that it names.
    Otherwise it is due once for each of them: at the moment at which the clocks have come to it, or have passed it
    over, and the first time where they show it twice. ``gap`` and ``repeated`` change that. Nothing is due before
    ``not_before`` or after ``not_after``, at which it may be; both have a time zone.

    Raises CronError for what is no schedule, ZoneMissing for what is no zone.
    """

    def __init__(
        self,
        expression: str,
        time_zone: str = "UTC",
        *,
        gap: Gap = "after",
        repeated: Repeated = "first",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> None:
        self.cron = Cron(expression)
        self.zone = Zone(time_zone)
        self.gap: Gap = gap
        self.repeated: Repeated = repeated
        self.not_before = not_before
        self.not_after = not_after

    def __repr__(self) -> str:
        return f"Schedule({self.cron.text!r}, {self.zone.name!r}, gap={self.gap!r}, repeated={self.repeated!r})"

    def next(self, after: datetime) -> datetime | None:
        """The first time later than ``after`` at which it is due, by the clocks of its zone; None after year 9999.

        Raises ValueError when ``after`` has no time zone.
        """
        if after.tzinfo is None:
            raise ValueError(f"{after.isoformat()} has no time zone")
        due = self.next_second(max(floor(after.timestamp()), FIRST))
        return self.zone.local(due) if due is not None and due <= LAST else None

    def upcoming(self, after: datetime) -> Iterator[datetime]:
        """All times later than ``after`` at which it is due, one after another."""
        due = self.next(after)
        while due is not None:
            yield due
            due = self.next(due)

    def next_second(self, after: int) -> int | None:
        """As ``next``, in seconds since 1970 in UTC."""
        if self.not_before is not None:
            after = max(after, ceil(self.not_before.timestamp()) - 1)
        due = self.cron.due(self.zone.offset_at, after, skip_gap=self.gap == "skip", repeat=self.repeated == "both")
        if due is None or (self.not_after is not None and due > self.not_after.timestamp()):
            return None
        return due

    def sentence(self) -> str:
        """What the expression means, in plain English and without a full stop."""
        return sentence(self.cron)
