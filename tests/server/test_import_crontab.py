"""Jobs of a running pg_cron, and lines of a crontab, taken over into a schedule table, where they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "declarations"

# Debian has pg_cron for its own PostgreSQL.
pytestmark = pytest.mark.parametrize("pg", ["pg15"], indirect=True)

SETTINGS = {
    "shared_preload_libraries": "pg_cron",
    "cron.use_background_workers": "on",
    "max_worker_processes": "24",
}

SETUP = """
CREATE EXTENSION pg_cron;
GRANT USAGE ON SCHEMA cron TO alice, bob, carol;
CREATE DATABASE other;
"""

NEVER = "0 0 1 1 *"


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    if not (pg.sharedir / "extension/pg_cron.control").exists():
        pytest.fail("pg_cron is missing: apt install postgresql-15-cron", pytrace=False)
    setup = (FOLDER / "crontab.sql").read_text()
    with serving(pg, module_of(FOLDER / "crontab.py"), setup, settings=SETTINGS) as server:
        for statement in filter(str.strip, SETUP.split(";")):
            server.rows(statement)
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.rows("DELETE FROM cron.job; DELETE FROM crontab.jobs")
    eventually(lambda: not running.rows("SELECT FROM crontab.jobs_runs WHERE outcome IN ('waiting', 'running')"), 20)
    running.rows("DELETE FROM noted; DELETE FROM crontab.jobs_runs")


def cron(server: Server, role: str, name: str, schedule: str, command: str) -> int:
    """Schedule a job in pg_cron; its id."""
    with server.connect() as connection:
        connection.execute(f"SET ROLE {role}".encode())
        row = connection.execute("SELECT cron.schedule(%s, %s, %s)", [name, schedule, command]).fetchone()
        assert row is not None
        return int(row[0])


def pgbgw(server: Server, *arguments: str, given: str = "", code: int = 0) -> tuple[str, str]:
    """Run the verb with DSN in the place of the server; what it said on standard output and standard error."""
    dsn = server.cluster.conninfo("postgres")
    ran = subprocess.run(
        [sys.executable, "-m", "pgbgw", "import-crontab", *(dsn if each == "DSN" else each for each in arguments)],
        input=given, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == code, ran.stderr
    return ran.stdout, ran.stderr


def schedules(server: Server) -> list[tuple[Any, ...]]:
    return server.rows("SELECT name, owner::text, expression, time_zone, transaction, missed, paused"
                       " FROM crontab.jobs ORDER BY name")  # fmt: skip


def test_jobs_of_pg_cron_run_as_they_did(server: Server) -> None:
    """A job runs by pg_cron, is taken over, stopped there, and runs here as the same role."""
    often = cron(server, "alice", "often", "* * * * *", "INSERT INTO public.noted (what) VALUES ('often')")
    server.rows("CREATE TABLE IF NOT EXISTS public.big (a int); ALTER TABLE public.big OWNER TO bob")
    nightly = cron(server, "bob", "vacuum", "30 2 * * *", "VACUUM public.big;")
    off = cron(server, "carol", "off", "0 9 * * 1#2", "SELECT 'it''s'")
    server.rows("SELECT cron.alter_job(%s, active := false)", [off])
    eventually(
        lambda: server.rows("SELECT FROM cron.job_run_details WHERE jobid = %s AND status = 'succeeded'", [often]), 75,
        "a run by pg_cron",
    )  # fmt: skip
    before = server.rows("SELECT what, by FROM noted")
    assert set(before) == {("often", "alice")}

    out, err = pgbgw(server, "--from", "DSN", "--into", "DSN")
    assert schedules(server) == [
        ("off", "carol", "0 9 * * 1", "UTC", True, 0, True),
        ("often", "alice", "* * * * *", "UTC", True, 0, False),
        ("vacuum", "bob", "30 2 * * *", "UTC", False, 0, False),
    ]
    due = server.rows("SELECT name, next_run FROM crontab.jobs_status ORDER BY name")
    assert due[0] == ("off", None)
    assert due[2] == ("vacuum", Schedule("30 2 * * *", "UTC").next(datetime.now(UTC)))
    assert [line.split()[0] for line in out.splitlines()] == ["name", "often", "vacuum", "off"]
    assert "every day at 02:30" in out
    assert 'reads "1#2" as "1"' in err

    # what it says to type, and then only ours is left
    stop = next(line.strip() for line in err.splitlines() if line.strip().startswith("UPDATE cron.job"))
    assert stop.endswith(f"({often}, {nightly}, {off});")
    server.rows(stop)
    assert server.rows("SELECT FROM cron.job WHERE active") == []
    with server.connect() as connection:
        connection.execute("SET ROLE bob")
        connection.execute("SELECT crontab.jobs_run('vacuum')")
    eventually(lambda: server.rows(
        "SELECT FROM crontab.jobs_runs AS r JOIN crontab.jobs AS s ON s.id = schedule"
        " WHERE name = 'vacuum' AND outcome = 'done'"), what="a VACUUM")  # fmt: skip
    with server.connect() as connection:
        connection.execute("SET ROLE alice")
        connection.execute("SELECT crontab.jobs_run('often')")
    eventually(lambda: len(server.rows("SELECT FROM noted WHERE by = 'alice'")) > len(before))


def test_what_is_paused_at_first_is_let_go_by_what_it_says(server: Server) -> None:
    cron(server, "alice", "on", NEVER, "SELECT 1")
    off = cron(server, "alice", "off", NEVER, "SELECT 1")
    server.rows("SELECT cron.alter_job(%s, active := false)", [off])
    _, err = pgbgw(server, "--from", "DSN", "--into", "DSN", "--paused")
    assert [row[-1] for row in schedules(server)] == [True, True]
    for statement in [line.strip() for line in err.splitlines() if line.strip().startswith("UPDATE ")]:
        server.rows(statement)
    assert [(row[0], row[-1]) for row in schedules(server)] == [("off", True), ("on", False)]
    assert server.rows("SELECT FROM cron.job WHERE active") == []


def test_all_or_nothing(server: Server) -> None:
    cron(server, "alice", "good", NEVER, "SELECT 1")
    cron(server, "alice", "bad", NEVER, "SET work_mem = 1; VACUUM")
    out, err = pgbgw(server, "--from", "DSN", "--into", "DSN", code=1)
    assert (out, schedules(server)) == ("", [])
    assert '"bad": VACUUM must be alone, and there are 2 statements' in err
    assert "nothing was imported" in err
    pgbgw(server, "--from", "DSN", "--into", "DSN", "--skip", code=1)
    assert [row[0] for row in schedules(server)] == ["good"]


def test_what_the_server_refuses_undoes_the_rest(server: Server) -> None:
    server.rows("CREATE ROLE dora LOGIN; GRANT USAGE ON SCHEMA cron TO dora")
    try:
        cron(server, "alice", "good", NEVER, "SELECT 1")
        cron(server, "dora", "hers", NEVER, "SELECT 1")
        _, err = pgbgw(server, "--from", "DSN", "--into", "DSN", code=4)
        assert 'the server refused schedule "hers", and nothing was imported' in err
        assert "schedulers=..." in err
        assert schedules(server) == []
    finally:
        server.rows("DELETE FROM cron.job; REVOKE ALL ON SCHEMA cron FROM dora; DROP ROLE dora")
    cron(server, "alice", "good", NEVER, "SELECT 1")
    _, err = pgbgw(server, "--from", "DSN", "--into", "DSN", "--table", "crontab.others", code=4)
    assert "--table" in err


def test_what_a_role_may_not_have_is_left_out_if_wanted(server: Server) -> None:
    given = "@daily psql -U alice -c 'SELECT 1'\n@daily psql -U gone -c 'SELECT 2'\n@daily psql -U dora -c 'SELECT 3'\n"
    into = ("--crontab", "-", "--time-zone", "UTC", "--into", "DSN")
    server.rows("CREATE ROLE dora LOGIN")
    try:
        _, err = pgbgw(server, *into, given=given, code=4)
        assert 'standard input:2: the server refused schedule "select", and nothing was imported' in err
        assert "Create the role" in err
        assert schedules(server) == []
        _, err = pgbgw(server, *into, "--skip", given=given, code=1)
        assert [row[1] for row in schedules(server)] == ["alice"]
        assert "1 of 3 were taken over" in err
        assert "schedulers=..." in err
    finally:
        server.rows("DROP ROLE dora")


def test_another_schedule_of_that_name_is_not_replaced_unless_wanted(server: Server) -> None:
    first = "@daily psql -U alice -c 'DELETE FROM public.noted'\n"
    other = "@daily psql -U alice -c 'DELETE FROM ONLY public.noted'\n"
    later = "@weekly psql -U alice -c 'DELETE FROM public.noted'\n"
    into = ("--crontab", "-", "--time-zone", "UTC", "--into", "DSN")
    named = "SELECT name, expression, command FROM crontab.jobs ORDER BY name"
    for _ in range(2):
        pgbgw(server, *into, given=first)
        before = server.rows(named)
        assert before == [("delete_noted", "@daily", "DELETE FROM public.noted")]
    _, err = pgbgw(server, *into, given=other, code=4)
    assert 'a schedule "delete_noted" of the same owner, which runs something else' in err
    _, err = pgbgw(server, *into, given=later, code=4)
    assert "which runs at @daily, UTC" in err
    assert "--prefix" in err
    assert server.rows(named) == before
    pgbgw(server, *into, "--prefix", "second_", given=other)
    assert [row[0] for row in server.rows(named)] == ["delete_noted", "second_delete_noted"]
    pgbgw(server, *into, "--replace", given=later)
    assert server.rows(named)[0] == ("delete_noted", "@weekly", "DELETE FROM public.noted")


def test_jobs_of_another_database_wait_for_a_call_of_their_own(server: Server) -> None:
    cron(server, "alice", "here", NEVER, "SELECT 1")
    server.rows("SELECT cron.schedule_in_database('there', %s, 'SELECT 1', 'other')", [NEVER])
    _, err = pgbgw(server, "--from", "DSN", "--into", "DSN")
    assert [row[0] for row in schedules(server)] == ["here"]
    assert '1 of database "other" is left for another call' in err
    pgbgw(server, "--from", "DSN", code=2)
    out, _ = pgbgw(server, "--from", "DSN", "--database", "other")
    assert "'there'" in out
    assert "'here'" not in out


def test_the_script_does_the_same_and_again_changes_nothing(server: Server) -> None:
    cron(server, "alice", "one", "30 2 * * *", "SELECT 'a\\b', $$it's$$")
    cron(server, "bob", "two", "@daily", "VACUUM")
    server.rows("SELECT cron.schedule('*/5 * * * * *', 'SELECT 3')")
    out, err = pgbgw(server, "--from", "DSN", "--missed", "once", "--paused")
    assert 'passes over "*"' in err
    for _ in range(2):
        with server.connect() as connection:
            connection.execute(out.encode())
        found = schedules(server)
        assert [row[2:] for row in found if row[0] in {"one", "two"}] == [
            ("30 2 * * *", "UTC", True, 1, True), ("@daily", "UTC", False, 1, True),
        ]  # fmt: skip
        assert [row[2:] for row in found if row[0].startswith("job_")] == [("*/5 * * * *", "UTC", True, 1, True)]
    assert server.rows("SELECT command FROM crontab.jobs WHERE name = 'one'") == [("SELECT 'a\\b', $$it's$$",)]


def test_a_crontab_is_taken_over(server: Server) -> None:
    given = (
        "0 0 1 1 * psql -U alice -c \"INSERT INTO public.noted (what) VALUES ('crontab')\"\n"
        "@daily psql -d other -c 'SELECT 1'\n"
    )
    out, _ = pgbgw(server, "--crontab", "-", "--time-zone", "Europe/Paris", "--into", "DSN", "--json", given=given)
    (shown,) = json.loads(out)["taken"]
    assert (shown["name"], shown["owner"], shown["time_zone"]) == ("insert_noted_what", "alice", "Europe/Paris")
    assert datetime.fromisoformat(shown["next_run"]) == server.value("SELECT next_run FROM crontab.jobs")
    with server.connect() as connection:
        connection.execute("SET ROLE alice")
        connection.execute("SELECT crontab.jobs_run('insert_noted_what')")
    eventually(lambda: server.rows("SELECT what, by FROM noted") == [("crontab", "alice")])


def test_a_database_without_pg_cron(server: Server) -> None:
    dsn = server.cluster.conninfo("other")
    _, err = pgbgw(server, "--from", dsn, code=4)
    assert 'database "other" has no pg_cron' in err
    assert "cron.database_name" in err
