"""Random schedules in every time zone against an oracle that walks through time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import cache
from itertools import pairwise
from math import gcd
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from pgbgw._core import Cron, CronError, interval_due
from pgbgw.calendar import Schedule, Zone, sentence
from tests.clocks import Fields, changes, due

_DAY = 86_400
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905
_WEEKDAYS = "sun mon tue wed thu fri sat".split()  # noqa: SIM905


def _seconds(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


_BEGIN, _END = _seconds(1970), _seconds(2100)

# 28 years have each date on each day of the week.
_DAYS = [datetime.combine(date.fromordinal(day), time())
         for day in range(date(2000, 1, 1).toordinal(), date(2028, 1, 1).toordinal())]  # fmt: skip

# Taken where another zone leaves its clocks alone in a year.
_CHANGING = "America/New_York"

zones = st.sampled_from(sorted(available_timezones()))


@cache
def _changes(name: str, year: int) -> list[int]:
    return changes(ZoneInfo(name), _seconds(year), _seconds(year + 1))


@st.composite
def numbers(draw: st.DrawFn, least: int, most: int, names: list[str] | None = None) -> tuple[str, frozenset[int]]:
    """A field without its specialities, and what it means."""

    def spelt(number: int) -> str:
        named = names is not None and draw(st.booleans())
        word = (
            names[(number - least) % len(names)]
            if names is not None and named
            else f"{number:0{draw(st.integers(1, 3))}}"
        )
        return draw(st.sampled_from([word, word.upper(), word.capitalize()]))

    texts, found = [], set()
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["one", "one", "range", "star"]))
        step = draw(st.integers(1, most - least + 1)) if draw(st.booleans()) else None
        if kind == "one":
            number = draw(st.integers(least, most))
            texts.append(spelt(number))
            found.add(number)
            continue
        low, high = sorted((draw(st.integers(least, most)), draw(st.integers(least, most))))
        if kind == "star":
            low, high = least, most
        told = "*" if kind == "star" else f"{spelt(low)}-{spelt(high)}"
        # a Sunday that is named begins the week, so a range to it would be another one
        if names is _WEEKDAYS and kind == "range":
            told = f"{low}-{high}"
        texts.append(told + (f"/{step}" if step is not None else ""))
        top = 6 if names is _WEEKDAYS and kind == "star" else high
        found |= set(range(low, top + 1, step or 1))
    return ",".join(texts), frozenset(found)


@st.composite
def schedules(draw: st.DrawFn, with_seconds: bool = False) -> Fields:
    """A schedule with everything that its grammar has."""
    second, seconds = draw(numbers(0, 59)) if with_seconds else ("", frozenset({0}))
    minute, minutes = draw(numbers(0, 59))
    hour, hours = draw(numbers(0, 23))
    day, days = draw(st.just(("*", frozenset(range(1, 32)))) | numbers(1, 31))
    month, months = draw(st.just(("*", frozenset(range(1, 13)))) | numbers(1, 12, _MONTHS))
    weekday, weekdays = draw(st.just(("*", frozenset(range(7)))) | numbers(0, 7, _WEEKDAYS))
    weekdays = frozenset(each % 7 for each in weekdays)
    last_days: set[int] = set()
    nth: set[tuple[int, int]] = set()
    if draw(st.integers(0, 3)) == 0:
        before = draw(st.integers(0, 30))
        told = draw(st.sampled_from("lL")) + (f"-{before}" if before or draw(st.booleans()) else "")
        day, days = draw(st.sampled_from([(told, frozenset()), (f"{day},{told}", days)]))
        last_days.add(before)
    if draw(st.integers(0, 3)) == 0:
        which, on = draw(st.integers(0, 5)), draw(st.integers(0, 6))
        told = draw(st.sampled_from([str(on), _WEEKDAYS[on]])) + (f"#{which}" if which else "L")
        weekday, weekdays = draw(st.sampled_from([(told, frozenset()), (f"{weekday},{told}", weekdays)]))
        nth.add((on, which))
    stars = {"hour": hour, "day": day, "weekday": weekday}
    blank = draw(st.sampled_from([" ", "  ", "\t"]))
    return Fields(
        blank.join(part for part in (second, minute, hour, day, month, weekday) if part),
        minutes, hours, days, frozenset(last_days), months, weekdays, frozenset(nth), seconds,
        frozenset(name for name, text in stars.items() if text.startswith("*")),
    )  # fmt: skip


def _all_due(schedule: Schedule, begin: int, end: int) -> list[int]:
    found = []
    at = schedule.next_second(begin)
    while at is not None and at <= end:
        found.append(at)
        at = schedule.next_second(at)
    return found


def _schedule(fields: Fields, zone: str, skip_gap: bool, both: bool) -> Schedule:
    """The schedule of the fields; where it names no day that comes it is refused, and the example is done."""
    comes = any(fields.means_day(day) for day in _DAYS)
    try:
        schedule = Schedule(
            fields.text, zone, gap="skip" if skip_gap else "after", repeated="both" if both else "first"
        )
    except CronError as error:
        if comes or error.message != "a day that never comes":
            raise
        reject()
    assert comes
    return schedule


def _compare(fields: Fields, zone: str, begin: int, days: float, step: int, skip_gap: bool, both: bool) -> bool:
    """Whether offsets are such that the oracle can walk through time; where it can, the schedule must agree."""
    end = begin + int(days * _DAY)
    offsets = {int(offset.total_seconds()) for at in range(begin - 2 * _DAY, end, 3600)
               if (offset := datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset()) is not None}  # fmt: skip
    step = gcd(step, *offsets)
    if step < 10:
        return False
    expected = due(fields, ZoneInfo(zone), begin, end, step=step, skip_gap=skip_gap, both=both)
    begin -= begin % step
    assert _all_due(_schedule(fields, zone, skip_gap, both), begin, end) == expected
    return True


@given(schedules(), zones, st.integers(_BEGIN, _END), st.booleans(), st.booleans())
def test_any_time(fields: Fields, zone: str, begin: int, skip_gap: bool, both: bool) -> None:
    assume(_compare(fields, zone, begin, 2, 60, skip_gap, both))


@given(schedules(), zones, st.integers(1970, 2099), st.integers(0, 9), st.booleans(), st.booleans())
@example(Fields("30 2 * * *", frozenset({30}), frozenset({2}), stars=frozenset({"day", "weekday"})),
         "Europe/Paris", 2026, 0, False, False)  # fmt: skip
@example(Fields("0 12 30 * *", frozenset({0}), frozenset({12}), frozenset({30}), stars=frozenset({"weekday"})),
         "Pacific/Apia", 2011, 2, False, False)  # fmt: skip
def test_around_changes_of_clocks(fields: Fields, zone: str, year: int, which: int, skip_gap: bool, both: bool) -> None:
    if not _changes(zone, year):
        zone = _CHANGING
    at = _changes(zone, year)
    change = at[which % len(at)]
    assume(_compare(fields, zone, change - _DAY - 600, 2.5, 60, skip_gap, both))


@settings(max_examples=max(10, settings().max_examples // 4))
@given(schedules(with_seconds=True), zones, st.integers(1970, 2099), st.integers(0, 9), st.integers(-7, 7))
def test_seconds(fields: Fields, zone: str, year: int, which: int, hours: int) -> None:
    """At the steps that the oracle takes: a schedule whose seconds are multiples of ten."""
    fields = Fields(
        "*/10 " + fields.text.split(maxsplit=1)[1], fields.minutes, fields.hours, fields.days, fields.last_days,
        fields.months, fields.weekdays, fields.nth, frozenset(range(0, 60, 10)), fields.stars,
    )  # fmt: skip
    at = _changes(zone, year) or [_seconds(year)]
    assume(_compare(fields, zone, at[which % len(at)] + hours * 1800, 0.2, 10, False, False))


@given(schedules(with_seconds=True), st.integers(_BEGIN, _END))
def test_every_second_by_the_numbers(fields: Fields, begin: int) -> None:
    """Without a zone each second of a minute can be looked at."""
    schedule = _schedule(fields, "UTC", False, False)
    at = schedule.next_second(begin)
    assert at is not None
    assert at > begin
    assert fields.means(datetime.fromtimestamp(at, UTC))
    for second in range(max(begin + 1, at - 3 * 3600), at):
        assert not fields.means(datetime.fromtimestamp(second, UTC))


@given(schedules(), st.integers(_BEGIN, _seconds(2400)))
def test_the_next_day_is_never_passed_over(fields: Fields, begin: int) -> None:
    """Days that are rare, such as 29 February on a Monday: all days up to the one that was found."""
    schedule = _schedule(fields, "UTC", False, False)
    at = schedule.next_second(begin)
    assert at is not None
    for day in range(begin // _DAY + 1, at // _DAY):
        assert not fields.means_day(datetime.fromtimestamp(day * _DAY, UTC))


@given(schedules(), zones)
def test_sentences(fields: Fields, zone: str) -> None:
    told = sentence(_schedule(fields, zone, False, False).cron)
    assert told == told.strip()
    assert "  " not in told


@given(zones, st.integers(_BEGIN, _END))
def test_offsets(name: str, at: int) -> None:
    zone = Zone(name)
    offset, until = zone.offset_at(at)
    assert until > at
    for moment in (at, until - 1, (at + until) // 2):
        shown = datetime.fromtimestamp(moment, ZoneInfo(name)).utcoffset()
        assert shown is not None
        assert shown.total_seconds() == offset


@given(st.text(st.sampled_from("0123456789*/-,#lLjanfebsumotwehri@dlyk? \t~é\0"), max_size=60) | st.text())
def test_no_text_is_too_strange(text: str) -> None:
    found: Cron | CronError
    try:
        found = Cron(text)
    except CronError as error:
        found = error
    if isinstance(found, CronError):
        assert 0 <= found.at <= found.at + found.length <= len(text)
        assert found.hint.endswith(".")
        assert not found.message.endswith(".")
    else:
        assert found.due(lambda at: (0, at + _DAY), 0) is not None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
@example(-(2**63), 2**63 - 1, 2**63 - 1)
@example(2**63 - 1, 2**63 - 1, -(2**63))
@example(0, 1, 2**63 - 1)
def test_intervals(anchor: int, period: int, after: int) -> None:
    expected = anchor + ((after - anchor) // period + 1) * period
    assert interval_due(anchor, period, after) == (expected if expected < 2**63 else None)


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": _DAY}


@given(
    st.integers(1, 36525),
    st.sampled_from(sorted(_UNITS)),
    st.none() | st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1), timezones=st.timezones(no_cache=True)),
    zones,
    st.integers(_BEGIN, _END),
)
def test_intervals_as_texts(number: int, unit: str, since: datetime | None, zone: str, after: int) -> None:
    """Read again as what was written, and due by sums, whatever the clocks of the zone do."""
    text = f"@every {number} {unit}s"
    anchor = _seconds(2000)
    if since is not None:
        offset = since.utcoffset()
        # old clocks were ahead by seconds as well
        assume(offset is not None and offset.total_seconds() % 60 == 0)
        since = since.replace(microsecond=0)
        text += f" since {since.isoformat()}"
        anchor = int(since.timestamp())
    cron = Cron(text)
    period = number * _UNITS[unit]
    assert (cron.period, cron.anchor) == (period, anchor)
    times = _all_due(Schedule(text, zone), after, after + 3 * period)
    assert all(at > after and at >= anchor and (at - anchor) % period == 0 for at in times)
    assert len(times) == len(
        range(max(anchor, after + 1 + (anchor - after - 1) % period), after + 3 * period + 1, period)
    )


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", sorted(available_timezones()))
def test_every_change_of_every_zone(name: str) -> None:
    """Both directions of every change, with a schedule of each kind; where the years are alike one will do from 2040
    on. Where Ramadan counts they are not.
    """
    years = {year: _changes(name, year) for year in range(1970, 2101)}
    alike = len({len(years[year]) for year in range(2040, 2101)}) == 1
    at = [change for year, changes in years.items() if year < 2040 or year == 2099 or not alike for change in changes]
    every = frozenset({"day", "weekday"})
    kinds = [
        Fields("*/30 * * * *", frozenset({0, 30}), stars=every | {"hour"}),
        Fields("30 0-4 * * *", frozenset({30}), frozenset(range(5)), stars=every),
        Fields("0 0,1,2,3,23 * * *", frozenset({0}), frozenset({0, 1, 2, 3, 23}), stars=every),
    ]
    for change in at:
        for fields in kinds:
            for skip_gap, both in ((False, False), (True, True)):
                assert _compare(fields, name, change - 3 * 3600, 0.3, 60, skip_gap, both)


@settings(max_examples=5)
@given(zones)
def test_changes_are_days_apart(name: str) -> None:
    """What Zone relies on when it looks once a day."""
    at = [change for year in range(1970, 2101) for change in _changes(name, year)]
    assert all(later - earlier > 2 * _DAY for earlier, later in pairwise(at))
