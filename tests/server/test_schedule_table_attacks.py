"""Tables of schedules against roles that mean harm, and against what comes from other servers: a role gets no rights
that it has not, and spoils nothing for others.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving
from tests.server.test_schedule_tables import FOLDER, NEVER, as_role, ask, noted, outcomes, runner, runs, schedule

OBJECTS = """
    CREATE TABLE public.first (a int);
    CREATE TABLE public.second (a int);
    CREATE FUNCTION public.put_off() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        SET CONSTRAINTS ALL DEFERRED;
        INSERT INTO public.second VALUES (1);
        RETURN NULL;
    END $$;
    CREATE FUNCTION public.at_last() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {body}
        INSERT INTO public.noted (what) VALUES (current_user || ' ' || session_user);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER one AFTER INSERT ON public.first DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.put_off();
    CREATE CONSTRAINT TRIGGER two AFTER INSERT ON public.second DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.at_last();
"""


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "crontab.py"), (FOLDER / "crontab.sql").read_text()) as server:
        server.rows(
            "GRANT CREATE ON SCHEMA public TO alice, carol; GRANT USAGE ON SEQUENCE noted_id_seq TO alice, carol"
        )
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """No schedules, nothing held, nothing written, no run under way."""
    yield running
    running.rows("DELETE FROM held")
    running.rows("DELETE FROM crontab.jobs")
    eventually(lambda: not running.rows("SELECT FROM crontab.jobs_runs WHERE outcome IN ('waiting', 'running')"), 20)
    running.rows("DELETE FROM noted; DELETE FROM crontab.jobs_runs; DROP TABLE IF EXISTS first, second")
    running.rows("DROP FUNCTION IF EXISTS put_off(), at_last()")


def once(server: Server, role: str, name: str, command: str, **options: Any) -> str:
    """Have a role run something, and wait until that has ended; what became of it."""
    schedule(server, role, name, NEVER, command, **options)
    ask(server, role, name)
    eventually(lambda: outcomes(server, name) in (["done"], ["failed"], ["lost"]), 20, name)
    return outcomes(server, name)[0]


@pytest.mark.parametrize("role", ["alice", "carol"])
def test_triggers_that_put_themselves_off_are_still_the_owners(server: Server, role: str) -> None:
    """Also where the session is another one's, which carol's is before PostgreSQL 17."""
    body = "BEGIN ALTER ROLE alice SUPERUSER; EXCEPTION WHEN insufficient_privilege THEN END;"
    command = OBJECTS.format(body=body) + "INSERT INTO public.first VALUES (1)"
    assert once(server, role, "escape", command) == "done"
    ((what, by),) = noted(server)
    assert (what.split()[0], by) == (role, role)
    assert server.rows("SELECT rolname FROM pg_roles WHERE rolsuper AND rolname = 'alice'") == []


def test_triggers_that_put_themselves_off_are_timed_and_leave_nothing(server: Server) -> None:
    body = "PERFORM set_config('search_path', 'evil, public', false); PERFORM pg_advisory_lock(4711);"
    command = OBJECTS.format(body=body) + "INSERT INTO public.first VALUES (1)"
    assert once(server, "alice", "leave", command) == "done"
    seen = "INSERT INTO public.noted (what) SELECT current_setting('search_path') || ' ' || count(*) FROM pg_locks"
    assert once(server, "alice", "see", f"{seen} WHERE locktype = 'advisory'") == "done"
    assert noted(server)[-1] == ('"$user", public 0', "alice")
    server.rows("CREATE OR REPLACE FUNCTION public.at_last() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END'")  # fmt: skip
    command = "INSERT INTO public.first VALUES (1)"
    assert once(server, "alice", "late", command, timeout=timedelta(milliseconds=200)) == "failed"
    assert runs(server, "late") == [("failed", "57014", 1)]


def test_an_error_of_the_scheduler_gives_no_run_out_twice(server: Server) -> None:
    """A run is to be begun again, and what was to be done with it is undone by an error that comes after it."""
    server.rows("INSERT INTO held VALUES ('alice')")
    schedule(server, "alice", "once", NEVER, "SELECT public.hold('alice')")
    schedule(server, "bob", "other", NEVER, "SELECT 1")
    ask(server, "alice", "once")
    process, scheduler = runner(server, "alice"), server.pid("crontab jobs")
    assert scheduler is not None
    with server.connect() as connection:
        os.kill(scheduler, signal.SIGSTOP)
        try:
            ask(server, "bob", "other")
            server.rows("SELECT pg_terminate_backend(%s)", [process])
            gone = "SELECT FROM pg_stat_activity WHERE pid = %s"
            eventually(lambda: not server.rows(gone, [process]), what="its end")
            connection.execute("BEGIN")
            connection.execute("LOCK TABLE crontab.jobs IN EXCLUSIVE MODE")
        finally:
            os.kill(scheduler, signal.SIGCONT)
        waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        eventually(lambda: server.rows(waits, [scheduler]), 20, "a scheduler that waits")
        mark = server.mark()
        server.rows("SELECT pg_cancel_backend(%s)", [scheduler])
        server.told(rf"\[{scheduler}\] .*canceling statement due to user request", mark)
        connection.execute("ROLLBACK")
    eventually(lambda: runs(server, "once") == [("running", None, 2)], 20, "the run, begun again")
    eventually(lambda: outcomes(server, "other") == ["done"], 20, "a look after that")
    busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'crontab jobs runner' AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy) == 1, what="one process in the run")
    server.rows("DELETE FROM held")
    eventually(lambda: runs(server, "once") == [("done", None, 2)], 20, "its end")
    active = "SELECT FROM pg_stat_activity WHERE backend_type = 'crontab jobs runner' AND state = 'active'"
    eventually(lambda: not server.rows(active), what="the end of all runs")
    assert noted(server) == [("alice", "alice")]


@pytest.mark.slow
def test_a_process_that_takes_long_to_connect_keeps_its_run(server: Server) -> None:
    """For a minute, after which one that has not begun is given up."""
    for name in ("late", "other"):
        schedule(server, "bob", name, NEVER, f"INSERT INTO public.noted (what) VALUES ('{name}')")
    mine = "FROM pg_stat_activity WHERE backend_type = 'crontab jobs runner'"
    server.rows(f"SELECT pg_terminate_backend(pid) {mine}")
    eventually(lambda: not server.rows(f"SELECT {mine}"), what="the end of all processes")
    ended = "SELECT outcome FROM crontab.jobs_runs ORDER BY id"
    with server.connect() as holder, server.connect() as looker:
        # whoever connects reads that
        holder.execute("BEGIN")
        holder.execute("LOCK pg_catalog.pg_db_role_setting IN ACCESS EXCLUSIVE MODE")
        run_now = "UPDATE crontab.jobs SET run_now = true WHERE name = %s RETURNING clock_timestamp()"
        ((asked,),) = looker.execute(run_now, ["late"]).fetchall()

        def after() -> bool:
            ((now,),) = looker.execute("SELECT clock_timestamp()").fetchall()
            return bool(now > asked + timedelta(seconds=62))

        eventually(after, 120, "a minute")
        looker.execute(run_now, ["other"])
        eventually(lambda: looker.execute(ended).fetchall() == [("running",)] * 2, 20, "two runs")
        holder.execute("ROLLBACK")
    eventually(lambda: server.rows(ended) == [("done",)] * 2, 30, "the end of both")
    assert sorted(noted(server)) == [("late", "bob"), ("other", "bob")]


def test_rows_that_nobody_reads_are_not_kept(server: Server) -> None:
    """Memory is everybody's: where there is none, the server may end."""
    server.rows("INSERT INTO held VALUES ('alice')")
    schedule(server, "alice", "small", NEVER, "SELECT public.hold('alice')")
    ask(server, "alice", "small")
    process = runner(server, "alice")
    server.rows("DELETE FROM held")
    eventually(lambda: outcomes(server, "small") == ["done"])
    before = peak(process)
    assert once(server, "alice", "large", "SELECT g, repeat('x', 100) FROM generate_series(1, 500000) AS g") == "done"
    assert peak(process) - before < 40 * 1024


def peak(process: int) -> int:
    """How much memory it had at most, in kB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def test_what_another_server_has_taken_ends_no_restore(server: Server) -> None:
    """Of a dump, which says row_security = off: as of a version with other words, or another tz database."""
    mark = server.mark()
    columns = "name, expression, time_zone, command, transaction, owner"
    with server.connect() as connection:
        connection.execute("SET row_security = off")
        with connection.cursor().copy(f"COPY crontab.jobs ({columns}) FROM STDIN".encode()) as copy:
            for name, expression, zone, command in (
                ("words", "* * * * * *", "UTC", "SELEC 1"),
                ("zone", "* * * * * *", "Europe/Nowhere", "SELECT 1"),
                ("expression", "61 * * * *", "UTC", "SELECT 1"),
                ("well", "* * * * * *", "UTC", "INSERT INTO public.noted (what) VALUES ('well')"),
            ):
                copy.write_row((name, expression, zone, command, True, "alice"))
    eventually(lambda: "done" in outcomes(server, "well"), 20, "what is well")
    eventually(lambda: "failed" in outcomes(server, "words"), 20, "what is not")
    assert runs(server, "words")[0] == ("failed", "42601", 1)
    shown = {name: (due is None, local is None) for name, due, local in server.rows(
        "SELECT name, next_run, next_run_local FROM crontab.jobs_status")}  # fmt: skip
    assert shown["zone"] == shown["expression"] == (True, True)
    assert shown["well"] == (False, False)
    told = "is never due: its expression or its time zone is not known here"
    assert len(server.log(told, mark)) >= 2
    # asked for, they run all the same
    ask(server, "alice", "zone")
    eventually(lambda: outcomes(server, "zone") == ["done"], 20, "the run that was asked for")
    # and by hand nothing of the kind is taken
    with as_role(server, "alice") as connection, pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute("UPDATE crontab.jobs SET expression = '* * * * *' WHERE name = 'zone'")


def test_a_zone_is_one_of_the_database(server: Server) -> None:
    """Of others there are as many as somebody makes up, and the server keeps each."""
    for zone in ("Aabc5", "XYZ-3:30", "<+03>-3", "EST5EDT4", "Etc/Foo5", "Etc/GMT+5EDT"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="not recognized"):
            schedule(server, "alice", "zone", NEVER, "SELECT 1", time_zone=zone)
    for zone in ("EST5EDT", "est5edt", "Etc/GMT+5", "Etc/GMT-14", "UTC", "GMT0", "America/Argentina/Buenos_Aires"):
        schedule(server, "alice", "zone", NEVER, "SELECT 1", time_zone=zone)
    with pytest.raises(psycopg.errors.CheckViolation):
        schedule(server, "alice", "long", f"{'0,' * 1000}0 0 1 1 *", "SELECT 1")


@pytest.mark.parametrize("zone", ["CET", "EET", "MET", "WET", "Europe/Paris"])
def test_times_are_shown_by_the_clocks_of_the_zone(server: Server, zone: str) -> None:
    """SQL's own function takes CET for what Central Europe has in winter, also in summer."""
    schedule(server, "alice", "summer", "30 2 1 7 *", "SELECT 1", time_zone=zone)
    query = "SELECT extract(hour FROM next_run_local), extract(minute FROM next_run_local) FROM crontab.jobs_status"
    assert server.rows(query) == [(2, 30)]


def test_a_time_limit_is_one(server: Server) -> None:
    for timeout in ("400 microseconds", "-1 year 361 days", "1 year -340 days", "25 days", "0"):
        with pytest.raises(psycopg.errors.CheckViolation):
            schedule(server, "alice", "limit", NEVER, "SELECT 1", timeout=timeout)
    for timeout in ("1 ms", "24 days", "1 hour"):
        schedule(server, "alice", "limit", NEVER, "SELECT 1", timeout=timeout)


def test_an_error_ends_the_run_and_not_the_session(server: Server) -> None:
    server.rows("ALTER ROLE bob SET exit_on_error = on")
    # those that are there have begun without it
    mine = "FROM pg_stat_activity WHERE backend_type = 'crontab jobs runner' AND usename = 'bob'"
    server.rows(f"SELECT pg_terminate_backend(pid) {mine}")
    eventually(lambda: not server.rows(f"SELECT {mine}"), what="the end of the processes of bob")
    try:
        assert once(server, "bob", "exit", "SELECT 1 / 0") == "failed"
        assert runs(server, "exit") == [("failed", "22012", 1)]
    finally:
        server.rows("ALTER ROLE bob RESET exit_on_error")


def test_an_owner_who_may_log_in_from_now_on_does(server: Server) -> None:
    by = "INSERT INTO public.noted (what) SELECT session_user"
    assert once(server, "carol", "before", by) == "done"
    server.rows("ALTER ROLE carol LOGIN")
    try:
        assert once(server, "carol", "after", by) == "done"
        assert once(server, "carol", "outside", by, transaction=False) == "done"
        assert noted(server)[-2:] == [("carol", "carol")] * 2
    finally:
        server.rows("ALTER ROLE carol NOLOGIN")
