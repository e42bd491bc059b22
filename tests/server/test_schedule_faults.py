"""Faults of runs by the calendar: what is dropped, deleted or paused beside a run, crashes without end, and the log."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import ModuleIR
from tests.server.running import Server, compile_for, module_of, serving
from tests.server.test_schedules import FOLDER, NAMES, held, noted, now, pid, runs

READY = "SELECT count(*) FROM rota.workers() WHERE state = 'idle'"


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "rota.py"), (FOLDER / "rota.sql").read_text()) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """All schedules as declared, none held, nothing written."""
    eventually(lambda: running.value(READY) == len(NAMES), 20, "idle workers")
    yield running
    running.rows("UPDATE orders SET held = false, failing = false")
    running.rows("CREATE EXTENSION IF NOT EXISTS rota")
    eventually(lambda: running.value("SELECT count(*) FROM rota.schedules") == len(NAMES), 20, "the rows of all")
    for name in NAMES:
        running.rows("SELECT rota.resume_schedule(%s)", [name])
    eventually(lambda: not running.rows("SELECT FROM rota.schedule_runs WHERE outcome = 'running'"), 20)
    running.rows("TRUNCATE noted; DELETE FROM rota.schedule_runs")


def waits_for_lock(server: Server) -> bool:
    return bool(server.rows("SELECT FROM pg_stat_activity WHERE query LIKE 'DROP %%' AND wait_event_type = 'Lock'"))


def complaints(server: Server, mark: int) -> list[str]:
    return server.log(r"(ERROR|FATAL|WARNING|PANIC):", mark)


def vacuuming(server: Server) -> int:
    """Have the run that is outside a transaction begin; it waits for a lock on its table. Its process."""
    assert server.value("SELECT rota.run_schedule('vacuum')")
    waiting = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rota vacuum' AND wait_event_type = 'Lock'"
    ((process,),) = eventually(lambda: server.rows(waiting), what="a waiting VACUUM")
    return int(process)


def test_the_extension_is_dropped_while_a_run_is_under_way(server: Server) -> None:
    """DROP waits for the end of the run, which is kept; the worker waits until there is an extension again."""
    process, mark = held(server), server.mark()
    with ThreadPoolExecutor(1) as pool:
        dropping = pool.submit(server.rows, "DROP EXTENSION rota")
        try:
            eventually(lambda: waits_for_lock(server), what="DROP EXTENSION")
        finally:
            server.rows("UPDATE orders SET held = false")
        dropping.result(20)
    assert noted(server, "nightly") == 1
    server.told('worker "rota nightly" waits for extension', mark)
    server.rows("CREATE EXTENSION rota")
    server.rows("SELECT pg_reload_conf()")
    eventually(lambda: server.rows("SELECT FROM rota.schedules WHERE name = 'nightly'"), 20, "its row")
    assert pid(server, "nightly") == process
    # the new extension begins with what is declared, and makes up for nothing
    assert runs(server, "nightly") == []
    assert complaints(server, mark) == []


def test_the_extension_is_another_one_when_a_run_ends(server: Server) -> None:
    """Outside a transaction DROP does not wait; what then becomes of the run is told of nobody else's."""
    mark = server.mark()
    with server.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE noted IN SHARE UPDATE EXCLUSIVE MODE")
        process = vacuuming(server)
        ((last,),) = server.rows("SELECT max(id) FROM rota.schedule_runs")
        server.rows("DROP EXTENSION rota")
        server.rows("CREATE EXTENSION rota")
        # until another run has the number of the one that is under way
        eventually(lambda: (server.value("SELECT max(id) FROM rota.schedule_runs") or 0) > last, 60, "as many runs")
        before = server.rows("SELECT id, outcome, ended_at FROM rota.schedule_runs WHERE id = %s", [last])
        server.rows("SELECT pg_cancel_backend(%s)", [process])
        server.told("canceling statement due to user request", mark)
        eventually(lambda: server.value("SELECT state FROM rota.workers() WHERE worker = 'vacuum'") == "idle")
        assert server.rows("SELECT id, outcome, ended_at FROM rota.schedule_runs WHERE id = %s", [last]) == before
        assert server.rows("SELECT FROM rota.schedule_runs WHERE outcome IN ('failed', 'lost')") == []
    assert pid(server, "vacuum") == process
    server.rows("SELECT rota.run_schedule('vacuum')")
    eventually(lambda: [row[1] for row in runs(server, "vacuum")] == ["done"], 20, "a run after that")


def _ended_as(server: Server, wanted: list[tuple[str, str | None]]) -> bool:
    return [row[1:] for row in runs(server, "nightly")] == wanted


def test_the_handler_is_dropped_while_it_runs(server: Server) -> None:
    """The run ends well; each that follows fails once, at its own time, until the function is there again."""
    source = server.value("SELECT pg_get_functiondef('public.nightly'::regproc)")
    process, mark = held(server), server.mark()
    server.rows("DROP FUNCTION public.nightly()")
    server.rows("UPDATE orders SET held = false")
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["done"], what="the end of the run")
    for count in range(1, 5):
        server.rows("SELECT rota.run_schedule('nightly')")
        wanted: list[tuple[str, str | None]] = [("done", None), *[("failed", "42883")] * count]
        eventually(partial(_ended_as, server, wanted), what="a failed run")
    # of an error that repeats, the log has the first, the second and the fourth
    assert len(server.log("ERROR:  function public.nightly", mark)) == 3
    server.rows(source)
    server.rows("SELECT rota.run_schedule('nightly')")
    eventually(lambda: runs(server, "nightly")[-1][1] == "done", what="a run after that")
    assert pid(server, "nightly") == process
    server.told('worker "rota nightly" works again after 4 failures', mark)


def test_the_row_of_a_schedule_is_deleted_while_it_runs(server: Server) -> None:
    process, mark = held(server), server.mark()
    server.rows("DELETE FROM rota.schedules WHERE name = 'nightly'")
    server.rows("UPDATE orders SET held = false")
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["done"], what="the end of the run")
    row = "SELECT expression, paused, next_run > clock_timestamp() FROM rota.schedules WHERE name = 'nightly'"
    eventually(lambda: server.rows(row) == [("30 2 * * *", False, True)], what="its row again")
    assert (noted(server, "nightly"), pid(server, "nightly")) == (1, process)
    assert complaints(server, mark) == []


def kill(server: Server, process: int) -> int:
    """Kill a process in the middle of the run, and wait until another one is in it, or none; its pid, or 0."""
    os.kill(process, signal.SIGKILL)
    busy = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rota nightly' AND wait_event = 'PgSleep'"
    left = "SELECT FROM rota.schedule_runs WHERE schedule = 'nightly' AND outcome = 'running'"

    def settled() -> list[int]:
        with contextlib.suppress(psycopg.OperationalError):
            if found := server.rows(busy):
                return [pid for (pid,) in found if pid != process]
            return [] if server.rows(left) else [0]
        return []

    return eventually(settled, 30, "what becomes of the run")[0]


def test_a_run_that_brings_the_server_down_is_not_begun_for_ever(server: Server) -> None:
    process, mark = held(server), server.mark()
    begun = "SELECT begun FROM rota.schedule_runs WHERE schedule = 'nightly' AND outcome = 'running'"
    for count in (2, 3):
        process = kill(server, process)
        assert process
        assert server.rows(begun) == [(count,)]
    assert kill(server, process) == 0
    rows = "SELECT outcome, begun, error FROM rota.schedule_runs WHERE schedule = 'nightly'"
    assert server.rows(rows) == [("lost", 3, "the process ended in the middle of the run")]
    assert len(server.log('LOG:  a run of schedule "nightly" is lost', mark)) == 1
    assert noted(server, "nightly") == 0
    # that was one run: the next one is another
    server.rows("UPDATE orders SET held = false")
    server.rows("SELECT rota.run_schedule('nightly')")
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["lost", "done"], what="a run after that")


def test_a_run_that_was_cut_off_is_not_begun_again_once_it_is_paused(server: Server) -> None:
    process = held(server)
    assert server.value("SELECT rota.pause_schedule('nightly')")
    server.rows("SELECT pg_terminate_backend(%s)", [process])
    eventually(lambda: [row[1] for row in runs(server, "nightly")] == ["lost"], 20, "a lost run")
    eventually(lambda: pid(server, "nightly") not in (None, process), 20, "another process")
    assert noted(server, "nightly") == 0


def test_what_is_changed_while_a_worker_looks_is_not_undone(server: Server) -> None:
    """A look that finds something to write down looks again once it has the row for itself."""
    moved = now(server).replace(year=2020)
    with server.connect() as connection:
        # with that the worker has something to plan; it waits for our transaction when it comes to that
        server.rows("UPDATE rota.schedules SET next_run = %s WHERE name = 'nightly'", [moved])
        connection.execute("BEGIN")
        connection.execute("SELECT rota.change_schedule('nightly', '0 7 * * *')")
        planned = connection.execute("SELECT settled_until FROM rota.schedules WHERE name = 'nightly'").fetchone()
        process = pid(server, "nightly")
        server.rows("SELECT pg_terminate_backend(%s)", [process])
        waiting = "SELECT FROM pg_stat_activity WHERE backend_type = 'rota nightly' AND wait_event_type = 'Lock'"
        eventually(lambda: server.rows(waiting), 20, "a worker that waits for the row")
        connection.execute("COMMIT")
    eventually(lambda: server.value("SELECT state FROM rota.workers() WHERE worker = 'nightly'") == "idle")
    kept = "SELECT settled_until, extract(hour FROM next_run AT TIME ZONE 'Europe/Paris') FROM rota.schedules"
    assert planned is not None
    assert server.rows(f"{kept} WHERE name = 'nightly'") == [(planned[0], 7)]
    server.rows("SELECT rota.change_schedule('nightly')")


def test_what_is_paused_while_a_worker_is_about_to_run_does_not_run(server: Server) -> None:
    """It has seen that a run is due, and waits for the row: then it sees that it is paused."""
    # wakes nobody, so that the worker learns of it as another process
    server.rows("UPDATE rota.schedules SET settled_until = settled_until - interval '2 days' WHERE name = 'nightly'")
    process = pid(server, "nightly")
    with server.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT rota.pause_schedule('nightly')")
        server.rows("SELECT pg_terminate_backend(%s)", [process])
        waiting = "SELECT FROM pg_stat_activity WHERE backend_type = 'rota nightly' AND wait_event_type = 'Lock'"
        eventually(lambda: server.rows(waiting), 20, "a worker that waits for the row")
        connection.execute("COMMIT")
    eventually(lambda: server.value("SELECT state FROM rota.workers() WHERE worker = 'nightly'") == "idle")
    assert runs(server, "nightly") == []
    assert noted(server, "nightly") == 0


def test_the_last_thousand_runs_are_kept_of_those_that_fail_as_well(server: Server) -> None:
    server.rows("INSERT INTO rota.schedule_runs (schedule, due, outcome)"
                " SELECT 'nightly', now(), 'failed' FROM generate_series(1, 1500)")  # fmt: skip
    server.rows("UPDATE orders SET failing = true")
    server.rows("SELECT rota.run_schedule('nightly')")
    count = "SELECT count(*) FROM rota.schedule_runs WHERE schedule = 'nightly'"
    eventually(lambda: server.value(count) == 1000, what="a thousand runs")


UPGRADED = """\
from pgbgw import Extension, sql

moved = Extension("moved", version="{version}", database="postgres")
moved.cron_worker("followed", "0 {hour} * * *", run=sql("SELECT 1"))
moved.cron_worker("changed", "0 {hour} * * *", run=sql("SELECT 1"))
"""


def test_an_upgrade_of_the_extension_brings_another_schedule(pg: Pg, tmp_path: Path) -> None:
    """The worker waits for the upgrade, then follows what is declared, unless somebody has changed it."""

    def declared(version: str, hour: int) -> ModuleIR:
        path = tmp_path / f"moved_{hour}.py"
        path.write_text(UPGRADED.format(version=version, hour=hour))
        return module_of(path)

    rows = "SELECT name, expression, declared_expression FROM moved.schedules ORDER BY name"
    with serving(pg, declared("1.0", 1)) as server:
        before = [("changed", "0 1 * * *", "0 1 * * *"), ("followed", "0 1 * * *", "0 1 * * *")]
        eventually(lambda: server.rows(rows) == before, 20, "the rows of both")
        server.rows("SELECT moved.change_schedule('changed', '30 6 * * *')")
        server.cluster.stop()
        installed = server.cluster.install(compile_for(pg, declared("1.1", 5), tmp_path)).files
        control = next(file for file in installed if file.suffix == ".control")
        control.with_name("moved--1.0--1.1.sql").write_text("-- all SQL objects are as they were\n")
        mark = server.mark()
        server.cluster.start()
        server.told('worker "moved followed" waits: extension "moved" has version 1.0', mark)
        assert ("followed", "0 1 * * *", "0 1 * * *") in server.rows(rows)
        server.rows("ALTER EXTENSION moved UPDATE")
        server.rows("SELECT pg_reload_conf()")
        after = [("changed", "30 6 * * *", "0 5 * * *"), ("followed", "0 5 * * *", "0 5 * * *")]
        eventually(lambda: server.rows(rows) == after, 20, "what is declared now")
        following = "SELECT next_run FROM moved.schedule_status WHERE name = 'followed'"
        wanted = Schedule("0 5 * * *").next(now(server))
        eventually(lambda: server.value(following) == wanted, what="the next run")
        # nothing of the new schedule was missed before there was one
        assert server.rows("SELECT FROM moved.schedule_runs") == []
