"""Schedules by a clock that the tests set: steps of the clock, nights on which clocks change, a server that is down.

Here PostgreSQL itself is told another time, so that nothing of what it does with time is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.clocks import Fields, due
from tests.server.clocked import Clock, clocked
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
HOURLY = ("once", "skip", "three")
PARIS = ZoneInfo("Europe/Paris")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOON = datetime(2027, 6, 1, 12, 5, tzinfo=UTC)

# What the schedules of the nights mean, for the oracle: their fields, and whether gap="skip" and repeated="both".
NIGHTS = {
    "fixed": (Fields("", minutes=frozenset({30}), hours=frozenset({2})), False, False),
    "leaving": (Fields("", minutes=frozenset({30}), hours=frozenset({2})), True, False),
    "both": (Fields("", minutes=frozenset({30}), hours=frozenset({2})), False, True),
    "quarters": (Fields("", minutes=frozenset(range(0, 60, 15)), stars=frozenset({"hour"})), False, False),
    "several": (Fields("", minutes=frozenset(range(0, 60, 10)), hours=frozenset({2})), False, False),
}


@pytest.fixture(scope="module")
def served(pg: Pg) -> Iterator[tuple[Server, Clock]]:
    settings = {"max_worker_processes": "24"}
    setup = (FOLDER / "nights.sql").read_text()
    with (
        serving(pg, module_of(FOLDER / "nights.py"), setup, settings=settings) as server,
        clocked(server, NOON) as clock,
    ):
        yield server, clock


@pytest.fixture
def server(served: tuple[Server, Clock]) -> Server:
    return served[0]


@pytest.fixture
def clock(served: tuple[Server, Clock]) -> Clock:
    return served[1]


def quiet(server: Server, since: datetime) -> None:
    """Wait until each worker has looked since the clock was set, and has run all that is due."""
    looked = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'nights %%' AND state = 'idle'"
        " AND state_change BETWEEN %s AND clock_timestamp()"
    )
    left = (
        "SELECT count(*) FROM nights.schedules WHERE NOT paused AND next_run <= clock_timestamp() UNION ALL"
        " SELECT count(*) FROM nights.schedule_runs WHERE outcome = 'running'"
    )
    workers = server.value("SELECT count(*) FROM nights.workers()")
    eventually(lambda: server.value(looked, [since]) == workers, 20, f"workers that have looked since {since}")
    eventually(lambda: {row[0] for row in server.rows(left)} == {0}, 20, "the end of all runs that are due")


def move(server: Server, clock: Clock, at: datetime) -> None:
    """Set the clock, and have the workers look at it at once; they do so by themselves within a minute."""
    clock.set(at)
    server.rows("SELECT pg_reload_conf()")
    quiet(server, at)


def begin(server: Server, clock: Clock, at: datetime, *names: str) -> None:
    """These schedules begin at a time, as if nothing had been before, and the others are paused."""
    server.rows("SELECT nights.pause_schedule(name) FROM nights.schedules")
    move(server, clock, at)
    server.rows("TRUNCATE noted; DELETE FROM nights.schedule_runs")
    for name in names:
        server.rows("SELECT nights.change_schedule(%s), nights.resume_schedule(%s)", [name, name])
    quiet(server, at)


def dues(server: Server, name: str) -> list[datetime]:
    """For which times it has run, in that order; each of them well, and with its effect."""
    rows = server.rows(
        "SELECT due, outcome, (SELECT count(*) FROM noted WHERE by = schedule) FROM nights.schedule_runs"
        " WHERE schedule = %s AND outcome <> 'running' ORDER BY id",
        [name],
    )
    assert all((outcome, noted) == ("done", len(rows)) for _, outcome, noted in rows)
    return [at for at, _, _ in rows]


def next_run(server: Server, name: str) -> object:
    return server.value("SELECT next_run FROM nights.schedules WHERE name = %s", [name])


def hours(day: datetime, *numbers: int) -> list[datetime]:
    return [day.replace(hour=number, minute=0, second=0) for number in numbers]


@pytest.mark.parametrize("step", [HOUR, DAY], ids=["hour", "day"])
def test_a_clock_that_is_set_forward_makes_what_lies_between_missed(
    server: Server, clock: Clock, step: timedelta
) -> None:
    begin(server, clock, NOON, *HOURLY)
    later = NOON + step
    move(server, clock, later)
    last = hours(later, 12)
    assert dues(server, "once") == (hours(NOON, 13) if step == HOUR else last)
    assert dues(server, "three") == (hours(NOON, 13) if step == HOUR else hours(later, 10, 11, 12))
    assert dues(server, "skip") == []


@pytest.mark.parametrize("step", [HOUR, DAY], ids=["hour", "day"])
def test_a_clock_that_is_set_back_runs_nothing_twice(server: Server, clock: Clock, step: timedelta) -> None:
    begin(server, clock, NOON, *HOURLY)
    move(server, clock, NOON.replace(hour=13, minute=0, second=5))
    ran = hours(NOON, 13)
    assert {name: dues(server, name) for name in HOURLY} == dict.fromkeys(HOURLY, ran)
    # all that is between was run already, and is not due again until the clock has come to what was not
    back = NOON.replace(hour=13, minute=30) - step
    for at in (back, back + timedelta(minutes=45), NOON.replace(hour=13, minute=0, second=20)):
        move(server, clock, at)
        assert {name: dues(server, name) for name in HOURLY} == dict.fromkeys(HOURLY, ran)
    move(server, clock, NOON.replace(hour=14, minute=0, second=5))
    assert {name: dues(server, name) for name in HOURLY} == dict.fromkeys(HOURLY, hours(NOON, 13, 14))


def test_each_second_over_steps_of_the_clock(server: Server, clock: Clock) -> None:
    begin(server, clock, NOON, "often")
    eventually(lambda: len(dues(server, "often")) >= 2, what="two runs")
    for step in (HOUR, -HOUR, DAY, -DAY):
        before = clock.now()
        move(server, clock, before + step)
        if step > timedelta(0):
            latest = "SELECT max(due) > %s FROM nights.schedule_runs WHERE outcome = 'done'"
            eventually(partial(server.value, latest, [before + step]), what="a run by the new clock")
        else:
            count = len(dues(server, "often"))
            clock.passes(before + step + timedelta(seconds=2.2))
            assert len(dues(server, "often")) == count
    found = dues(server, "often")
    assert len(set(found)) == len(found)
    # one run for all the seconds of a step
    assert len(found) < 60


@pytest.mark.slow
@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_was_set_is_noticed_within_a_minute(server: Server, clock: Clock, step: timedelta) -> None:
    """Though nobody tells the workers."""
    begin(server, clock, NOON, *HOURLY)
    clock.set(NOON + step)
    if step < timedelta(0):
        # a minute later each has looked, and goes by the clock that it has found
        looked = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'nights %%' AND state_change < %s"
        eventually(lambda: server.value(looked, [NOON]) > len(HOURLY), 65, "workers that have looked")
        assert dues(server, "three") == []
        clock.set(NOON.replace(minute=59, second=58))
    eventually(lambda: dues(server, "three") == hours(NOON, 13), 65, "the run that is due")


def test_a_next_run_by_rules_that_are_no_more_is_found_anew(server: Server, clock: Clock) -> None:
    """As after an update of the zone data: it was an hour off, either way, and nothing is run by it."""
    begin(server, clock, NOON, *HOURLY)
    for wrong in (-HOUR, HOUR):
        server.rows("UPDATE nights.schedules SET next_run = %s", [NOON + wrong])
        move(server, clock, clock.now() + timedelta(minutes=1))
        right = hours(NOON, 13)
        eventually(lambda: [next_run(server, name) for name in HOURLY] == right * 3, what="next runs")  # noqa: B023
    assert {name: dues(server, name) for name in HOURLY} == {name: [] for name in HOURLY}


def test_a_clock_that_was_far_ahead_is_told_and_can_be_mended(server: Server, clock: Clock) -> None:
    begin(server, clock, NOON, *HOURLY)
    far = (NOON + 400 * DAY).replace(hour=13, minute=0, second=5)
    move(server, clock, far)
    ran = {name: dues(server, name)[-1] for name in HOURLY}
    assert set(ran.values()) == set(hours(far, 13))
    mark = server.mark()
    move(server, clock, NOON.replace(minute=30))
    move(server, clock, NOON.replace(hour=13, minute=0, second=5))
    assert {name: dues(server, name)[-1] for name in HOURLY} == ran
    for name in HOURLY:
        assert len(server.log(f'LOG:  schedule "{name}" stands still until 2028-07-05 13:00:00', mark)) == 1
    server.told(r"HINT:  To have it go on from now, call nights\.pause_schedule\(\) and .*resume", mark)
    for name in HOURLY:
        server.rows("SELECT nights.pause_schedule(%s)", [name])
        server.rows("SELECT nights.resume_schedule(%s)", [name])
    move(server, clock, NOON.replace(hour=14, minute=0, second=5))
    assert {name: dues(server, name)[-1] for name in HOURLY} == dict.fromkeys(HOURLY, hours(NOON, 14)[0])


def test_an_error_that_repeats_day_by_day_is_logged_each_day(server: Server, clock: Clock) -> None:
    begin(server, clock, NOON, "once")
    server.rows("ALTER TABLE noted ADD CONSTRAINT refused CHECK (by <> 'once')")
    mark, count = server.mark(), 0
    for count in range(1, 8):
        move(server, clock, NOON + count * DAY)
    assert len(server.log('ERROR:  new row for relation "noted" violates check', mark)) == count
    server.rows("ALTER TABLE noted DROP CONSTRAINT refused")
    outcomes = "SELECT outcome, sqlstate, count(*) FROM nights.schedule_runs GROUP BY 1, 2"
    assert server.rows(outcomes) == [("failed", "23514", count)]


def test_a_failed_run_keeps_nobody_from_the_next_one(server: Server, clock: Clock) -> None:
    """Runs that fail each second go on failing each second: they do not back off."""
    begin(server, clock, NOON)
    server.rows("ALTER TABLE noted ADD CONSTRAINT refused CHECK (by <> 'often')")
    server.rows("SELECT nights.resume_schedule('often')")
    failed = "SELECT due FROM nights.schedule_runs WHERE schedule = 'often' AND outcome = 'failed' ORDER BY id"
    found = eventually(lambda: rows if len(rows := server.rows(failed)) >= 6 else [], 30, "six failed runs")
    server.rows("SELECT nights.pause_schedule('often'); ALTER TABLE noted DROP CONSTRAINT refused")
    # a back-off of 1, 2, 4 and 8 s would have come between them
    assert found[5][0] - found[0][0] < timedelta(seconds=12)


def test_a_run_that_is_asked_for_takes_the_place_of_none_that_is_due(server: Server, clock: Clock) -> None:
    begin(server, clock, NOON, "three")
    server.rows("SELECT nights.request_shutdown()")
    later = NOON + 3 * HOUR
    clock.set(later)
    server.rows("SELECT nights.run_schedule('three')")
    server.rows("SELECT nights.resume()")
    quiet(server, later)
    asked, *others = dues(server, "three")
    assert later <= asked < later + HOUR
    assert others == hours(NOON, 13, 14, 15)


def test_a_server_that_is_down_over_ten_times(server: Server, clock: Clock) -> None:
    begin(server, clock, NOON, *HOURLY)
    server.cluster.stop()
    clock.set(NOON.replace(hour=22))
    server.cluster.start()
    quiet(server, NOON.replace(hour=22))
    assert dues(server, "once") == hours(NOON, 22)
    assert dues(server, "three") == hours(NOON, 20, 21, 22)
    assert dues(server, "skip") == []
    # by less than a minute it is not missed, but late
    server.cluster.stop()
    clock.set(NOON.replace(hour=23, minute=0, second=30))
    server.cluster.start()
    quiet(server, NOON.replace(hour=23, minute=0, second=30))
    assert dues(server, "skip") == hours(NOON, 23)
    assert dues(server, "once") == hours(NOON, 22, 23)


@pytest.mark.parametrize(
    ("night", "change"),
    [
        (datetime(2027, 3, 28, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)),
        (datetime(2027, 10, 31, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC)),
    ],
    ids=["march", "october"],
)
def test_a_night_on_which_clocks_change(server: Server, clock: Clock, night: datetime, change: datetime) -> None:
    """Lived through in steps of five minutes, and across the change without a step."""
    start, end = night - timedelta(hours=1, minutes=58), night + timedelta(hours=4, minutes=2)
    begin(server, clock, start, *NIGHTS)
    at = start
    while at < end:
        at += timedelta(minutes=5)
        move(server, clock, at)
        if at < change < at + timedelta(minutes=5):
            move(server, clock, change - timedelta(seconds=1.5))
            clock.passes(change)
            quiet(server, at)
            late = "SELECT max(started_at - due) FROM nights.schedule_runs WHERE due = %s"
            # workers wake by themselves, long before their minute is over
            assert server.value(late, [change]) < timedelta(seconds=20)
    for name, (fields, skip, both) in NIGHTS.items():
        oracle = due(fields, PARIS, int(start.timestamp()), int(at.timestamp()), skip_gap=skip, both=both)
        assert dues(server, name) == [datetime.fromtimestamp(second, UTC) for second in oracle], name
    counts = {name: len(dues(server, name)) for name in ("fixed", "leaving", "both")}
    assert counts == ({"fixed": 1, "leaving": 0, "both": 1} if night.month == 3 else
                      {"fixed": 1, "leaving": 1, "both": 2})  # fmt: skip
