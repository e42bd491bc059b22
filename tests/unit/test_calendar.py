"""Schedules one by one: what is refused and where, what clocks that change do, and what sentences say."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pgbgw._core import Cron, CronError
from pgbgw.calendar import Schedule, Zone, ZoneMissing
from pgbgw.cli.app import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "message", "wrong"),
    [
        ("75 * * * *", "out of range", "75"),
        ("* 24 * * *", "out of range", "24"),
        ("* * 0 * *", "out of range", "0"),
        ("* * * 13 *", "out of range", "13"),
        ("* * * * 8", "out of range", "8"),
        ("99999999999999999999 * * * *", "out of range", "99999999999999999999"),
        ("60 * * * * *", "out of range", "60"),
        ("a * * * *", "no such name", "a"),
        ("* * * foo *", "no such name", "foo"),
        ("* * * * tuesday", "a name is three letters", "s"),
        ("5/15 * * * *", "a step without a range", "5/15"),
        ("*/0 * * * *", "a step is a number from 1 on", "0"),
        ("*/ * * * *", "a step is a number from 1 on", ""),
        ("*/90 * * * *", "a step that is longer than the field", "90"),
        ("* 22-6 * * *", "a range that ends before it begins", "22-6"),
        ("* * * * fri-mon", "a range that ends before it begins", "fri-mon"),
        ("1- * * * *", "a number is missing", ""),
        ("1,,2 * * * *", "a number is missing", ","),
        ("1, * * * *", "a number is missing", ""),
        ("-1 * * * *", "not a number", "-"),
        ("* * ? * *", "not a number", "?"),
        ("1x * * * *", "unexpected here", "x"),
        ("*1 * * * *", "unexpected here", "1"),
        ("* * * * tue#6", "not a week of the month", "#6"),
        ("* * * * tue#", "not a week of the month", "#"),
        ("* * * * tue#11", "not a week of the month", "#11"),
        ("* * * * L", "the last of which day?", "L"),
        ("* * * * 5-7L", "unexpected here", "L"),
        ("* * L-31 * *", "not a day before the last", "L-31"),
        ("* * L- * *", "not a day before the last", "L-"),
        ("* * LW * *", "unexpected here", "W"),
        ("@fortnightly", "no such name", "@fortnightly"),
        ("@reboot", "a start of the machine is no time", "@reboot"),
        ("@daily *", "unexpected here", "*"),
        ("@every", "a number is missing", ""),
        ("@every,7 minutes", "not a number", ",7"),
        ("@every minute", "not a number", "minute"),
        ("@every 7m", "not a number", "7m"),
        ("@every 7", "a unit is missing", ""),
        ("@every 7 weeks", "no such unit", "weeks"),
        ("@every 7 minutess", "no such unit", "minutess"),
        ("@every 7 hour\x00", "a zero byte", "\x00"),
        ("@every 0 seconds", "out of range", "0 seconds"),
        ("@every 36526  days", "out of range", "36526  days"),
        ("@every 99999999999999999999 seconds", "out of range", "99999999999999999999 seconds"),
        ("@every 7 minutes from 2026-01-01T00:00:00Z", "unexpected here", "from"),
        ("@every 7 minutes since", "a time is missing", ""),
        ("@every 7 minutes since now", "not a time", "now"),
        ("@every 7 minutes since 2026-01-01", "not a time", "2026-01-01"),
        ("@every 7 minutes since 2026-01-01T00:00", "not a time", "2026-01-01T00:00"),
        ("@every 7 minutes since 2026-02-29T00:00Z", "not a time", "2026-02-29T00:00Z"),
        ("@every 7 minutes since 2026-01-01T24:00Z", "not a time", "2026-01-01T24:00Z"),
        ("@every 7 minutes since 2026-01-01T00:00:60Z", "not a time", "2026-01-01T00:00:60Z"),
        ("@every 7 minutes since 2026-01-01T00:00:00.5Z", "not a time", "2026-01-01T00:00:00.5Z"),
        ("@every 7 minutes since 2026-01-01T00:00+0200", "not a time", "2026-01-01T00:00+0200"),
        ("@every 7 minutes since 0001-01-01T00:00Z", "not a time", "0001-01-01T00:00Z"),
        ("@every 7 minutes since 2026-01-01T00:00Z on", "unexpected here", "on"),
        ("* * * *", "less than five fields", ""),
        ("", "less than five fields", ""),
        ("* * * * * * *", "more than six fields", "*"),
        ("* * 30 2 *", "a day that never comes", "* * 30 2 *"),
        ("* * 31 apr,jun *", "a day that never comes", "* * 31 apr,jun *"),
        ("* * * *\n* *", "unexpected here", "\n"),
        ("* * \0 * *", "a zero byte", "\0"),
        ("é * * * *", "not a number", "é"),
        ("* é * * *", "not a number", "é"),
    ],
)
def test_what_is_refused_and_where(text: str, message: str, wrong: str) -> None:
    with pytest.raises(CronError) as caught:
        Cron(text)
    error = caught.value
    assert (error.message, text[error.at : error.at + error.length]) == (message, wrong)
    assert str(error) == (f"{message}: {wrong}" if wrong else message)
    assert error.hint
    again = pickle.loads(pickle.dumps(error))
    assert (again.text, again.at, again.length, again.hint) == (text, error.at, error.length, error.hint)


def test_a_fault_behind_characters_of_more_bytes_is_counted_in_characters() -> None:
    with pytest.raises(CronError) as caught:
        Cron("\t* *  \N{SNOWMAN} * *")
    assert (caught.value.at, caught.value.length) == (6, 1)


def test_what_a_schedule_consists_of() -> None:
    cron = Cron("*/20 5 1-3,L JAN-mar/2 Fri-Sun,tue#2,monL")
    assert cron.seconds == (0,)
    assert cron.minutes == (0, 20, 40)
    assert cron.hours == (5,)
    assert cron.days == (1, 2, 3)
    assert cron.last_days == (0,)
    assert cron.months == (1, 3)
    assert cron.weekdays == (0, 5, 6)
    assert cron.nth == ((1, 0), (2, 2))
    assert not any((cron.any_hour, cron.any_day, cron.any_weekday, cron.with_seconds))
    assert Cron("1 2 */2 * *").any_day
    assert Cron("1 2 */2 * *").any_weekday
    assert Cron("1 */2 * * *").any_hour
    assert Cron("1 2 3 4 5 6").with_seconds
    assert Cron(" @Weekly\t").weekdays == (0,)
    assert pickle.loads(pickle.dumps(cron)) == cron
    assert cron != Cron("@daily")
    assert cron != "@daily"
    with pytest.raises(TypeError, match="immutable"):
        cron.__init__("@daily")


@pytest.mark.parametrize(
    ("text", "period", "anchor"),
    [
        ("@every 7 minutes", 420, "2000-01-01T00:00Z"),
        (" @EVERY\t1  Day ", 86_400, "2000-01-01T00:00Z"),
        ("@every 90 seconds since 2026-01-01T00:00:30Z", 90, "2026-01-01T00:00:30Z"),
        ("@every 2 hour Since 2024-02-29t12:00z", 7200, "2024-02-29T12:00Z"),
        ("@every 1 hours since 2026-01-01T02:30+05:45 ", 3600, "2025-12-31T20:45Z"),
        ("@every 36525 days since 1969-12-31T23:59:59-01:00", 36525 * 86_400, "1970-01-01T00:59:59Z"),
    ],
)
def test_intervals(text: str, period: int, anchor: str) -> None:
    cron = Cron(text)
    at = int(datetime.fromisoformat(anchor).timestamp())
    assert (cron.period, cron.anchor) == (period, at)
    assert not any((cron.seconds, cron.hours, cron.days, cron.weekdays, cron.any_hour, cron.with_seconds))

    def no_clocks(_: int) -> tuple[int, int]:
        raise AssertionError("an interval goes by no clocks")

    # nothing before its start, which is the first time
    assert cron.due(no_clocks, at - 10**9) == at
    assert cron.due(no_clocks, at - 1) == at
    assert cron.due(no_clocks, at) == at + period
    assert cron.due(no_clocks, at + 3 * period - 1) == at + 3 * period
    assert pickle.loads(pickle.dumps(cron)).period == period


def test_an_interval_by_the_clocks_of_a_zone() -> None:
    """They only show it: it is as long when they change."""
    found = _next("@every 12 hours since 2026-03-28T02:00+01:00", "Europe/Paris", "2026-03-28T00:00Z", 4)
    assert found == ["03-28 02:00 +0100", "03-28 14:00 +0100", "03-29 03:00 +0200", "03-29 15:00 +0200"]


def _next(expression: str, zone: str, after: str, count: int = 1, **rules: str) -> list[str]:
    schedule = Schedule(expression, zone, **rules)  # type: ignore[arg-type]
    found = islice(schedule.upcoming(datetime.fromisoformat(after)), count)
    return [each.strftime("%m-%d %H:%M %z") for each in found]


def test_a_time_that_clocks_leave_out_is_due_right_after_the_gap() -> None:
    after = "2026-03-28T12:00+01:00"
    assert _next("30 2 * * *", "Europe/Paris", after, 2) == ["03-29 03:00 +0200", "03-30 02:30 +0200"]
    assert _next("30 2 * * *", "Europe/Paris", after, gap="skip") == ["03-30 02:30 +0200"]
    # all that is left out is made up for by one run
    assert _next("*/10 2,4 * * *", "Europe/Paris", after, 2) == ["03-29 03:00 +0200", "03-29 04:00 +0200"]
    # what is due at the end of the gap in any case is due once
    assert _next("30 2,3 * * *", "Europe/Paris", after, 2) == ["03-29 03:00 +0200", "03-29 03:30 +0200"]
    assert _next("0 2,3 * * *", "Europe/Paris", after, 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]


def test_a_time_that_clocks_show_twice_is_due_the_first_time() -> None:
    after = "2026-10-24T12:00+02:00"
    assert _next("30 2 * * *", "Europe/Paris", after, 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]
    both = _next("30 2 * * *", "Europe/Paris", after, 3, repeated="both")
    assert both == ["10-25 02:30 +0200", "10-25 02:30 +0100", "10-26 02:30 +0100"]
    # from between the two, where the first has passed
    assert _next("30 2 * * *", "Europe/Paris", "2026-10-25T02:45+02:00") == ["10-26 02:30 +0100"]


def test_wildcard_hours_follow_the_clocks() -> None:
    autumn = _next("*/30 * * * *", "Europe/Paris", "2026-10-25T01:45+02:00", 5)
    assert autumn == [f"10-25 {each}" for each in
                      ("02:00 +0200", "02:30 +0200", "02:00 +0100", "02:30 +0100", "03:00 +0100")]  # fmt: skip
    spring = _next("0 */2 * * *", "Europe/Paris", "2026-03-29T00:30+01:00", 2)
    assert spring == ["03-29 04:00 +0200", "03-29 06:00 +0200"]


def test_the_day_that_samoa_left_out() -> None:
    """There was no 30 December 2011: what was fixed to it is due as the 31st begins, once."""
    after = "2011-12-29T12:00-10:00"
    assert _next("0 12 30 * *", "Pacific/Apia", after) == ["12-31 00:00 +1400"]
    assert _next("0 9 * * *", "Pacific/Apia", after, 2) == ["12-31 00:00 +1400", "12-31 09:00 +1400"]
    assert _next("0 12 30 * *", "Pacific/Apia", after, gap="skip") == ["01-30 12:00 +1400"]
    assert _next("0 * 30 * *", "Pacific/Apia", after) == ["01-30 00:00 +1400"]


def test_half_an_hour_on_lord_howe() -> None:
    assert _next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30") == ["10-04 02:30 +1100"]
    assert _next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00+11:00", 2) == [
        "04-05 01:45 +1100",
        "04-06 01:45 +1030",
    ]


def test_days_of_the_month_and_of_the_week() -> None:
    assert _next("0 0 13 * fri", "UTC", "2026-02-01T00:00Z", 3) == [f"02-{day} 00:00 +0000" for day in ("06", 13, 20)]
    # a field that begins with an asterisk leaves it to the other
    assert _next("0 0 */2 * sun", "UTC", "2026-02-01T00:00Z", 2) == ["02-15 00:00 +0000", "03-01 00:00 +0000"]
    assert _next("0 0 29 2 *", "UTC", "2096-03-01T00:00Z") == ["02-29 00:00 +0000"]
    assert Schedule("0 0 29 2 mon").next(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 2, 2, tzinfo=UTC)


def test_the_ends_of_time() -> None:
    assert Schedule("@yearly").next(datetime(9999, 6, 1, tzinfo=UTC)) is None
    tokyo = Schedule("0 0 * * *", "Asia/Tokyo").next(datetime(1, 1, 1, tzinfo=UTC))
    assert tokyo is not None
    assert tokyo.year == 1
    assert Schedule("@daily").next_second(2**62) is None
    with pytest.raises(ValueError, match="has no time zone"):
        Schedule("@daily").next(datetime(2026, 1, 1))
    with pytest.raises(OverflowError):
        Schedule("@daily").next_second(2**63)


def test_what_a_zone_raises_comes_through_and_one_that_stands_still_is_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        Cron("@daily").due(lambda at: (at // 0, 0), 0)
    for end in (0, -(10**30)):
        with pytest.raises(ValueError, match="which is not later"):
            Cron("@daily").due(lambda at, end=end: (0, at + end), 0)  # type: ignore[misc]
    for offset in (86_400, -86_400, 2**63 - 1, 10**30):
        with pytest.raises(ValueError, match="which is a day or more"):
            Cron("@daily").due(lambda at, offset=offset: (offset, at + 1), 0)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Cron("@daily").due(lambda at: None, 0)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("end", [2**63 - 1, 10**30])
@pytest.mark.parametrize(("expression", "hours"), [("0 12 * * *", 11), ("0 * * * *", 1)])
def test_clocks_may_never_change_again(expression: str, hours: int, end: int) -> None:
    asked = []

    def offset_at(at: int) -> tuple[int, int]:
        asked.append(at)
        return 3600, end

    assert Cron(expression).due(offset_at, 0) == hours * 3600
    assert len(asked) < 4


def test_nothing_is_due_after_the_last_timestamp() -> None:
    """Nor a local time before the end that clocks behind UTC show after it."""
    last = 9224318016000  # 294277-01-01, PGBGW_LAST_TIME
    assert Cron("30 23 * * *").due(lambda at: (-3600, at + 10**9), last - 1800) is None
    assert Cron("30 22 * * *").due(lambda at: (-3600, at + 10**9), last - 3600) == last - 1800


def test_a_place_is_inside_of_its_text() -> None:
    """A lone surrogate is one character, of three bytes that are none in UTF-8."""
    for text, at, length in (
        ("* * * * * * \udc80", 12, 1),
        ("\ud800 * * * *", 0, 1),
        ("@\udc80ä€", 0, 4),
        ("* * * * * * ä\udc80", 12, 2),
    ):
        with pytest.raises(CronError) as caught:
            Cron(text)
        assert (caught.value.at, caught.value.length) == (at, length)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/paris", "Write Europe/Paris."),
        ("Paris", "Write Europe/Paris."),
        ("new york", "Write America/New_York."),
        ("Europ/Paris", "There are Europe/Paris"),
        ("../etc/passwd", "Names are those of the tz database"),
        ("", "Names are those of the tz database"),
        ("a\0b", "Names are those of the tz database"),
    ],
)
def test_zones_that_are_missing(name: str, hint: str) -> None:
    with pytest.raises(ZoneMissing) as caught:
        Zone(name)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("17 * * * *", "at minute 17 of every hour"),
        ("@hourly", "at minute 0 of every hour"),
        ("0 */2 * * *", "every 2 hours from 00:00 on"),
        ("30 2 * * *", "every day at 02:30"),
        ("0 1,2,3 * * *", "every day at 01:00, 02:00 and 03:00"),
        ("0 9-17 * * mon-fri", "every hour from 09:00 to 17:00 on Monday to Friday"),
        ("5,35 8-18 * jan-mar 1-5",
         "at minutes 5 and 35 from 08:00 to 18:59 on Monday to Friday in January to March"),
        ("*/7 3 * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 from 03:00 to 03:59"),
        ("*/20 1,5,9 * * *", "every 20 minutes of the hours 01, 05 and 09"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("30 * * * * *", "at second 30 of every minute"),
        ("30 */5 * * * *", "at second 30 of every 5 minutes"),
        ("15 30 2 * * *", "every day at 02:30:15"),
        ("5 4 * * sat-sun", "at 04:05 on Saturday and Sunday"),
        ("@weekly", "at 00:00 on Sunday"),
        ("0 0 1,15 * *", "at 00:00 on the 1st and the 15th of the month"),
        ("0 0 2,3,11-13,21,22 * *", "at 00:00 on the 2nd, the 3rd, the 11th to the 13th, the 21st and the 22nd "
         "of the month"),
        ("0 0 */3 * *", "at 00:00 on every 3rd day of the month from the 1st on"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        ("0 0 L-2 * *", "at 00:00 on the 2nd day before the last of the month"),
        ("0 8 * * tue#2,friL", "at 08:00 on the second Tuesday and the last Friday of the month"),
        ("0 0 13 * fri", "at 00:00 on the 13th of the month, and on Friday"),
        ("0 0 */2 * sun", "at 00:00 on every 2nd day of the month from the 1st on, if that is Sunday"),
        ("0 12 * 1,4,7,10 *", "at 12:00 in every 3rd month from January on"),
        ("@yearly", "at 00:00 on the 1st of the month in January"),
        ("0 0 1-31 * fri", "every day at 00:00"),
        ("@every 420 seconds", "every 7 minutes"),
        ("@every 1 hours", "every hour"),
        ("@every 2 days since 2026-01-01T00:00+01:00", "every 2 days since 2025-12-31T23:00:00Z"),
    ],
)  # fmt: skip
def test_sentences(expression: str, told: str) -> None:
    assert Schedule(expression).sentence() == told


def _run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["schedule", *args])


def test_the_verb_prints_one_time_a_line() -> None:
    result = _run("30 2 * * *", "--time-zone", "Europe/Paris", "--from", "2027-03-27", "-n", "3")
    assert result.exit_code == 0
    assert result.stdout == "2027-03-27T02:30:00+01:00\n2027-03-28T03:00:00+02:00\n2027-03-29T02:30:00+02:00\n"
    assert result.stderr == "every day at 02:30, Europe/Paris\n"
    skipping = _run("30 2 * * *", "--time-zone", "Europe/Paris", "--from", "2027-03-28", "-n", "1", "--gap", "skip")
    assert skipping.stdout == "2027-03-29T02:30:00+02:00\n"


def test_the_verb_speaks_json() -> None:
    result = _run("@daily", "--from", "2027-01-01T12:00+01:00", "-n", "2", "--json")
    assert json.loads(result.stdout) == {
        "expression": "@daily",
        "time_zone": "UTC",
        "gap": "after",
        "repeated": "first",
        "not_before": None,
        "not_after": None,
        "sentence": "every day at 00:00",
        "due": ["2027-01-02T00:00:00+00:00", "2027-01-03T00:00:00+00:00"],
    }


def test_the_verb_shows_what_is_declared(tmp_path: Path) -> None:
    file = tmp_path / "rota.py"
    file.write_text(
        "from pgbgw import Extension, minutes, sql\n"
        'rota = Extension("rota", database="postgres")\n'
        'rota.cron_worker("report", "30 2 * * *", time_zone="Europe/Paris", gap="skip", run=sql("SELECT 1"))\n'
        'rota.cron_worker("tidy", "@weekly", run=sql("SELECT 1"))\n'
        'rota.cron_worker("beat", every=minutes(7), since="2026-01-01T01:00+01:00", run=sql("SELECT 1"))\n'
        'rota.cron_worker("late", "@daily", time_zone="Europe/Paris", not_before="2027-04-01T00:00+02:00",\n'
        '                 not_after="2027-04-02T02:00Z", jitter=minutes(5), run=sql("SELECT 1"))\n'
    )
    result = _run(str(file), "--from", "2027-03-28", "-n", "1")
    assert result.stdout == (
        "report: every day at 02:30, Europe/Paris (30 2 * * *)\n  2027-03-29T02:30:00+02:00\n"
        "tidy: at 00:00 on Sunday, UTC (@weekly)\n  2027-04-04T00:00:00+00:00\n"
        "beat: every 7 minutes since 2026-01-01T00:00:00Z, UTC (@every 7 minutes since 2026-01-01T00:00:00Z)\n"
        "  2027-03-28T00:06:00+00:00\n"
        "late: every day at 00:00, Europe/Paris (@daily), not before 2027-04-01T00:00:00+02:00,"
        " not after 2027-04-02T04:00:00+02:00, beginning up to 5 min later\n  2027-04-01T00:00:00+02:00\n"
    )
    # at either end, and no more
    late = json.loads(_run(str(file), "--from", "2027-03-28", "--json").stdout)[3]
    assert late["due"] == ["2027-04-01T00:00:00+02:00", "2027-04-02T00:00:00+02:00"]
    told = json.loads(_run(str(file), "--from", "2027-03-28", "-n", "1", "--json").stdout)
    assert [(each["worker"], each["gap"]) for each in told] == [
        ("report", "skip"),
        ("tidy", "after"),
        ("beat", "after"),
        ("late", "after"),
    ]
    assert _run(str(file), "--gap", "skip").exit_code == 2
    file.write_text(file.read_text().replace("@weekly", "@fortnightly"))
    broken = _run(str(file))
    assert broken.exit_code == 1
    assert "BGW416" in broken.stderr
    file.write_text('from pgbgw import Extension\nrota = Extension("rota")\n')
    assert "no worker runs by the calendar" in _run(str(file)).stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["0 25 * * *"], "Error: not a schedule: out of range\n  0 25 * * *\n    ^^\nAn hour is from 0 to 23.\n"),
        (["0 2 * *"], "less than five fields\n  0 2 * *\n         ^\nThey are"),
        (["0\x1b * * * *"], "\n  0\N{REPLACEMENT CHARACTER} * * * *\n   ^\n"),
        (["@daily", "--time-zone", "paris"], '--time-zone: there is no time zone "paris"\nWrite Europe/Paris.\n'),
        (["@daily", "--from", "soon"], "--from is not a time in ISO 8601: soon\n"),
    ],
)
def test_the_verb_marks_what_is_wrong(args: list[str], told: str) -> None:
    result = _run(*args)
    assert result.exit_code == 2
    assert told in result.stderr


def test_the_headers_need_stdint_alone(tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text('#include "cron_parse.h"\n#include "calendar.h"\n')
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only",
               f"-I{ROOT / 'c_templates/static'}", str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    included = {line for path in ("cron.h", "cron_text.h", "cron_parse.h", "calendar.h")
                for line in (ROOT / "c_templates/static" / path).read_text().splitlines()
                if line.startswith("#include")}  # fmt: skip
    assert included == {"#include <stdint.h>", '#include "cron.h"', '#include "cron_text.h"'}


def test_the_package_needs_the_core_alone() -> None:
    """A schedule can be looked at without the drivers and the templates."""
    code = "import sys, pgbgw.calendar; print(sorted({'psycopg', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
