"""Workers that run by the calendar: when they run, what they make up for, and that nothing runs twice or not at all.

Time is moved by what the table of schedules says is settled: to set that back is as if the time had passed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.faults.waiting import eventually
from tests.server.conftest import client_for
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
NAMES = ("often", "nightly", "last", "skip", "vacuum")


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "rota.py"), (FOLDER / "rota.sql").read_text()) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """All schedules as declared, none held, nothing written."""
    yield running
    running.rows("UPDATE orders SET held = false, failing = false")
    running.rows("SELECT rota.resume()")
    for name in NAMES:
        running.rows("SELECT rota.change_schedule(%s), rota.resume_schedule(%s)", [name, name])
    eventually(lambda: not running.rows("SELECT FROM rota.schedule_runs WHERE outcome = 'running'"), 20)
    running.rows("TRUNCATE noted; DELETE FROM rota.schedule_runs")


def runs(server: Server, name: str) -> list[tuple[Any, ...]]:
    """The runs of a schedule: due, outcome, SQLSTATE."""
    return server.rows("SELECT due, outcome, sqlstate FROM rota.schedule_runs WHERE schedule = %s ORDER BY id", [name])


def noted(server: Server, name: str) -> int:
    return int(server.value("SELECT count(*) FROM noted WHERE by = %s", [name]))


def now(server: Server) -> datetime:
    at = server.value("SELECT clock_timestamp()")
    assert isinstance(at, datetime)
    return at


def settled(server: Server, name: str, at: datetime) -> None:
    """As if nothing had run since then."""
    server.rows("UPDATE rota.schedules SET settled_until = %s, paused = paused WHERE name = %s", [at, name])


def pid(server: Server, name: str) -> int | None:
    ((found,),) = server.rows("SELECT pid FROM rota.workers() WHERE worker = %s", [name])
    return None if found is None else int(found)


def held(server: Server) -> int:
    """Have the nightly run begin and stay; the process that it is in."""
    server.rows("UPDATE orders SET held = true")
    assert server.value("SELECT rota.run_schedule('nightly')")
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rota nightly' AND wait_event = 'PgSleep'"
    ((process,),) = eventually(lambda: server.rows(query), what="the nightly run")
    return int(process)


def test_each_second_runs_once_and_soon(server: Server) -> None:
    eventually(lambda: len(runs(server, "often")) >= 4, 20, "four runs")
    rows = server.rows(
        "SELECT due, started_at - due FROM rota.schedule_runs WHERE schedule = 'often' AND outcome = 'done' ORDER BY id"
    )
    dues = [due for due, _ in rows]
    assert all(due.microsecond == 0 for due in dues)
    assert len(set(dues)) == len(dues)
    assert dues == sorted(dues)
    assert all(late >= timedelta(0) for _, late in rows)
    assert noted(server, "often") >= len(rows)


def test_what_comes_next_is_shown_by_the_clocks_of_the_zone(server: Server) -> None:
    query = (
        "SELECT expression, time_zone, changed, paused, next_run, next_run_local FROM rota.schedule_status"
        " WHERE name = 'nightly' AND next_run IS NOT NULL"
    )
    ((expression, zone, changed, paused, following, local),) = eventually(lambda: server.rows(query))
    assert (expression, zone, changed, paused) == ("30 2 * * *", "Europe/Paris", False, False)
    assert following == Schedule("30 2 * * *", "Europe/Paris").next(now(server))
    assert (local.hour, local.minute) == (2, 30)


def test_a_run_can_be_asked_for_and_its_effects_and_its_outcome_are_one(server: Server) -> None:
    assert server.value("SELECT rota.run_schedule('nobody')") is False
    before = server.value("SELECT done FROM rota.runs_status")
    held(server)
    # written down before it is run, and neither seen nor done before it has ended
    ((_, outcome, _),) = runs(server, "nightly")
    assert (outcome, noted(server, "nightly")) == ("running", 0)
    server.rows("UPDATE orders SET held = false")
    eventually(lambda: runs(server, "nightly")[0][1] == "done", what="the end of the run")
    assert noted(server, "nightly") == 1
    assert server.value("SELECT run_now FROM rota.schedules WHERE name = 'nightly'") is False
    eventually(lambda: server.value("SELECT done FROM rota.runs_status") == before + 1)


@pytest.mark.parametrize("outside", [False, True])
def test_a_failed_run_is_told_and_the_next_one_comes_by_the_calendar(server: Server, outside: bool) -> None:
    server.rows("UPDATE orders SET failing = true")
    if outside:
        settled(server, "nightly", now(server) - timedelta(days=1, hours=1))
    else:
        server.rows("SELECT rota.run_schedule('nightly')")
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["failed"], what="a failed run")
    error, sqlstate, following = server.rows(
        "SELECT error, sqlstate, next_run FROM rota.schedule_status WHERE name = 'nightly'"
    )[0]
    assert (error, sqlstate) == ("told to fail", "P0007")
    assert following > now(server)
    assert noted(server, "nightly") == 0
    # it does not wait for a back-off when it is asked for at once
    server.rows("UPDATE orders SET failing = false")
    server.rows("SELECT rota.run_schedule('nightly')")
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["failed", "done"], 5, "a run after that")


def test_times_that_were_missed(server: Server) -> None:
    """Ten of each have passed: one run, the last three, none."""
    server.rows("SELECT rota.request_shutdown()")
    eventually(lambda: server.value("SELECT count(*) FROM rota.workers() WHERE state <> 'paused'") == 0)
    server.rows("TRUNCATE noted; DELETE FROM rota.schedule_runs")
    began = now(server)
    for name, unit in (("often", timedelta(seconds=1)), ("last", timedelta(minutes=10)), ("skip", timedelta(hours=1)),
                       ("nightly", timedelta(days=1))):  # fmt: skip
        settled(server, name, began - 10 * unit)
    server.cluster.restart()
    # "skip" makes up for what is late by less than a minute, which the last full hour may be
    hour = began.replace(minute=0, second=0, microsecond=0)
    server.rows("SELECT rota.resume()")
    # another one may be due by now
    eventually(lambda: len(runs(server, "last")) >= 3 and noted(server, "last") >= 3, 20, "three runs")
    eventually(lambda: len(runs(server, "nightly")) == 1 and noted(server, "nightly") == 1, 20, "one run")
    eventually(lambda: server.value("SELECT next_run FROM rota.schedules WHERE name = 'skip'") > began)
    dues = [due for due, _, _ in runs(server, "last")]
    tenth = began.replace(minute=began.minute // 10 * 10, second=0, microsecond=0)
    assert dues[-1] >= tenth
    assert [later - earlier for earlier, later in pairwise(dues[:3])] == [timedelta(minutes=10)] * 2
    assert len(dues) <= 4
    if now(server) - hour > timedelta(minutes=2) and now(server).hour == hour.hour:
        assert runs(server, "skip") == []
    first, *_ = runs(server, "often")
    assert first[0] >= began.replace(microsecond=0)


def test_a_million_missed_times_are_not_counted_one_by_one(server: Server) -> None:
    settled(server, "often", now(server) - timedelta(days=3650))
    began = now(server)
    eventually(lambda: any(due >= began for due, _, _ in runs(server, "often")), 10, "a run of these days")
    assert all(due > began - timedelta(minutes=2) for due, _, _ in runs(server, "often"))


@pytest.mark.parametrize("how", ["terminate", "kill", "crash"])
def test_a_run_that_is_cut_off_is_run_again_once(server: Server, how: str) -> None:
    process, mark = held(server), server.mark()
    ((due, _, _),) = runs(server, "nightly")
    if how == "terminate":
        server.rows("SELECT pg_terminate_backend(%s)", [process])
    elif how == "kill":
        os.kill(process, signal.SIGKILL)
        server.wait_for_crash_recovery(mark)
    else:
        server.cluster.stop("immediate")
        server.cluster.start()
    eventually(lambda: pid(server, "nightly") not in (None, process), 30, "another process")
    assert noted(server, "nightly") == 0
    server.rows("UPDATE orders SET held = false")
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["done"], 20, "the run")
    assert runs(server, "nightly")[0][0] == due
    assert noted(server, "nightly") == 1


def test_what_is_run_outside_a_transaction_is_not_run_again(server: Server) -> None:
    """Nobody knows how far it came: it is told as lost, and comes at its next time."""
    with server.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE noted IN ACCESS SHARE MODE")
        connection.execute("LOCK TABLE noted IN SHARE UPDATE EXCLUSIVE MODE")
        server.rows("SELECT rota.run_schedule('vacuum')")
        waiting = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rota vacuum' AND wait_event_type = 'Lock'"
        ((process,),) = eventually(lambda: server.rows(waiting), what="a waiting VACUUM")
        server.rows("SELECT pg_terminate_backend(%s)", [process])
        eventually(lambda: [row[1] for row in runs(server, "vacuum")] == ["lost"], 30, "a lost run")
    server.rows("SELECT rota.run_schedule('vacuum')")
    eventually(lambda: [row[1] for row in runs(server, "vacuum")] == ["lost", "done"], 20, "a run after that")


def test_a_cancelled_run_has_failed(server: Server) -> None:
    process = held(server)
    server.rows("SELECT pg_cancel_backend(%s)", [process])
    eventually(lambda: [row[1:] for row in runs(server, "nightly")] == [("failed", "57014")], what="a failed run")
    assert pid(server, "nightly") == process


def test_a_paused_schedule_stands_still_and_makes_up_for_nothing(server: Server) -> None:
    assert server.value("SELECT rota.pause_schedule('often')") is True
    assert server.value("SELECT rota.pause_schedule('often')") is False
    eventually(lambda: not [row for row in runs(server, "often") if row[1] == "running"])
    count = len(runs(server, "often"))
    at = now(server)
    eventually(lambda: now(server) > at + timedelta(seconds=2.2), what="two seconds")
    assert len(runs(server, "often")) == count
    status = "SELECT paused, next_run FROM rota.schedule_status WHERE name = 'often'"
    assert server.rows(status) == [(True, None)]
    # asked for, it runs all the same
    server.rows("SELECT rota.run_schedule('often')")
    eventually(lambda: len(runs(server, "often")) == count + 1, what="the run that was asked for")
    resumed = now(server)
    assert server.value("SELECT rota.resume_schedule('often')") is True
    eventually(lambda: len(runs(server, "often")) > count + 1, what="a run after it was resumed")
    assert runs(server, "often")[count + 1][0] > resumed


def test_a_schedule_is_changed_and_stays_so(server: Server) -> None:
    change = "SELECT rota.change_schedule('nightly', %s, %s)"
    assert server.value(change, ["0 7 * * mon", "Asia/Tokyo"]) is True
    following = Schedule("0 7 * * mon", "Asia/Tokyo").next(now(server))
    status = "SELECT expression, time_zone, changed, next_run FROM rota.schedule_status WHERE name = 'nightly'"
    assert server.rows(status) == [("0 7 * * mon", "Asia/Tokyo", True, following)]
    server.cluster.restart()
    eventually(lambda: pid(server, "nightly"), 20, "the worker")
    eventually(lambda: server.value("SELECT state FROM rota.workers() WHERE worker = 'nightly'") == "idle")
    assert server.rows(status) == [("0 7 * * mon", "Asia/Tokyo", True, following)]
    # to each second, it begins at once
    server.rows(change, ["* * * * * *", None])
    eventually(lambda: noted(server, "nightly") >= 2, 10, "runs")
    assert server.value("SELECT rota.change_schedule('nightly')") is True
    assert server.rows(status)[0][:3] == ("30 2 * * *", "Europe/Paris", False)
    assert server.value(change.replace("nightly", "nobody"), [None, None]) is False


@pytest.mark.parametrize(
    ("expression", "zone", "told"),
    [
        ("0 25 * * *", "UTC", 'At "25": out of range.'),
        ("0 2 * *", "UTC", "At byte 8: less than five fields."),
        ("0 0 30 2 *", "UTC", "It means a day that never comes."),
        ("0 2 * * *", "Nowhere/Land", 'time zone "Nowhere/Land" not recognized'),
    ],
)
def test_what_is_no_schedule_is_refused(server: Server, expression: str, zone: str, told: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        server.rows("SELECT rota.change_schedule('nightly', %s, %s)", [expression, zone])
    assert told in (caught.value.diag.message_primary, caught.value.diag.message_detail)
    assert server.value("SELECT expression FROM rota.schedules WHERE name = 'nightly'") == "30 2 * * *"


def test_another_declaration_is_followed_unless_it_was_changed(server: Server) -> None:
    """As after an update: the rows have what an earlier version declared."""
    stop = "SELECT rota.request_shutdown()"
    server.rows(stop)
    eventually(lambda: server.value("SELECT count(*) FROM rota.workers() WHERE state <> 'paused'") == 0)
    server.rows("UPDATE rota.schedules SET expression = '1 1 * * *', declared_expression = '1 1 * * *'"
                " WHERE name IN ('nightly', 'skip')")  # fmt: skip
    server.rows("UPDATE rota.schedules SET expression = '5 5 * * *' WHERE name = 'skip'")
    server.cluster.restart()
    server.rows("SELECT rota.resume()")
    rows = "SELECT expression, declared_expression FROM rota.schedules WHERE name IN ('nightly', 'skip') ORDER BY name"
    wanted = [("30 2 * * *", "30 2 * * *"), ("5 5 * * *", "0 * * * *")]
    eventually(lambda: server.rows(rows) == wanted, 20, "what is declared now")


def test_the_last_thousand_runs_are_kept(server: Server) -> None:
    server.rows("INSERT INTO rota.schedule_runs (schedule, due, outcome)"
                " SELECT 'nightly', now(), 'done' FROM generate_series(1, 1500)")  # fmt: skip
    server.rows("SELECT rota.run_schedule('nightly')")
    count = "SELECT count(*) FROM rota.schedule_runs WHERE schedule = 'nightly'"
    eventually(lambda: server.value(count) == 1000, what="a thousand runs")


def test_the_server_and_python_agree(server: Server) -> None:
    """The same C by PostgreSQL's zone data and by those of Python; of years that no release has changed lately."""
    choice = random.Random(7)
    zones = ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC", "Asia/Kathmandu"]
    expressions = ["30 2 * * *", "*/20 * * * *", "0 0 L * *", "15 1-3 * * sun", "0 12 * * tue#2,friL", "*/7 * * * * *"]
    for _ in range(300):
        expression, zone = choice.choice(expressions), choice.choice(zones)
        after = datetime.fromtimestamp(choice.randint(631152000, 1577836800), UTC)
        skip, both = choice.random() < 0.5, choice.random() < 0.5
        schedule = Schedule(expression, zone, gap="skip" if skip else "after", repeated="both" if both else "first")
        found = server.value("SELECT rota.next_run(%s, %s, %s, %s, %s)", [expression, zone, after, skip, both])
        assert found == schedule.next(after), f"{schedule} after {after}"
    assert server.value("SELECT rota.next_run('@daily', 'UTC', 'infinity')") is None


def test_a_dump_has_the_schedules_and_the_copy_stands_still(server: Server, pg: Pg) -> None:
    server.rows("SELECT rota.change_schedule('nightly', '0 7 * * *'), rota.run_schedule('skip')")
    eventually(lambda: [row[1] for row in runs(server, "skip")] == ["done"])
    server.rows("CREATE DATABASE restored")
    dumped = subprocess.run([pg.program("pg_dump"), "-d", server.cluster.conninfo()], capture_output=True, check=True)
    psql = client_for(pg).program("psql")
    command = [str(psql), "-v", "ON_ERROR_STOP=1", "-q", "-d", server.cluster.conninfo("restored")]
    done = subprocess.run(command, input=dumped.stdout, capture_output=True)
    assert done.returncode == 0, done.stderr
    rows = "SELECT name, expression, time_zone, settled_until > '2020-01-01' FROM rota.schedules ORDER BY name"
    assert server.rows(rows, dbname="restored") == server.rows(rows)
    assert server.value("SELECT outcome FROM rota.schedule_runs WHERE schedule = 'skip'", dbname="restored") == "done"
    server.rows("DROP DATABASE restored")
