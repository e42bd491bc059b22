"""Runs of one schedule that are under way beside each other, and processes and servers that end in their middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving
from tests.server.test_cli_schedules import pgbgw, result

FOLDER = Path(__file__).parent / "declarations"


@pytest.fixture(scope="module")
def started(pg: Pg) -> Iterator[Server]:
    setup = (FOLDER / "beside.sql").read_text()
    with serving(pg, module_of(FOLDER / "beside.py"), setup, settings={"max_worker_processes": "24"}) as running:
        yield running


@pytest.fixture
def server(started: Server) -> Iterator[Server]:
    """Nothing is under way, all processes are there, and nothing holds a run."""
    idle = "SELECT count(*) FROM beside.workers() WHERE state = 'idle'"
    eventually(lambda: started.value(idle) == 8, 30, "eight processes that are idle")
    started.rows("DELETE FROM beside.schedule_runs")
    yield started
    started.rows("UPDATE orders SET held = false, refused = false")
    started.rows("SELECT beside.resume_schedule(name) FROM beside.schedules")
    under_way = "SELECT FROM beside.schedule_runs WHERE outcome = 'running' OR retry_at IS NOT NULL"
    eventually(lambda: not started.rows(under_way), 30, "the end of all runs")


def runs(server: Server, name: str = "export", columns: str = "process, outcome, begun") -> list[tuple[Any, ...]]:
    """The runs of a schedule, in the order in which they began."""
    return server.rows(f"SELECT {columns} FROM beside.schedule_runs WHERE schedule = %s ORDER BY id", [name])


def running(server: Server, name: str = "export") -> list[int]:
    """The numbers of the processes that have a run under way."""
    return sorted(row[0] for row in runs(server, name) if row[1] == "running")


def pids(server: Server, name: str = "export") -> dict[int, int]:
    """Those that are in a run, by their numbers."""
    query = (
        "SELECT w.process, a.pid FROM beside.workers() AS w JOIN pg_stat_activity AS a USING (pid)"
        " WHERE w.worker = %s AND a.wait_event = 'PgSleep'"
    )
    return {int(process): int(pid) for process, pid in server.rows(query, [name])}


def under_way(server: Server, name: str, count: int) -> bool:
    return len(running(server, name)) == count


def hold(server: Server, count: int, name: str = "export") -> dict[int, int]:
    """Have so many runs begin, one asked for after the other, and stay; their processes."""
    server.rows("UPDATE orders SET held = true")
    for number in range(1, count + 1):
        assert server.value("SELECT beside.run_schedule(%s)", [name])
        eventually(partial(under_way, server, name, number), 20, f"{number} runs")
    return held(server, count, name)


def held(server: Server, count: int, name: str = "export") -> dict[int, int]:
    """So many processes that are in a run, once they are seen at one time: they sleep again and again."""
    return eventually(
        lambda: found if len(found := pids(server, name)) == count else {}, 20, f"{count} processes in a run"
    )


def release(server: Server) -> None:
    server.rows("UPDATE orders SET held = false")


def comes_due(server: Server, days: int) -> None:
    """As if so many days had come, and nothing had run."""
    server.rows(
        "UPDATE beside.schedules SET expression = '@daily', settled_until = date_trunc('day', now(), 'UTC')"
        " - make_interval(days => %s) + interval '1 second' WHERE name = 'export'",
        [days],
    )


@pytest.fixture
def daily(server: Server) -> Iterator[Server]:
    yield server
    release(server)
    server.rows("SELECT beside.change_schedule('export')")


def test_as_many_runs_as_are_allowed_go_on_beside_each_other(server: Server) -> None:
    hold(server, 3)
    assert running(server) == [1, 2, 3]
    assert server.value("SELECT beside.run_schedule('export')")
    # what is asked for beyond that waits; another schedule does not
    assert server.value("SELECT beside.run_schedule('before')")
    eventually(lambda: runs(server, "before") == [(1, "done", 1)], 20, "a run of another schedule")
    assert server.value("SELECT run_now FROM beside.schedules WHERE name = 'export'")
    assert running(server) == [1, 2, 3]
    release(server)
    eventually(lambda: [row[1] for row in runs(server)] == ["done"] * 4, 20, "the run that waited")


def test_how_many_are_under_way_is_shown(server: Server) -> None:
    taken = hold(server, 3)
    status = "SELECT outcome, running FROM beside.schedule_status WHERE name = 'export'"
    assert server.rows(status) == [("running", 3)]
    assert "3 running" in pgbgw(server, "schedules", "list")[0]
    assert "under way: 3 runs" in pgbgw(server, "schedules", "show", "export")[0]
    header, *lines = pgbgw(server, "schedules", "runs", "export")[0].splitlines()
    assert "process" in header.split()
    assert len(lines) == 3
    found = result(server, "schedules", "runs", "export")
    # whichever of them was awake has taken the first
    assert sorted(each["process"] for each in found) == [1, 2, 3]
    assert {(each["attempt"], each["begun"]) for each in found} == {(1, 1)}
    told = pgbgw(server, "schedules", "pause", "export")[0]
    assert told == "paused; the 3 runs that are under way go on\n"
    # the last one fails, which is not tried again while it is paused, and the others go on
    server.rows("SELECT pg_cancel_backend(%s)", [taken[found[0]["process"]]])
    eventually(lambda: server.rows(status) == [("failed", 2)], 20, "a failed run")
    assert "failed, 2 running" in pgbgw(server, "schedules", "list")[0]
    assert result(server, "schedules", "show", "export")["running"] == 2


def test_what_comes_due_is_run_beside_what_is_under_way(daily: Server) -> None:
    daily.rows("UPDATE orders SET held = true")
    comes_due(daily, 5)
    eventually(lambda: running(daily) == [1, 2, 3], 20, "three runs")
    held = [due for (due,) in runs(daily, columns="due")]
    release(daily)
    eventually(lambda: [row[1] for row in runs(daily)] == ["done"] * 5, 20, "all five")
    dues = [due for (due,) in runs(daily, columns="due")]
    assert dues[:3] == held
    assert dues == sorted(set(dues))


def test_each_time_is_run_once_whoever_takes_it(daily: Server) -> None:
    comes_due(daily, 600)
    done = "SELECT count(*) FROM beside.schedule_runs WHERE outcome = 'done'"
    eventually(lambda: daily.value(done) == 600, 60, "a run for each day")
    assert not daily.rows("SELECT FROM beside.schedule_runs WHERE outcome <> 'done'")
    dues = [due for (due,) in runs(daily, columns="due")]
    assert dues == sorted(set(dues))
    assert len(daily.rows("SELECT DISTINCT process FROM beside.schedule_runs")) > 1


def test_a_process_that_ends_in_its_run_leaves_those_of_others_alone(server: Server) -> None:
    taken = hold(server, 3)
    server.rows("SELECT pg_terminate_backend(%s)", [taken[2]])
    eventually(lambda: (2, "running", 2) in runs(server), 20, "the run that is begun again")
    assert {number: pid for number, pid in held(server, 3).items() if number != 2} == {1: taken[1], 3: taken[3]}
    assert sorted(runs(server)) == [(1, "running", 1), (2, "running", 2), (3, "running", 1)]
    release(server)
    eventually(lambda: {row[1] for row in runs(server)} == {"done"}, 20, "their end")
    assert sorted(runs(server)) == [(1, "done", 1), (2, "done", 2), (3, "done", 1)]


def test_after_a_crash_each_run_is_begun_again_once(server: Server) -> None:
    taken, mark = hold(server, 3), server.mark()
    os.kill(taken[1], signal.SIGKILL)
    server.wait_for_crash_recovery(mark)
    eventually(lambda: [row[1:] for row in runs(server)] == [("running", 2)] * 3, 30, "three runs, begun again")
    release(server)
    eventually(lambda: [row[1:] for row in runs(server)] == [("done", 2)] * 3, 20, "their end")


def test_outside_a_transaction_only_the_run_of_the_process_is_lost(server: Server) -> None:
    taken = hold(server, 2, "tidy")
    server.rows("SELECT pg_terminate_backend(%s)", [taken[1]])
    eventually(lambda: (1, "lost", 1) in runs(server, "tidy"), 20, "the lost run")
    assert (2, "running", 1) in runs(server, "tidy")
    release(server)
    eventually(lambda: (2, "done", 1) in runs(server, "tidy"), 20, "the end of the other")


def test_the_first_process_takes_what_places_that_are_gone_have_left(server: Server) -> None:
    """As after an upgrade to a declaration that allows fewer."""
    left = (
        "INSERT INTO beside.schedule_runs (schedule, due, process) SELECT 'export', now(), n FROM generate_series(7, 8)"
    )
    server.rows(f"{left} AS n")

    def renew(process: int) -> None:
        pid = server.value("SELECT pid FROM beside.workers() WHERE worker = 'export' AND process = %s", [process])
        server.rows("SELECT pg_terminate_backend(%s)", [pid])
        other = "SELECT FROM beside.workers() WHERE worker = 'export' AND process = %s AND pid <> %s AND state = 'idle'"
        eventually(lambda: server.rows(other, [process, pid]), 20, "another process")

    renew(2)
    # it has looked by then at what there is
    server.rows("SELECT beside.run_schedule('export')")
    eventually(lambda: "done" in [row[1] for row in runs(server)], 20, "a run")
    assert runs(server)[:2] == [(7, "running", 1), (8, "running", 1)]
    renew(1)
    eventually(lambda: runs(server)[:2] == [(1, "done", 2)] * 2, 20, "their end")


def test_two_runs_that_fail_are_both_tried_again(server: Server) -> None:
    hold(server, 2)
    server.rows("UPDATE orders SET held = false, refused = true")
    attempts = "attempt, outcome"
    wanted = [(1, "failed"), (1, "failed"), (2, "failed"), (2, "failed")]
    eventually(lambda: runs(server, columns=attempts) == wanted, 20, "four attempts")


def test_a_run_that_goes_on_for_long_is_not_forgotten(server: Server) -> None:
    taken = hold(server, 2)
    server.rows(
        "INSERT INTO beside.schedule_runs (schedule, due, ended_at, outcome)"
        " SELECT 'export', now(), now(), 'done' FROM generate_series(1, 1100)"
    )
    ((oldest, _), (_, process), *_) = runs(server, columns="id, process")
    server.rows("SELECT pg_cancel_backend(%s)", [taken[process]])
    # what ends has those before the last thousand forgotten
    eventually(lambda: len(runs(server)) < 1100, 20, "those that are forgotten")
    assert runs(server, columns="id, outcome")[0] == (oldest, "running")
    release(server)
    eventually(lambda: not running(server), 20, "its end")


def test_a_process_ends_no_run_of_another_one(server: Server) -> None:
    """As where the extension was created anew meanwhile, and another run has got the same id."""
    taken = hold(server, 1, "tidy")
    ((number, _, _),) = runs(server, "tidy")
    other = 3 - number
    server.rows("UPDATE beside.schedule_runs SET process = %s", [other])
    release(server)
    idle = "SELECT count(*) = 2 FROM beside.workers() WHERE worker = 'tidy' AND state = 'idle'"
    eventually(lambda: server.value(idle), 20, "the end of the run")
    assert runs(server, "tidy") == [(other, "running", 1)]
    pid = server.value("SELECT pid FROM beside.workers() WHERE worker = 'tidy' AND pid <> %s", [taken[number]])
    server.rows("SELECT pg_terminate_backend(%s)", [pid])
    eventually(lambda: runs(server, "tidy") == [(other, "lost", 1)], 20, "what its process sees to")


# Those that wait for a schedule's row


@pytest.fixture
def often(server: Server) -> Iterator[Server]:
    """Two schedules that are due each second."""
    server.rows("SELECT beside.change_schedule(name, '* * * * * *') FROM unnest('{before,once}'::text[]) AS name")
    eventually(lambda: runs(server, "before") and runs(server, "once"), 20, "a first run of each")
    yield server
    server.rows("SELECT beside.change_schedule(name) FROM unnest('{before,once}'::text[]) AS name")


def waiting(server: Server, name: str) -> list[int]:
    """The processes that wait for a lock."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = %s AND wait_event_type = 'Lock'"
    return [pid for (pid,) in server.rows(query, [f"beside {name}"])]


def test_a_look_that_fails_while_it_waits_is_made_again_soon(often: Server) -> None:
    with often.connect() as holder:
        with holder.transaction(force_rollback=True):
            holder.execute("SELECT FROM beside.schedules WHERE name = 'before' FOR UPDATE")
            (pid,) = eventually(lambda: waiting(often, "before"), 20, "a process that waits")
            often.rows("SELECT pg_cancel_backend(%s)", [pid])
            told = rf"\[{pid}\] .*ERROR:  canceling statement due to user request"
            eventually(lambda: often.log(told), 20, "the error")
        released = often.value("SELECT clock_timestamp()")
    later = "SELECT FROM beside.schedule_runs WHERE schedule = 'before' AND started_at > %s"
    eventually(lambda: often.rows(later, [released]), 20, "a run after that")


def test_what_is_due_is_told_by_the_time_at_which_the_row_is_free(often: Server) -> None:
    with often.connect() as holder, holder.transaction(force_rollback=True):
        holder.execute("SELECT FROM beside.schedules WHERE name = 'once' FOR UPDATE")
        eventually(lambda: len(waiting(often, "once")) == 2, 20, "two processes that wait")
        began = often.value("SELECT clock_timestamp()")
        passed = "SELECT clock_timestamp() > %s + interval '3 seconds'"
        eventually(lambda: often.value(passed, [began]), 20, "three times that come due")
        released = often.value("SELECT clock_timestamp()")
    later = "SELECT due FROM beside.schedule_runs WHERE schedule = 'once' AND started_at >= %s ORDER BY id"
    rows = eventually(lambda: (found := often.rows(later, [released]))[2:] and found, 20, "three runs")
    dues = [due for (due,) in rows]
    assert dues == sorted(set(dues))
    # the others that were missed are made up for by one run
    assert released - dues[0] < timedelta(seconds=1)
