"""What a schedule may be told besides its times: intervals in their place, retries, ends, and jitter.

Time is moved by what the table of schedules says is settled, as in test_schedules.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"


@pytest.fixture(scope="module")
def server(pg: Pg) -> Iterator[Server]:
    setup = (FOLDER / "pace.sql").read_text()
    with serving(pg, module_of(FOLDER / "pace.py"), setup, settings={"max_worker_processes": "24"}) as running:
        yield running


def runs(server: Server, name: str, columns: str = "due, outcome") -> list[tuple[Any, ...]]:
    """The runs of a schedule, in the order in which they began."""
    return server.rows(f"SELECT {columns} FROM pace.schedule_runs WHERE schedule = %s ORDER BY id", [name])


def now(server: Server) -> datetime:
    at = server.value("SELECT clock_timestamp()")
    assert isinstance(at, datetime)
    return at


def settled(server: Server, name: str, at: datetime) -> None:
    """As if nothing had run since then."""
    server.rows("UPDATE pace.schedules SET settled_until = %s, paused = paused WHERE name = %s", [at, name])


# Intervals


def test_an_interval_runs_at_the_times_that_it_counts(server: Server) -> None:
    eventually(lambda: len(runs(server, "beat")) >= 3, 20, "three runs")
    dues = [due for due, _ in runs(server, "beat")]
    start = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert all((due - start) % timedelta(seconds=2) == timedelta(0) for due in dues)
    assert all(later - earlier >= timedelta(seconds=2) for earlier, later in pairwise(dues))


def test_an_interval_is_an_expression_as_any_other(server: Server) -> None:
    status = (
        "SELECT expression, time_zone, changed, next_run, next_run_local FROM pace.schedule_status"
        " WHERE name = 'slow' AND next_run IS NOT NULL"
    )
    ((expression, zone, changed, following, local),) = eventually(lambda: server.rows(status))
    assert (expression, zone, changed) == ("@every 7 minutes", "Asia/Kathmandu", False)
    assert following == Schedule("@every 7 minutes").next(now(server))
    assert local == (following + timedelta(hours=5, minutes=45)).replace(tzinfo=None)
    changed_to = "@every 3 hours since 2026-01-01T00:30:00+02:00"
    assert server.value("SELECT pace.change_schedule('slow', %s)", [changed_to]) is True
    ((expression, _, changed, following, _),) = server.rows(status)
    assert (expression, changed, following) == (changed_to, True, Schedule(changed_to).next(now(server)))
    # what was missed is made up for as by any other
    settled(server, "slow", now(server) - timedelta(days=3))
    eventually(lambda: [row[1] for row in runs(server, "slow")] == ["done"], what="one run for the last of these times")
    assert runs(server, "slow")[0][0] == following - timedelta(hours=3)
    server.rows("SELECT pace.change_schedule('slow')")
    assert server.rows(status)[0][:3] == ("@every 7 minutes", "Asia/Kathmandu", False)


def test_the_server_and_python_agree_on_intervals(server: Server) -> None:
    for expression, after in (
        ("@every 7 minutes", "2026-03-05T00:00:00Z"),
        ("@every 11 seconds since 2026-01-01T00:00:03Z", "2026-03-05T00:00:00.5Z"),
        ("@every 90 days since 2030-01-01T12:00+05:45", "1999-01-01T00:00Z"),
        ("@every 36525 days since 9998-12-31T00:00Z", "9000-01-01T00:00Z"),
    ):
        found = server.value("SELECT pace.next_run(%s, 'Europe/Paris', %s)", [expression, after])
        assert found == Schedule(expression, "Europe/Paris").next(datetime.fromisoformat(after))


@pytest.mark.parametrize(
    ("expression", "told", "hint"),
    [
        ("@every 7 weeks", 'At "weeks": no such unit.', "Units are seconds, minutes, hours, and days of 24 hours."),
        ("@every", "At byte 7: a number is missing.", "Write @every 7 minutes, with spaces between."),
    ],
)
def test_what_is_no_interval_is_refused(server: Server, expression: str, told: str, hint: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        server.rows("SELECT pace.change_schedule('slow', %s)", [expression])
    assert (caught.value.diag.message_detail, caught.value.diag.message_hint) == (told, hint)


# Retries


def failing(server: Server, fails: int) -> None:
    """What is flaky fails so often from now on; no run of it was written."""
    server.rows("SELECT setval('tries', 1, false)")
    server.rows("UPDATE orders SET fails = %s", [fails])
    server.rows("TRUNCATE noted; DELETE FROM pace.schedule_runs")


ATTEMPTS = "outcome, attempt"


@pytest.mark.parametrize("name", ["flaky", "outside"])
def test_a_failed_run_is_tried_again_until_it_is_done(server: Server, name: str) -> None:
    failing(server, 1)
    assert server.value("SELECT pace.run_schedule(%s)", [name])
    eventually(lambda: runs(server, name, ATTEMPTS) == [("failed", 1), ("done", 2)], 20, "a run after a failed one")
    ((first, ended, _, error), (second, _, began, _)) = runs(server, name, "due, ended_at, started_at, error")
    assert (first, error) == (second, "told to fail")
    # a quarter may be taken off
    assert began - ended >= timedelta(milliseconds=149)
    status = "SELECT outcome, attempt, retry_at FROM pace.schedule_status WHERE name = %s"
    assert server.rows(status, [name]) == [("done", 2, None)]
    assert server.value("SELECT count(*) FROM noted WHERE by = 'outside'") == (2 if name == "outside" else 0)
    assert server.value("SELECT count(*) FROM noted WHERE by = 'flaky'") == 1


def test_a_run_that_fails_each_time_is_given_up(server: Server) -> None:
    failing(server, 100)
    assert server.value("SELECT pace.run_schedule('flaky')")
    wanted = [("failed", 1), ("failed", 2), ("failed", 3)]
    eventually(lambda: runs(server, "flaky", ATTEMPTS) == wanted, 20, "three attempts")
    (_, second, third) = runs(server, "flaky", "started_at, ended_at, retry_at")
    assert third[0] - second[1] >= timedelta(milliseconds=299)
    assert [row[2] for row in runs(server, "flaky", "started_at, ended_at, retry_at")] == [None, None, None]
    assert server.value("SELECT retry_at FROM pace.schedules WHERE name = 'flaky'") is None
    # the next time has all its attempts again
    failing(server, 1)
    assert server.value("SELECT pace.run_schedule('flaky')")
    eventually(lambda: runs(server, "flaky", ATTEMPTS) == [("failed", 1), ("done", 2)], 20, "a run after that")


PENDING = "SELECT retry_at FROM pace.schedule_status WHERE name = 'patient' AND retry_at IS NOT NULL"


def waiting(server: Server) -> datetime:
    """Have a run fail that is tried again in some minutes; when that is."""
    failing(server, 1)
    assert server.value("SELECT pace.run_schedule('patient')")
    ((at,),) = eventually(lambda: server.rows(PENDING), 20, "a failed run")
    assert isinstance(at, datetime)
    return at


def test_what_waits_for_its_next_attempt_outlasts_a_restart(server: Server) -> None:
    at = waiting(server)
    assert timedelta(minutes=7) < at - now(server) <= timedelta(minutes=10)
    assert runs(server, "patient", "outcome, attempt, retry_at") == [("failed", 1, at)]
    server.cluster.restart()
    eventually(lambda: server.rows("SELECT FROM pace.workers() WHERE worker = 'patient' AND state = 'idle'"), 20)
    assert server.rows(PENDING) == [(at,)]
    # as if the time had passed
    server.rows("UPDATE pace.schedules SET retry_at = now(), paused = paused WHERE name = 'patient'")
    eventually(lambda: runs(server, "patient", ATTEMPTS) == [("failed", 1), ("done", 2)], 20, "the second attempt")
    assert server.rows(PENDING) == []


def test_a_run_that_begins_takes_the_place_of_what_waits(server: Server) -> None:
    waiting(server)
    assert server.value("SELECT pace.run_schedule('patient')")
    eventually(lambda: runs(server, "patient", ATTEMPTS) == [("failed", 1), ("done", 1)], 20, "the run asked for")
    assert server.rows(PENDING) == []
    assert runs(server, "patient", "retry_at") == [(None,), (None,)]


@pytest.mark.parametrize(
    "how", ["change_schedule('patient')", "pause_schedule('patient'), pace.resume_schedule('patient')"]
)
def test_a_schedule_that_is_changed_or_resumed_tries_nothing_again(server: Server, how: str) -> None:
    waiting(server)
    server.rows(f"SELECT pace.{how}")
    assert server.rows(PENDING) == []
    assert runs(server, "patient", "retry_at") == [(None,)]


def test_a_schedule_that_is_declared_otherwise_tries_nothing_again(server: Server) -> None:
    """As after an upgrade: what is in the row was another version's."""
    waiting(server)
    server.rows(
        "UPDATE pace.schedules SET expression = '@yearly', declared_expression = '@yearly' WHERE name = 'patient'"
    )
    followed = "SELECT FROM pace.schedules WHERE name = 'patient' AND expression <> '@yearly'"
    eventually(lambda: server.rows(followed), 20, "the worker to see what it is declared as")
    assert server.rows(PENDING) == []
    assert runs(server, "patient", "retry_at") == [(None,)]


def test_a_change_that_waits_for_a_run_that_fails_forgets_its_retry(server: Server) -> None:
    change = "SELECT pace.change_schedule('patient', '@yearly')"
    with server.connect() as holder, server.connect() as steering, ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute("SELECT FROM pace.schedules WHERE name = 'patient' FOR UPDATE")
            changing = pool.submit(steering.execute, change)
            waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            eventually(lambda: server.rows(waits, [steering.info.backend_pid]), 20, "a change that waits")
            # what a run that fails meanwhile writes
            holder.execute(
                "INSERT INTO pace.schedule_runs (schedule, due, outcome, retry_at)"
                " SELECT 'patient', now(), 'failed', now() + interval '1 hour'"
            )
            holder.execute("UPDATE pace.schedules SET retry_at = now() + interval '1 hour' WHERE name = 'patient'")
        changing.result(20)
    assert server.rows(PENDING) == []
    assert set(runs(server, "patient", "retry_at")) == {(None,)}
    server.rows("SELECT pace.change_schedule('patient')")


def test_a_next_time_that_comes_first_takes_the_place_of_a_retry(server: Server) -> None:
    server.rows("UPDATE orders SET dense = true")
    begin = now(server)
    failed = (
        "SELECT attempt, retry_at FROM pace.schedule_runs WHERE schedule = 'dense' AND outcome = 'failed' AND due > %s"
    )
    eventually(lambda: len(server.rows(failed, [begin])) >= 2, 20, "two failed runs")
    assert set(server.rows(failed, [begin])) == {(1, None)}
    server.rows("UPDATE orders SET dense = false")


def test_a_first_look_that_fails_is_made_again(server: Server) -> None:
    """What it has found of another process is undone with it, and must not be taken for told."""
    server.rows("DELETE FROM pace.schedule_runs")
    server.rows("INSERT INTO pace.schedule_runs (schedule, due) VALUES ('outside', now())")
    server.rows("UPDATE pace.schedules SET time_zone = 'Nowhere/Land' WHERE name = 'outside'")
    process = "SELECT pid, failures > 0 FROM pace.workers() WHERE worker = 'outside'"
    ((before, _),) = server.rows(process)
    server.rows("SELECT pg_terminate_backend(%s)", [before])

    def failed() -> int | None:
        ((pid, fails),) = server.rows(process)
        return pid if pid != before and fails else None

    pid = eventually(failed, 20, "a process that fails")
    assert runs(server, "outside", "outcome") == [("running",)]
    server.rows("SELECT pace.change_schedule('outside')")
    eventually(lambda: runs(server, "outside", "outcome") == [("lost",)], 20, "a lost run")
    assert server.rows(process)[0][0] == pid


# Times outside of which nothing is due


def test_nothing_is_due_too_early(server: Server) -> None:
    status = "SELECT next_run, expression FROM pace.schedule_status WHERE name = 'ahead' AND next_run = %s"
    first = datetime(2126, 1, 1, tzinfo=UTC)
    eventually(lambda: server.rows(status, [first]), 20, "the first time")
    # what a session computes without that end is put right
    server.rows("SELECT pace.change_schedule('ahead', '0 1 * * *')")
    eventually(lambda: server.rows(status, [first + timedelta(hours=1)]), 20, "the first time of another expression")
    server.rows("SELECT pace.change_schedule('ahead')")
    eventually(lambda: server.rows(status, [first]), 20, "the first time")
    assert runs(server, "ahead") == []


def test_nothing_is_due_too_late(server: Server) -> None:
    last = datetime(2026, 1, 1, tzinfo=UTC)
    following = "SELECT next_run FROM pace.schedules WHERE name = 'over'"
    assert server.value(following) is None
    # what was missed until then is made up for, and nothing after it
    settled(server, "over", last - timedelta(days=1))
    eventually(lambda: runs(server, "over") == [(last, "done")], 20, "a run for the last time")
    assert server.value(following) is None
    # asked for, it runs all the same
    assert server.value("SELECT pace.run_schedule('over')")
    eventually(lambda: [row[1] for row in runs(server, "over")] == ["done", "done"], 20, "a run that was asked for")
    assert server.value(following) is None


# Jitter


def test_runs_begin_some_time_after_they_are_due(server: Server) -> None:
    began = (
        "SELECT due, started_at - due FROM pace.schedule_runs WHERE schedule = 'shaky' AND outcome = 'done' ORDER BY id"
    )
    eventually(lambda: len(server.rows(began)) >= 3, 40, "three runs")
    rows = server.rows(began)
    assert all(due.timestamp() % 4 == 0 for due, _ in rows)
    # a plan that is a whole number of seconds would be none
    assert all(late > timedelta(0) for _, late in rows)
    assert len({late for _, late in rows}) == len(rows)
    assert len({due for due, _ in rows}) == len(rows)


def test_when_a_run_begins_is_drawn_once(server: Server) -> None:
    status = "SELECT next_run FROM pace.schedule_status WHERE name = 'spread' AND next_run > %s"

    def planned() -> datetime:
        due = Schedule("@every 1 day").next(now(server))
        assert due is not None
        # what is planned for today may still come
        ((at,),) = eventually(lambda: server.rows(status, [due - timedelta(days=1)]), 20, "a plan")
        assert isinstance(at, datetime)
        return at

    def idle() -> bool:
        return bool(server.rows("SELECT FROM pace.workers() WHERE worker = 'spread' AND state = 'idle'"))

    at = planned()
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    assert timedelta(0) < at - midnight <= timedelta(hours=1)
    server.cluster.restart()
    eventually(idle, 20, "the worker")
    assert planned() == at
    # another plan is drawn for another schedule, which a session plans without
    assert server.value("SELECT pace.change_schedule('spread', '0 12 * * *')")
    noon = Schedule("0 12 * * *").next(now(server))
    assert noon is not None
    ((drawn,),) = eventually(lambda: server.rows(status, [noon]), 20, "another plan")
    assert timedelta(0) < drawn - noon <= timedelta(hours=1)
    server.rows("SELECT pace.change_schedule('spread')")


def test_what_was_missed_begins_at_once(server: Server) -> None:
    server.rows("DELETE FROM pace.schedule_runs WHERE schedule = 'spread'")
    settled(server, "spread", now(server) - timedelta(days=3, hours=2))
    eventually(lambda: [row[1] for row in runs(server, "spread")] == ["done"], 20, "one run")
    ((due, _),) = runs(server, "spread")
    assert due == due.replace(hour=0, minute=0, second=0, microsecond=0)


# What comes due during a run


@pytest.fixture
def idle(server: Server) -> Iterator[Server]:
    """The schedule of each day has no run, and nothing holds one."""
    eventually(
        lambda: server.rows("SELECT FROM pace.schedules WHERE name = 'daily' AND next_run > now()"), 20, "a plan"
    )
    server.rows("DELETE FROM pace.schedule_runs WHERE schedule = 'daily'")
    yield server
    server.rows("UPDATE orders SET busy = false, refused = false")
    server.rows("SELECT pace.resume_schedule('daily')")
    ended = "SELECT FROM pace.schedule_status WHERE name = 'daily' AND outcome = 'running' OR retry_at IS NOT NULL"
    eventually(lambda: not server.rows(ended), 20, "the end of its runs")


def begun(server: Server) -> int:
    """Have a run of it begin and stay; its process."""
    server.rows("UPDATE orders SET busy = true")
    assert server.value("SELECT pace.run_schedule('daily')")
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pace daily' AND wait_event = 'PgSleep'"
    ((process,),) = eventually(lambda: server.rows(query), 20, "a run")
    return int(process)


def comes_due(server: Server) -> None:
    """As if it had been planned for a day that has passed."""
    past = "settled_until = now() - interval '3 days', next_run = now() - interval '2 days', paused = paused"
    server.rows(f"UPDATE pace.schedules SET {past} WHERE name = 'daily'")


def settled_by_end(server: Server) -> bool:
    """Whether the worker has seen that a run has settled what came due until its end, and planned the next one."""
    query = (
        "SELECT FROM pace.schedules AS s, pace.schedule_runs AS r WHERE s.name = 'daily' AND r.schedule = s.name"
        " AND s.settled_until = r.ended_at AND s.next_run > r.ended_at"
    )
    return bool(server.rows(query))


def test_what_comes_due_during_a_run_is_missed_or_over(server: Server) -> None:
    server.rows("UPDATE orders SET busy = true")
    under_way = "SELECT id FROM pace.schedule_runs WHERE schedule = %s AND outcome = 'running'"
    held = {}
    for name in ("waits", "skips"):
        ((held[name],),) = eventually(partial(server.rows, under_way, [name]), 20, "a run that is held")
    late = "SELECT min(now() - due) > interval '5 seconds' FROM pace.schedule_runs WHERE outcome = 'running'"
    eventually(lambda: server.value(late), 20, "two times that come due")
    server.rows("UPDATE orders SET busy = false")

    def and_next(name: str) -> list[tuple[Any, ...]]:
        query = "SELECT due, ended_at FROM pace.schedule_runs WHERE schedule = %s AND id >= %s ORDER BY id LIMIT 2"
        return eventually(lambda: (rows := server.rows(query, [name, held[name]]))[1:] and rows, 20, "the next run")

    (due, _), (following, _) = and_next("waits")
    assert following - due == timedelta(seconds=2)
    (_, ended), (following, _) = and_next("skips")
    assert following > ended


def test_the_end_of_a_run_settles_what_came_due_during_it(idle: Server) -> None:
    begun(idle)
    comes_due(idle)
    idle.rows("UPDATE orders SET busy = false")
    eventually(lambda: settled_by_end(idle), 20, "the next plan")
    assert [row[1] for row in runs(idle, "daily")] == ["done"]


def test_a_run_that_fails_settles_as_well_and_is_tried_again(idle: Server) -> None:
    """What came due during it is no time that would come before the retry."""
    begun(idle)
    comes_due(idle)
    idle.rows("UPDATE orders SET busy = false, refused = true")
    eventually(lambda: runs(idle, "daily", ATTEMPTS) == [("failed", 1), ("failed", 2)], 20, "two attempts")
    eventually(lambda: settled_by_end(idle), 20, "the next plan")
    assert runs(idle, "daily", ATTEMPTS) == [("failed", 1), ("failed", 2)]
    assert len({due for due, _ in runs(idle, "daily")}) == 1


def test_another_process_knows_what_the_end_of_a_run_has_settled(idle: Server) -> None:
    process = begun(idle)
    idle.rows("UPDATE orders SET busy = false")
    eventually(lambda: [row[1] for row in runs(idle, "daily")] == ["done"], 20, "its end")
    idle.rows("SELECT pg_terminate_backend(%s)", [process])
    other = "SELECT FROM pace.workers() WHERE worker = 'daily' AND pid <> %s AND state = 'idle'"
    eventually(lambda: idle.rows(other, [process]), 20, "another process")
    comes_due(idle)
    eventually(lambda: settled_by_end(idle), 20, "the next plan")
    assert [row[1] for row in runs(idle, "daily")] == ["done"]


def test_the_end_of_a_run_waits_for_nobody_who_steers_its_schedule(idle: Server) -> None:
    begun(idle)
    with idle.connect() as steering, steering.transaction():
        steering.execute("SELECT pace.run_schedule('daily')")
        idle.rows("UPDATE orders SET busy = false")
        eventually(lambda: [row[1] for row in runs(idle, "daily")] == ["done"], 20, "its end")
    eventually(lambda: [row[1] for row in runs(idle, "daily")] == ["done"] * 2, 20, "the run that was asked for")


def test_a_lost_run_settles_nothing(idle: Server) -> None:
    process = begun(idle)
    idle.rows("SELECT pace.pause_schedule('daily'), pg_terminate_backend(%s)", [process])
    eventually(lambda: [row[1] for row in runs(idle, "daily")] == ["lost"], 20, "a lost run")
    idle.rows("UPDATE orders SET busy = false")
    idle.rows("SELECT pace.resume_schedule('daily')")
    comes_due(idle)
    eventually(lambda: [row[1] for row in runs(idle, "daily")] == ["lost", "done"], 20, "what was missed")


def test_an_end_in_the_future_settles_nothing(idle: Server) -> None:
    """The clock was far ahead, and set back."""
    ahead = "INSERT INTO pace.schedule_runs (schedule, due, ended_at, outcome) SELECT 'daily', t, t, 'done'"
    idle.rows(f"{ahead} FROM (SELECT now() + interval '1 year') AS _ (t)")
    comes_due(idle)
    eventually(lambda: [row[1] for row in runs(idle, "daily")] == ["done", "done"], 20, "what was missed")
    assert runs(idle, "daily")[1][0] <= now(idle)
