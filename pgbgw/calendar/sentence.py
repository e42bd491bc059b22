"""A schedule in plain English, from the numbers of its fields and not from its text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pgbgw._core import Cron

__all__ = ["sentence"]

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = ("", "January", "February", "March", "April", "May", "June",
           "July", "August", "September", "October", "November", "December")  # fmt: skip
_NTH = ("last", "first", "second", "third", "fourth", "fifth")

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))

_EPOCH = datetime(1970, 1, 1)

# From where intervals count that tell no start: PGBGW_EVERY_ANCHOR, cron_text.h.
_ANCHOR = 946_684_800

# So many times of a day are named one by one.
_FEW = 6


def sentence(cron: Cron) -> str:
    """What a schedule means, such as "at 02:30 on Sunday in January"; it has no full stop."""
    if cron.period:
        return _interval(cron)
    days, months = _days(cron), _months(cron)
    parts = [_times(cron) or _frequency(cron), days, months]
    if _times(cron) and not days and not months:
        parts = ["every day", *parts]
    return " ".join(part for part in parts if part)


def _interval(cron: Cron) -> str:
    size, unit = next(each for each in _UNITS if cron.period % each[0] == 0)
    told = f"every {unit}" if cron.period == size else f"every {cron.period // size} {unit}s"
    if cron.anchor == _ANCHOR:
        return told
    return f"{told} since {(_EPOCH + timedelta(seconds=cron.anchor)).isoformat()}Z"


def _times(cron: Cron) -> str:
    """The times of a day, where they are few."""
    if len(cron.hours) == 24 or len(cron.seconds) * len(cron.minutes) * len(cron.hours) > _FEW:
        return ""
    clock = [(hour, minute, second) for hour in cron.hours for minute in cron.minutes for second in cron.seconds]
    return f"at {_list([_clock(*each, cron.with_seconds) for each in clock])}"


def _frequency(cron: Cron) -> str:
    """How often in which hours."""
    hours = cron.hours
    run = hours == tuple(range(hours[0], hours[-1] + 1))
    if len(cron.seconds) == len(cron.minutes) == 1:
        # once in each of these hours
        first = _clock(hours[0], cron.minutes[0], cron.seconds[0], cron.with_seconds)
        step = _step(hours, 24)
        if step:
            return f"every {step} hours from {first} on"
        if run and len(hours) < 24:
            return f"every hour from {first} to {_clock(hours[-1], *cron.minutes, *cron.seconds, cron.with_seconds)}"
    parts = [] if cron.seconds == (0,) else [_each("second", cron.seconds, 60)]
    if len(cron.minutes) < 60 or not parts or not parts[0].startswith("every"):
        parts.append(_each("minute", cron.minutes, 60))
    told = " of ".join(parts)
    if not told.startswith("every"):
        told = f"at {told}"
    if len(hours) == 24:
        return told if parts[-1].startswith("every") else f"{told} of every hour"
    if run:
        return f"{told} from {hours[0]:02}:00 to {hours[-1]:02}:59"
    return f"{told} of the hours {_list([f'{hour:02}' for hour in hours])}"


def _each(unit: str, numbers: Sequence[int], size: int) -> str:
    """As "every minute", "every 15 minutes" or "minutes 5 and 35"."""
    if len(numbers) == size:
        return f"every {unit}"
    step = _step(numbers, size)
    if step:
        return f"every {step} {unit}s"
    return f"{unit}{'s' if len(numbers) > 1 else ''} {_list(_named(numbers, [str(n) for n in range(size)]))}"


def _step(numbers: Sequence[int], size: int) -> int:
    """The step that gives these numbers from 0 on and divides the whole, or 0."""
    if len(numbers) < 2 or numbers[0] != 0:
        return 0
    step = numbers[1]
    return step if step > 1 and size % step == 0 and tuple(numbers) == tuple(range(0, size, step)) else 0


def _days(cron: Cron) -> str:
    by_day = _by_day(cron)
    by_weekday = _by_weekday(cron)
    all_days, all_weekdays = len(cron.days) == 31, len(cron.weekdays) == 7
    if not cron.any_day and not cron.any_weekday:
        # either of the two will do
        return "" if all_days or all_weekdays else f"{by_day}, and {by_weekday}"
    if all_days:
        return "" if all_weekdays else by_weekday
    return by_day if all_weekdays else f"{by_day}, if that is {by_weekday.removeprefix('on ')}"


def _by_day(cron: Cron) -> str:
    step = cron.days[1] - cron.days[0] if len(cron.days) > 2 else 0
    if step > 1 and cron.days == tuple(range(1, 32, step)) and not cron.last_days:
        return f"on every {_ordinal(step)} day of the month from the 1st on"
    told = _named(cron.days, [f"the {_ordinal(day)}" for day in range(32)])
    told += [f"the {_ordinal(n)} day before the last" if n else "the last day" for n in cron.last_days]
    return f"on {_list(told)} of the month"


def _by_weekday(cron: Cron) -> str:
    # a week begins on Monday here, so that Saturday and Sunday stand together
    told = _named(sorted((day - 1) % 7 for day in cron.weekdays), [*_WEEKDAYS[1:], _WEEKDAYS[0]])
    nth = [f"the {_NTH[which]} {_WEEKDAYS[day]}" for day, which in cron.nth]
    if nth:
        return f"on {_list([*told, *nth])} of the month"
    return f"on {_list(told)}"


def _months(cron: Cron) -> str:
    if len(cron.months) == 12:
        return ""
    step = _step([month - 1 for month in cron.months], 12)
    if step:
        return f"in every {_ordinal(step)} month from January on"
    return f"in {_list(_named(cron.months, _MONTHS))}"


def _named(numbers: Sequence[int], names: Sequence[str]) -> list[str]:
    """Each number by its name; three or more neighbours by the first and the last."""
    told: list[str] = []
    run: list[int] = []
    for number in [*numbers, None]:
        if run and number != run[-1] + 1:
            told += [f"{names[run[0]]} to {names[run[-1]]}"] if len(run) > 2 else [names[each] for each in run]
            run = []
        if number is not None:
            run.append(number)
    return told


def _clock(hour: int, minute: int, second: int, with_seconds: bool) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if with_seconds else "")


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number // 10 != 1 else "th"
    return f"{number}{ending}"


def _list(told: Sequence[str]) -> str:
    if len(told) < 2:
        return "".join(told)
    return f"{', '.join(told[:-1])} and {told[-1]}"
