"""Tables of schedules by a clock that the tests set: what is missed, what has waited for a process, steps back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.clocked import Clock, clocked
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
NOON = datetime(2027, 6, 1, 12, 5, tzinfo=UTC)
PROCESSES = ("one", "two", "three")


@pytest.fixture(scope="module")
def served(pg: Pg) -> Iterator[tuple[Server, Clock]]:
    setup = (FOLDER / "crontab.sql").read_text()
    with serving(pg, module_of(FOLDER / "crontab.py"), setup) as server, clocked(server, NOON) as clock:
        yield server, clock


@pytest.fixture
def server(served: tuple[Server, Clock]) -> Iterator[Server]:
    """No schedules and no runs, at noon."""
    server, clock = served
    clock.set(NOON)
    yield server
    server.rows("DELETE FROM held")
    server.rows("DELETE FROM crontab.jobs")
    eventually(lambda: not server.rows("SELECT FROM crontab.jobs_runs WHERE outcome IN ('waiting', 'running')"), 20)
    server.rows("DELETE FROM noted; DELETE FROM crontab.jobs_runs")


@pytest.fixture
def clock(served: tuple[Server, Clock]) -> Clock:
    return served[1]


def schedule(server: Server, name: str, expression: str, command: str = "SELECT 1", missed: int = 1) -> None:
    """A schedule of alice's."""
    with server.connect() as connection:
        connection.execute("SET ROLE alice")
        query = "SELECT crontab.jobs_schedule(%s, %s, %s, missed => %s)"
        connection.execute(query, [name, expression, command, missed])


def set_to(server: Server, clock: Clock, at: datetime) -> None:
    """Set the clock, and have the scheduler look at it at once; it does so by itself within a minute."""
    clock.set(at)
    server.rows("SELECT pg_reload_conf()")
    looked = (
        "SELECT FROM pg_stat_activity WHERE backend_type = 'crontab jobs' AND state = 'idle'"
        " AND state_change BETWEEN %s AND clock_timestamp()"
    )
    eventually(lambda: server.rows(looked, [at]), 20, f"a scheduler that has looked since {at}")


def runs(server: Server, name: str) -> list[tuple[Any, ...]]:
    """When the runs of a schedule were due, and what became of them."""
    return server.rows(
        "SELECT due, outcome FROM crontab.jobs_runs AS r JOIN crontab.jobs AS s ON s.id = schedule WHERE name = %s"
        " ORDER BY r.id",
        [name],
    )


def next_run(server: Server, name: str) -> Any:
    return server.value("SELECT next_run FROM crontab.jobs WHERE name = %s", [name])


def at(hour: int, minute: int = 0) -> datetime:
    return NOON.replace(hour=hour, minute=minute)


def test_what_lies_between_is_missed_when_the_clock_is_set_forward(server: Server, clock: Clock) -> None:
    for missed in (0, 1, 3):
        schedule(server, f"missed {missed}", "0 * * * *", missed=missed)
    set_to(server, clock, at(17, 30))
    for missed, hours in ((1, (17,)), (3, (15, 16, 17))):
        expected = [(at(hour), "done") for hour in hours]
        eventually(lambda: runs(server, f"missed {missed}") == expected, what=f"runs of {hours}")  # noqa: B023
    eventually(lambda: next_run(server, "missed 0") == at(18), what="the next run of what makes up for nothing")
    assert runs(server, "missed 0") == []


def test_what_waits_for_a_process_is_not_missed(server: Server, clock: Clock) -> None:
    """Also where nothing is made up for: it was there in time."""
    for name in PROCESSES:
        server.rows("INSERT INTO held VALUES (%s)", [name])
        schedule(server, name, "0 0 1 1 *", f"SELECT public.hold('{name}')")
    server.rows("UPDATE crontab.jobs SET run_now = true")
    eventually(lambda: [runs(server, name)[0][1] for name in PROCESSES if runs(server, name)] == ["running"] * 3)
    schedule(server, "nothing", "10 12 * * *", missed=0)
    schedule(server, "some", "10 12 * * *")
    mark = server.mark()
    set_to(server, clock, at(12, 12))
    server.told(
        r'LOG:  none of the 3 processes for runs of "jobs" has been free for a minute, and schedules wait', mark
    )
    assert runs(server, "nothing") == []
    server.rows("DELETE FROM held")
    eventually(lambda: runs(server, "nothing") == [(at(12, 10), "done")], what="the run that has waited")
    eventually(lambda: runs(server, "some") == [(at(12, 10), "done")], what="the other run that has waited")
    # what is missed once there is room again is missed
    schedule(server, "later", "20 12 * * *", missed=0)
    for name in PROCESSES:
        eventually(lambda: runs(server, name)[-1][1] == "done")  # noqa: B023
    set_to(server, clock, at(12, 30))
    eventually(lambda: next_run(server, "later") == at(12, 20) + timedelta(days=1))
    assert runs(server, "later") == []


def test_a_clock_that_is_set_back_runs_nothing_twice_and_is_told(server: Server, clock: Clock) -> None:
    schedule(server, "hourly", "0 * * * *")
    set_to(server, clock, at(13).replace(second=5))
    ran = [(at(13), "done")]
    eventually(lambda: runs(server, "hourly") == ran)
    mark = server.mark()
    set_to(server, clock, at(12, 30))
    server.told(r'LOG:  1 schedule of "jobs" stands still until 2027-06-01 13:00:00', mark)
    server.told(r"HINT:  To have one go on from now, pause it and resume it\.", mark)
    set_to(server, clock, at(13).replace(second=20))
    assert runs(server, "hourly") == ran
    set_to(server, clock, at(14).replace(second=5))
    eventually(lambda: runs(server, "hourly") == [*ran, (at(14), "done")])
    assert len(server.log("stands still", mark)) == 1


def test_a_schedule_that_stands_still_goes_on_once_it_was_paused_and_resumed(server: Server, clock: Clock) -> None:
    schedule(server, "hourly", "0 * * * *")
    far = NOON.replace(hour=13) + timedelta(days=400)
    set_to(server, clock, far)
    eventually(lambda: [outcome for _, outcome in runs(server, "hourly")] == ["done"])
    set_to(server, clock, NOON)
    assert next_run(server, "hourly") > far - timedelta(hours=1)
    with server.connect() as connection:
        connection.execute("SET ROLE alice")
        connection.execute("SELECT crontab.jobs_pause('hourly'), crontab.jobs_resume('hourly')")
    eventually(lambda: next_run(server, "hourly") == at(13))
    set_to(server, clock, at(13).replace(second=5))
    eventually(lambda: runs(server, "hourly")[1:] == [(at(13), "done")])


def test_a_next_run_by_rules_that_are_no_more_is_found_anew(server: Server, clock: Clock) -> None:
    """All are read every ten minutes, and at the start."""
    schedule(server, "hourly", "0 * * * *")
    for wrong in (at(11), at(16)):
        server.rows("UPDATE crontab.jobs SET next_run = %s", [wrong])
        set_to(server, clock, clock.now() + timedelta(minutes=11))
        eventually(lambda: next_run(server, "hourly") == at(13), what="the next run")
    assert runs(server, "hourly") == []
