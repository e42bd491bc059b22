"""Any text as a schedule: refused at a place that it has, or due by whatever clocks, as an oracle of these tells it."""

from __future__ import annotations

import pickle
import re
from bisect import bisect_right
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pgbgw._core import Cron, CronError, interval_due
from pgbgw.calendar import sentence
from tests.clocks import Fields
from tests.fuzz.draw import EDGES, Draw

__all__ = ["check"]

_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)

# PGBGW_LAST_TIME, calendar.h; the last time of a timestamp.
_LAST = 9224318016000

# Dates and days of the week repeat after 400 years, so what comes at all comes within these.
_CYCLE = 146097 * _DAY

# A time that a datetime holds by every clock, and from which there are 400 years more.
_FIRST_DATE, _LAST_DATE = -62135424000, 240000000000

# A day is looked at by itself up to here, and a second.
_MOST_DAYS = 3000
_MOST_SECONDS = 400

# Of clocks that are told for at least eight days at a time but for a few changes.
_MOST_ASKED = 200_000

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": _DAY}
_NAMES = ["", "", "", "", "jan feb mar jun sep dec", "sun mon wed fri sat"]
_BOUNDS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
_TOKENS = [
    *("*", "*/", "/", ",", "-", "#", "L", "l", "L-", "W", "?", " ", "\t", "\n", "%", "~", "0", "7", "59", "1000"),
    *("sun", "MON", "friL", "tue#2", "jan", "Dec", "@daily", "@reboot", "@", "@hourly", "99999999999999999999"),
    *("ä", "€", "😀", "\ud800", "\udfff", "\0", "\x7f", "\xa0", "* * * * *", "1-5/2"),
]
_EVERY = [
    *("@every", "@EVERY", "7", "1", "0", "36525", "3155760000", "99999999999999999999", "minutes", "Second", "day"),
    *("hours", "weeks", "since", "SINCE", "from", "2026-01-01T00:00:00Z", "2024-02-29t23:59z", "2026-02-29T00:00Z"),
    *("9998-12-31T23:59:59-23:59", "0002-01-01T00:00+23:59", "2026-01-01T00:00", "\t", "ä", "*"),
]
_NICKNAMES = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@reboot", "@Daily"]


class Raised(Exception):
    """What hostile clocks raise."""


def check(data: bytes) -> None:
    """Read one text, and see when it is due."""
    draw = Draw(data)
    text = _text(draw)
    _check_interval(draw)
    try:
        cron = Cron(text)
    except CronError as error:
        _check_error(error, text)
        return
    if cron.period:
        _check_every(draw, cron)
        return
    fields = _fields(cron)
    _check_fields(cron, fields)
    _check_due(draw, cron, fields)


# Texts


def _text(draw: Draw) -> str:
    how = draw.below(10)
    if how > 7:
        return _every(draw)
    if how == 0:
        return draw.raw(24).decode("utf-8", "surrogateescape")
    if how == 1:
        return draw.pick(["", " ", "\t"]) + draw.pick(_NICKNAMES) + draw.pick(["", " ", "\tx", "x"])
    if how == 2:
        return "".join(draw.pick(_TOKENS) for _ in range(draw.below(20))) * draw.pick([1, 1, 1, 40])
    parts = [_field(draw, number) for number in range(draw.pick([1, 1, 0]), 6)]
    if draw.chance(4):
        parts[draw.below(len(parts))] += draw.pick(_TOKENS)
    if draw.chance(16):
        parts.insert(draw.below(len(parts) + 1), draw.pick(_TOKENS))
    return draw.pick([" ", "  ", "\t", " \t "]).join(parts)


def _every(draw: Draw) -> str:
    """An interval, as it should be or nearly so."""
    if draw.chance(3):
        return " ".join(["@every", *(draw.pick(_EVERY) for _ in range(draw.below(7)))])
    number = draw.below(2 ** (1 + draw.below(40)))
    told = f"@every {number} {draw.pick(list(_UNITS))}{draw.pick(['', 's'])}"
    if draw.chance(2):
        return told
    sign, ahead, behind = draw.pick(["+", "-"]), draw.below(26), draw.below(62)
    offset = draw.pick(["Z", "z", f"{sign}{ahead:02}:{behind:02}"])
    at = _EPOCH + timedelta(seconds=draw.below(2**35) - 2**34)
    return f"{told} since {at.isoformat()}{offset}{draw.pick(['', '', ' ', ' x'])}"


def _field(draw: Draw, number: int) -> str:
    return ",".join(_item(draw, number) for _ in range(draw.pick([1, 1, 1, 2, 4])))


def _item(draw: Draw, number: int) -> str:
    low, high = _BOUNDS[number]

    def one() -> str:
        if _NAMES[number] and draw.chance(4):
            return draw.pick(_NAMES[number].split())
        told = str(low + draw.below(high - low + 1)) if not draw.chance(16) else str(draw.below(70))
        return told.zfill(draw.pick([1, 1, 2, 5]))

    step = f"/{1 + draw.below(high)}" if draw.chance(3) else ""
    match draw.below(6):
        case 0 | 1:
            return "*" + step
        case 2:
            return f"{one()}-{one()}{step}"
        case 3 if number == 3:
            return draw.pick(["L", "l", f"L-{draw.below(33)}"])
        case 3 if number == 5:
            return one() + draw.pick(["L", "l", f"#{draw.below(7)}"])
        case _:
            return one()


# What a text has come to


def _check_error(error: CronError, text: str) -> None:
    assert error.text == text
    assert 0 <= error.at <= error.at + error.length <= len(text), (error.at, error.length)
    assert error.message
    assert error.hint.endswith(".")
    assert str(error).startswith(error.message)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.text, copy.at, copy.length) == (text, error.at, error.length)


def _fields(cron: Cron) -> Fields:
    """The numbers of a schedule for the oracle."""
    stars = {"hour": cron.any_hour, "day": cron.any_day, "weekday": cron.any_weekday}
    return Fields(
        cron.text,
        minutes=frozenset(cron.minutes),
        hours=frozenset(cron.hours),
        days=frozenset(cron.days),
        last_days=frozenset(cron.last_days),
        months=frozenset(cron.months),
        weekdays=frozenset(cron.weekdays),
        nth=frozenset(cron.nth),
        seconds=frozenset(cron.seconds),
        stars=frozenset(name for name, begins in stars.items() if begins),
    )


def _check_fields(cron: Cron, fields: Fields) -> None:
    text = cron.text.strip(" \t")
    if not text.startswith("@"):
        parts = re.split("[ \t]+", text)
        assert cron.with_seconds == (len(parts) == 6)
        begin = [part.startswith("*") for part in parts]
        assert [cron.any_hour, cron.any_day, cron.any_weekday] == [begin[-4], begin[-3], begin[-1]]
    sets = (cron.seconds, cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays)
    for numbers, (low, high) in zip(sets, _BOUNDS, strict=True):
        assert list(numbers) == sorted(set(numbers))
        assert all(low <= number <= high for number in numbers)
    assert all(sets[:3])
    assert cron.months
    assert cron.days or cron.last_days
    assert cron.weekdays or cron.nth
    copy = pickle.loads(pickle.dumps(cron))
    assert copy == cron
    assert hash(copy) == hash(cron)
    # Written anew from its numbers it has the same ones.
    days = [*map(str, cron.days), *(f"L-{before}" for before in cron.last_days)]
    weekdays = [*map(str, cron.weekdays), *(f"{day}#{which}" if which else f"{day}L" for day, which in cron.nth)]
    plain = [",".join(map(str, numbers)) for numbers in (cron.seconds, cron.minutes, cron.hours, cron.months)]
    again = " ".join([*plain[:3], ",".join(days), plain[3], ",".join(weekdays)])
    # All of it at once may be longer than a text may be.
    with suppress(CronError):
        found = _fields(Cron(again))
        assert [getattr(found, name) for name in _NUMBERS] == [getattr(fields, name) for name in _NUMBERS], again
    told = sentence(cron)
    assert told.isascii()
    assert told == " ".join(told.split()), told
    assert len(told.split()) > 1, told


_NUMBERS = ("seconds", "minutes", "hours", "days", "last_days", "months", "weekdays", "nth")


# When it is due


class Clocks:
    """The clocks of some zone: offsets, and the times at which they change."""

    def __init__(self, ends: list[int], offsets: list[int], longest: int) -> None:
        self.ends = ends
        self.offsets = offsets
        self._longest = longest
        self._asked = 0

    def __call__(self, at: int) -> tuple[int, int]:
        self._asked += 1
        assert self._asked < _MOST_ASKED, "the clocks are asked for ever"
        return self.offset(at), min(self.ends[bisect_right(self.ends, at)], at + self._longest)

    def offset(self, at: int) -> int:
        return self.offsets[bisect_right(self.ends, at)]

    def highest(self, at: int) -> int:
        """The latest that they have shown up to ``at``."""
        ended = zip(self.ends, self.offsets, strict=True)
        return max([at + self.offset(at), *(end - 1 + offset for end, offset in ended if end <= at)])


def _clocks(draw: Draw, near: int) -> Clocks:
    """Clocks that change now and then, around a time."""
    changes = sorted({near + (draw.signed(32) >> draw.below(24)) for _ in range(draw.pick([0, 1, 1, 2, 6]))})
    offsets = [_offset(draw) for _ in range(len(changes) + 1)]
    return Clocks([*changes, draw.pick([2**63 - 1, 2**63 - 1, 2**64])], offsets, draw.pick([2**64, 2**31, 8 * _DAY]))


def _offset(draw: Draw) -> int:
    if draw.below(2):
        return draw.pick([0, 3600, 7200, -18000, 20700, 50400, -39600])
    return draw.pick([draw.below(2 * _DAY - 1) - _DAY + 1, _DAY - 1, 1 - _DAY, draw.below(200)])


class Absurd:
    """Clocks that no zone has, at least now and then."""

    def __init__(self, draw: Draw, clocks: Clocks) -> None:
        self._clocks = clocks
        self._draw = draw

    def __call__(self, at: int) -> Any:
        if self._draw.chance(2):
            return self._clocks(at)
        draw = self._draw
        told: Any = draw.pick(
            [(0, at), (0, at - 1), (_DAY, at + 9), (-_DAY, at + 9), (10**30, at + 9), (0, 10**30), (0, -(10**30)), None]
        )
        match draw.below(4):
            case 0:
                return told
            case 1:
                return draw.signed(64), draw.signed(64)
            case 2:
                return draw.pick([(0,), (1, 2, 3), ("", at + 1), (0.5, at + 1), (0, at + 1.5), (float("nan"), at + 1)])
            case _:
                raise Raised


def _after(draw: Draw) -> int:
    match draw.below(4):
        case 0 | 1:
            return draw.below(2**32)
        case 2:
            return _FIRST_DATE + draw.below(_LAST_DATE - _FIRST_DATE)
        case _:
            return draw.pick([_LAST, -_LAST, *EDGES[64]]) + draw.below(5) * draw.pick([-1, -_DAY, -_CYCLE])


def _check_due(draw: Draw, cron: Cron, fields: Fields) -> None:
    after = max(_after(draw), -(2**63))
    clocks = _clocks(draw, after + draw.below(200) - 100)
    rules = {"skip_gap": draw.chance(3), "repeat": draw.chance(3)}
    if draw.chance(8):
        with suppress(Raised, ValueError, TypeError):
            due = cron.due(Absurd(draw, clocks), after, **rules)
            assert due is None or after < due <= _LAST
        return
    due = cron.due(clocks, after, **rules)
    if due is None:
        assert not -_LAST <= after < _LAST - _CYCLE - 2**32, "it comes within 400 years"
        return
    assert after < due <= _LAST
    between = after + draw.below(min(due - after, 2**40))
    assert cron.due(clocks, between, **rules) == due, "asked again, it is another time"
    then = cron.due(clocks, due, **rules)
    assert then is None or then > due
    if after <= _FIRST_DATE or due >= _LAST_DATE + _CYCLE:
        return
    if len(clocks.offsets) == 1:
        _check_days(fields, after + clocks.offsets[0], due + clocks.offsets[0])
    else:
        _check_seconds(fields, clocks, after, due, **rules)


def _shown(local: int) -> datetime:
    return _EPOCH + timedelta(seconds=local)


def _check_days(fields: Fields, after: int, due: int) -> None:
    """By clocks that never change: the first time that is meant, day by day."""
    assert fields.means(_shown(due))
    begin, end = _shown(after), _shown(due)
    day = datetime(begin.year, begin.month, begin.day)
    for _ in range(_MOST_DAYS):
        if fields.means_day(day):
            for hour in sorted(fields.hours):
                for minute in sorted(fields.minutes):
                    for second in sorted(fields.seconds):
                        found = day.replace(hour=hour, minute=minute, second=second)
                        if found > begin:
                            assert found == end, f"it is due at {found} as well"
                            return
        day += timedelta(days=1)
        assert day <= end


def _check_seconds(fields: Fields, clocks: Clocks, after: int, due: int, skip_gap: bool, repeat: bool) -> None:
    """By any clocks: whether it is due, second by second, up to where it is."""
    highest = clocks.highest(after)
    for at in range(after + 1, min(due, after + _MOST_SECONDS) + 1):
        shown = at + clocks.offset(at)
        hit = fields.means(_shown(shown)) and ("hour" in fields.stars or repeat or shown > highest)
        if "hour" not in fields.stars and not skip_gap and not hit:
            if shown - highest > _MOST_SECONDS:
                # A gap that is longer than what can be looked at.
                return
            hit = any(fields.means(_shown(local)) for local in range(highest + 1, shown))
        assert hit == (at == due), f"whether it is due at {at}"
        highest = max(highest, shown)


def _check_interval(draw: Draw) -> None:
    anchor, period, after = (draw.signed(64) for _ in range(3))
    try:
        due = interval_due(anchor, period, after)
    except ValueError:
        assert period <= 0
        return
    expected = anchor + ((after - anchor) // period + 1) * period
    assert due == (expected if expected < 2**63 else None)


def _check_every(draw: Draw, cron: Cron) -> None:
    """Read once more by Python, and due by sums."""
    every, number, unit, *since = cron.text.lower().split()
    assert every == "@every"
    assert cron.period == int(number) * _UNITS[unit.removesuffix("s")]
    if since:
        word, at = since
        assert word == "since"
        moment = datetime.fromisoformat(at.upper())
        offset = moment.utcoffset()
        assert offset is not None
        assert cron.anchor == (moment.replace(tzinfo=None) - offset - _EPOCH) // timedelta(seconds=1)
    else:
        assert cron.anchor == 946_684_800
    told = sentence(cron)
    assert told.startswith("every ")
    assert told.isascii()
    copy = pickle.loads(pickle.dumps(cron))
    assert (copy, copy.period, copy.anchor) == (cron, cron.period, cron.anchor)
    after = max(_after(draw), -(2**63))
    due = cron.due(Absurd(draw, _clocks(draw, after)), after)
    expected = max(cron.anchor, cron.anchor + ((after - cron.anchor) // cron.period + 1) * cron.period)
    assert due == (expected if -_LAST <= after < _LAST and expected <= _LAST else None)
