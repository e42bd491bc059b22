"""Time zones, as ``_core.Cron`` asks for them: how far the clocks are ahead, and until when."""

from __future__ import annotations

import difflib
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

__all__ = ["FIRST", "LAST", "Zone", "ZoneMissing"]

_DAY = 86_400

# Offsets are looked up for so many seconds at a time.
_PIECE = 64 * _DAY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FIRST = int((datetime(1, 1, 3, tzinfo=UTC) - _EPOCH).total_seconds())
"""From here to LAST a datetime holds every time in every zone; in seconds since 1970 in UTC."""

LAST = int((datetime(9999, 12, 29, tzinfo=UTC) - _EPOCH).total_seconds())
"""Before FIRST and after LAST the clocks of a zone are taken to count as they do there."""


class ZoneMissing(ValueError):
    """There is no time zone of that name; ``hint`` names some that are spelt like it."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f'there is no time zone "{name}"')
        self.hint = hint


class Zone:
    """A time zone by its name in the tz database, as ``zoneinfo`` finds it: the system's data, else those of the
    package tzdata. Raises ZoneMissing.
    """

    def __init__(self, name: str) -> None:
        # ZoneInfo looks for a file of that name, in its own spelling, and says in many ways that there is none
        if name not in available_timezones():
            raise ZoneMissing(name, _hint(name))
        try:
            self.info = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ZoneMissing(name, f"Its data can't be read: {error}") from error
        self.name = name
        self._pieces: dict[int, tuple[list[int], list[int]]] = {}

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def offset_at(self, at: int) -> tuple[int, int]:
        """How many seconds the clocks are ahead of UTC at ``at``, in seconds since 1970 in UTC, and until when, at
        least. A change is looked for once a day; in the tz database two are never closer than four days.
        """
        if at >= LAST:
            return self._offset(LAST), at + _PIECE
        number = at // _PIECE
        piece = self._pieces.get(number)
        if piece is None:
            piece = self._pieces[number] = self._read(number * _PIECE)
        ends, offsets = piece
        index = bisect_right(ends, at)
        return offsets[index], ends[index]

    def local(self, at: int) -> datetime:
        """What the clocks show at ``at``, with its offset. It is from FIRST to LAST."""
        return (_EPOCH + timedelta(seconds=at)).astimezone(self.info)

    def _offset(self, at: int) -> int:
        moment = _EPOCH + timedelta(seconds=min(max(at, FIRST), LAST))
        offset = moment.astimezone(self.info).utcoffset()
        assert offset is not None
        return offset // timedelta(seconds=1)

    def _read(self, begin: int) -> tuple[list[int], list[int]]:
        """The ends of the offsets from ``begin`` on, and these, in order."""
        ends: list[int] = []
        offsets = [self._offset(begin)]
        for day in range(begin, begin + _PIECE, _DAY):
            after = self._offset(day + _DAY)
            if after != offsets[-1]:
                ends.append(self._change(day, day + _DAY, offsets[-1]))
                offsets.append(after)
        if ends and ends[-1] == begin + _PIECE:
            return ends, offsets[:-1]
        return [*ends, begin + _PIECE], offsets

    def _change(self, low: int, high: int, before: int) -> int:
        """The first second after ``low`` and up to ``high`` at which the offset is not ``before``."""
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == before:
                low = middle
            else:
                high = middle
        return high


def _hint(name: str) -> str:
    known = {each.casefold(): each for each in available_timezones()}
    last = {each.rpartition("/")[2].casefold(): each for each in sorted(available_timezones(), reverse=True)}
    wanted = name.casefold().replace(" ", "_")
    exact = known.get(wanted) or last.get(wanted)
    if exact:
        return f"Write {exact}."
    close = [known[each] for each in difflib.get_close_matches(wanted, known, 3)]
    close += [last[each] for each in difflib.get_close_matches(wanted, last, 3)]
    if close:
        return f"There are {', '.join(dict.fromkeys(close))}."
    return "Names are those of the tz database, such as Europe/Paris or UTC."
