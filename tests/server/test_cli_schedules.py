"""The verbs that look at schedules and steer them, and the roles that may, against a real server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from click.testing import CliRunner

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.cli.app import cli
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, compile_for, module_of, serving

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "declarations"


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    """Two extensions with schedules, one of them in a schema that is not its own."""
    watch = module_of(FOLDER / "watch.py")
    with (
        serving(pg, module_of(FOLDER / "rota.py"), (FOLDER / "rota.sql").read_text()) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.cluster.install(compile_for(pg, watch, Path(folder)))
        server.cluster.preload("watch")
        server.cluster.restart()
        server.rows("CREATE EXTENSION watch")
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """All as declared, and nothing written; the one that runs each second is paused."""
    yield running
    running.rows("UPDATE orders SET held = false, failing = false")
    for name in ("nightly", "last", "skip", "vacuum"):
        running.rows("SELECT rota.change_schedule(%s), rota.resume_schedule(%s)", [name, name])
    eventually(lambda: not running.rows("SELECT FROM rota.schedule_runs WHERE outcome = 'running'"), 20)
    running.rows("TRUNCATE noted; DELETE FROM rota.schedule_runs")


def pgbgw(
    server: Server, *arguments: str, code: int = 0, user: str = "postgres", dbname: str = "postgres"
) -> tuple[str, str]:
    """Run a verb on the server; what it said on standard output and standard error."""
    dsn = f"{server.cluster.conninfo(dbname)} user={user}"
    ran = CliRunner().invoke(cli, [*arguments, "--dsn", dsn], prog_name="pgbgw")
    assert ran.exit_code == code, ran.output
    return ran.stdout, ran.stderr


def start(server: Server, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "pgbgw", *arguments, "--dsn", server.cluster.conninfo("postgres")]
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "xterm"}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, **options)


def result(server: Server, *arguments: str, code: int = 0, user: str = "postgres") -> Any:
    """The same with --json."""
    return json.loads(pgbgw(server, *arguments, "--json", code=code, user=user)[0])


def planned(server: Server) -> None:
    """All workers have looked at their schedules."""
    rows = "SELECT FROM rota.schedules WHERE next_run IS NOT NULL UNION ALL SELECT FROM watch_schedules"
    eventually(lambda: len(server.rows(rows)) == 7, what="seven schedules")


def as_role(server: Server, role: str, query: str) -> Any:
    """What a query returns to a role."""
    with server.connect() as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


STEERING = (
    "SELECT rota.run_schedule('last')",
    "SELECT rota.pause_schedule('last')",
    "SELECT rota.resume_schedule('last')",
    "SELECT rota.change_schedule('last', '0 0 * * *', 'Europe/Paris')",
)
LOOKING = (
    "SELECT rota.next_run('0 0 * * *') > now()",
    "SELECT count(*) >= 5 FROM rota.schedule_status",
    "SELECT count(*) >= 0 FROM rota.schedule_runs",
)


def test_an_operator_may_and_a_stranger_may_not(server: Server) -> None:
    planned(server)
    for query in (*STEERING, *LOOKING):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(server, "rota_stranger", query)
    assert server.rows("SELECT paused, run_now, expression FROM rota.schedules WHERE name = 'last'") == [
        (False, False, "*/10 * * * *")
    ]
    for query in (*STEERING, *LOOKING):
        assert as_role(server, "rota_ops", query) is True, query
    assert server.value("SELECT expression FROM rota.schedules WHERE name = 'last'") == "0 0 * * *"
    # by these functions alone
    for query in (
        "UPDATE rota.schedules SET paused = true",
        "DELETE FROM rota.schedule_runs",
        "SELECT count(*) FROM rota.schedules",
        "SELECT count(*) FROM rota.workers()",
        "SELECT rota.request_shutdown()",
        "CREATE TABLE rota.own ()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(server, "rota_ops", query)


def test_an_operator_lends_nothing_to_what_it_has_made(server: Server) -> None:
    """The functions run with the owner's rights, and find nothing of whoever calls them."""
    with server.connect() as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO rota_ops")
        connection.execute("SET SESSION AUTHORIZATION rota_ops")
        connection.execute(
            "CREATE FUNCTION public.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'as %', current_user; END$$"
        )
        connection.execute("CREATE OPERATOR public.= (FUNCTION = public.equal, LEFTARG = text, RIGHTARG = text)")
        connection.execute("CREATE TEMPORARY TABLE schedules (name text, paused boolean)")
        connection.execute("SET search_path = public, pg_temp, pg_catalog")
        row = connection.execute(
            "SELECT rota.pause_schedule('last'), rota.resume_schedule('last'), rota.run_schedule('nobody'),"
            " rota.change_schedule('last')"
        ).fetchone()
        assert row == (True, True, False, True)
        connection.execute("DROP OPERATOR public.= (text, text); DROP FUNCTION public.equal(text, text)")
        connection.execute("RESET SESSION AUTHORIZATION; REVOKE CREATE ON SCHEMA public FROM rota_ops")


def test_a_pause_tells_whether_there_is_such_a_schedule(server: Server) -> None:
    planned(server)
    query = "SELECT rota.{0}_schedule('skip'), rota.{0}_schedule('nobody')"
    assert [server.rows(query.format(verb)) for verb in ("pause", "pause", "resume", "resume")] == [
        [(True, None)], [(False, None)], [(True, None)], [(False, None)]
    ]  # fmt: skip


def test_list(server: Server) -> None:
    planned(server)
    server.rows("UPDATE orders SET failing = true")
    pgbgw(server, "schedules", "run", "rota.nightly", "--wait", code=1)
    pgbgw(server, "schedules", "pause", "skip")
    pgbgw(server, "schedules", "change", "last", "0 12 1 1 *")
    out, err = pgbgw(server, "schedules", "list")
    assert err == ""
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["schedule"].split() == ["schedule", "next", "run", "in", "last", "run", "took", "error"]
    assert set(lines) - {"schedule"} == {
        *(f"rota.{name}" for name in ("last", "nightly", "often", "skip", "vacuum")), "watch.check", "watch.nightly"
    }  # fmt: skip
    assert lines["rota.nightly"].endswith("told to fail")
    assert " failed " in lines["rota.nightly"]
    assert " 02:30 CE" in lines["rota.nightly"]
    assert " in " in lines["rota.nightly"]
    assert lines["rota.skip"].split() == ["rota.skip", "paused"]
    assert lines["rota.last"].split()[:2] == ["rota.last", "changed"]
    assert len({line.rstrip() == line for line in out.splitlines()}) == 1
    found = {(each["extension"], each["name"]): each for each in result(server, "schedules", "list")}
    nightly = found["rota", "nightly"]
    assert (nightly["outcome"], nightly["error"], nightly["sqlstate"]) == ("failed", "told to fail", "P0007")
    following = Schedule("30 2 * * *", "Europe/Paris").next(datetime.now(UTC))
    assert following is not None
    assert nightly["next_run"] == following.isoformat()
    assert 0 < nightly["duration"] < 60
    assert (found["rota", "skip"]["paused"], found["rota", "skip"]["next_run"]) == (True, None)
    assert found["rota", "last"]["changed"] is True
    assert found["watch", "nightly"]["time_zone"] == "America/New_York"


def test_times_by_the_clocks_of_whoever_looks(server: Server) -> None:
    planned(server)
    pgbgw(server, "schedules", "run", "rota.nightly", "--wait")
    here = ("--time-zone", "Asia/Kathmandu")
    out, _ = pgbgw(server, "schedules", "list", *here)
    lines = {line.split()[0]: line for line in out.splitlines()}
    following = Schedule("30 2 * * *", "Europe/Paris").next(datetime.now(UTC))
    assert following is not None
    there = following.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert f" {there:%d %b %H:%M} +0545 " in lines["rota.nightly"]
    assert " +0545 " in lines["watch.nightly"]
    found = {each["name"]: each for each in result(server, "schedules", "list", *here) if each["extension"] == "rota"}
    assert (found["nightly"]["next_run"], found["nightly"]["time_zone"]) == (there.isoformat(), "Europe/Paris")
    assert found["nightly"]["ended_at"].endswith("+05:45")
    out, _ = pgbgw(server, "schedules", "show", "rota.nightly", *here)
    assert "Europe/Paris (30 2 * * *)" in out
    assert out.count(" +0545") == 2
    out, _ = pgbgw(server, "schedules", "runs", "rota.nightly", *here)
    assert out.count(" +0545 ") == 1
    assert result(server, "schedules", "runs", "rota.nightly", *here)[0]["due"].endswith("+05:45")
    _, err = pgbgw(server, "schedules", "list", "--time-zone", "Asia/Katmandou", code=2)
    assert 'there is no time zone "Asia/Katmandou"' in err
    assert "Asia/Katmandu" in err


def test_what_failed_stands_out_on_a_terminal_of_80_columns(server: Server) -> None:
    planned(server)
    server.rows("UPDATE orders SET failing = true")
    pgbgw(server, "schedules", "run", "rota.nightly", "--wait", code=1)
    leader, follower = pty.openpty()
    shown = b""
    with start(server, "schedules", "list", stdout=follower) as process:
        os.close(follower)
        # the end of a terminal is an error
        with contextlib.suppress(OSError):
            while piece := os.read(leader, 65536):
                shown += piece
        os.close(leader)
    assert process.returncode == 0
    assert b"\x1b[1;31mfailed" in shown
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode().splitlines()
    assert max(len(line) for line in plain) <= 80
    assert sum(line.startswith("rota.") for line in plain) == 5


def test_names(server: Server) -> None:
    planned(server)
    _, err = pgbgw(server, "schedules", "show", "nightly", code=4)
    assert 'several schedules have the name "nightly"' in err
    assert "Give the extension as well: rota.nightly, watch.nightly." in err
    _, err = pgbgw(server, "schedules", "pause", "rota.nihgtly", code=4)
    assert 'there is no schedule "rota.nihgtly" in database "postgres"' in err
    assert "Did you mean rota.nightly?" in err
    assert result(server, "schedules", "pause", "check") == {"paused": True}
    assert result(server, "schedules", "pause", "watch.check") == {"paused": False}
    assert result(server, "schedules", "resume", "check") == {"resumed": True}
    assert server.value("SELECT count(*) FROM watch_schedules WHERE paused") == 0


def test_what_is_not_there(server: Server) -> None:
    server.rows("CREATE DATABASE empty")
    _, err = pgbgw(server, "schedules", "list", code=4, dbname="empty")
    assert 'database "empty" has no schedules' in err
    # no worker serves it
    with server.connect("empty") as connection:
        connection.execute("CREATE EXTENSION rota")
    out, err = pgbgw(server, "schedules", "list", dbname="empty")
    assert out == ""
    assert err.startswith("no worker has looked at its schedule yet; ")
    _, err = pgbgw(server, "schedules", "pause", "nightly", code=4, dbname="empty")
    assert "No worker has looked at its schedule there yet" in err
    server.rows("DROP DATABASE empty")


def test_roles(server: Server) -> None:
    planned(server)
    _, err = pgbgw(server, "schedules", "list", code=4, user="rota_stranger")
    assert 'the schedules of database "postgres" are not for role "rota_stranger"' in err
    server.rows("GRANT pg_monitor TO rota_stranger")
    assert len(result(server, "schedules", "list", user="rota_stranger")) == 7
    _, err = pgbgw(server, "schedules", "run", "last", code=4, user="rota_stranger")
    assert 'schedule "last" is not for this role: permission denied for function run_schedule' in err
    server.rows("REVOKE pg_monitor FROM rota_stranger")
    assert result(server, "schedules", "run", "last", "--wait", user="rota_ops")["outcome"] == "done"
    assert [each["outcome"] for each in result(server, "schedules", "runs", "last", user="rota_ops")] == ["done"]


def test_run_and_wait(server: Server) -> None:
    planned(server)
    assert pgbgw(server, "schedules", "run", "last") == ("asked to run\n", "")
    eventually(lambda: server.rows("SELECT FROM rota.schedule_runs WHERE schedule = 'last' AND outcome = 'done'"))
    out, _ = pgbgw(server, "schedules", "run", "last", "--wait")
    assert out.startswith("done after ")
    assert server.value("SELECT count(*) FROM noted WHERE by = 'last'") == 2
    server.rows("UPDATE orders SET failing = true")
    out, _ = pgbgw(server, "schedules", "run", "rota.nightly", "--wait", code=1)
    assert out.startswith("failed after ")
    assert out.endswith(": told to fail (SQLSTATE P0007)\n")
    pgbgw(server, "schedules", "pause", "skip")
    assert result(server, "schedules", "run", "skip", "--wait")["outcome"] == "done"
    out, _ = pgbgw(server, "schedules", "runs", "rota.nightly")
    assert "told to fail" in out.splitlines()[1]
    assert pgbgw(server, "schedules", "runs", "vacuum") == ("", "vacuum has not run yet\n")
    assert "the last 1; --limit shows more" in pgbgw(server, "schedules", "runs", "last", "--limit", "1")[1]


def test_a_run_is_waited_for_that_comes_after_the_one_under_way(server: Server) -> None:
    planned(server)
    server.rows("UPDATE orders SET held = true")
    server.rows("SELECT rota.run_schedule('nightly')")
    eventually(lambda: server.rows("SELECT FROM rota.schedule_runs WHERE schedule = 'nightly'"))
    _, err = pgbgw(server, "schedules", "run", "rota.nightly", "--wait", "--timeout", "0.2", code=4)
    assert 'the run of schedule "nightly" has not begun within 0.2 s' in err
    run = ("schedules", "run", "rota.nightly", "--wait", "--json")
    with start(server, *run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        eventually(lambda: server.rows(
            "SELECT FROM pg_stat_activity WHERE application_name = 'pgbgw' AND query LIKE '%r.id >%'"), 20)  # fmt: skip
        assert waiting.poll() is None
        assert pgbgw(server, "schedules", "pause", "rota.nightly")[0] == "paused; the run that is under way goes on\n"
        server.rows("UPDATE orders SET held = false")
        told, complaints = waiting.communicate()
    assert waiting.returncode == 0, complaints
    first, second = server.rows("SELECT id, outcome FROM rota.schedule_runs WHERE schedule = 'nightly' ORDER BY id")
    assert (first[1], second) == ("done", (json.loads(told)["id"], "done"))


def test_pause_and_resume(server: Server) -> None:
    planned(server)
    assert pgbgw(server, "schedules", "pause", "vacuum")[0] == "paused\n"
    assert pgbgw(server, "schedules", "pause", "vacuum")[0] == "it was paused already\n"
    assert "next run: paused" in pgbgw(server, "schedules", "show", "vacuum")[0]
    # as after some days
    server.rows("UPDATE rota.schedules SET next_run = next_run - interval '3 days' WHERE name = 'vacuum'")
    out, _ = pgbgw(server, "schedules", "resume", "vacuum")
    assert out.startswith("resumed; next run ")
    assert " 04:00 UTC, in " in out
    assert pgbgw(server, "schedules", "resume", "vacuum")[0] == "it was not paused\n"


def test_change(server: Server) -> None:
    planned(server)
    out, _ = pgbgw(server, "schedules", "change", "vacuum", "0 5 * * sun")
    assert out.startswith("vacuum: at 05:00 on Sunday, UTC (0 5 * * sun)\nnext run: ")
    # what is not given stays
    changed = result(server, "schedules", "change", "vacuum", "--time-zone", "Asia/Tokyo")
    assert (changed["expression"], changed["time_zone"], changed["changed"]) == ("0 5 * * sun", "Asia/Tokyo", True)
    assert changed["next_run"].endswith("T05:00:00+09:00")
    changed = result(server, "schedules", "change", "vacuum", "0 6 * * *")
    assert (changed["expression"], changed["time_zone"]) == ("0 6 * * *", "Asia/Tokyo")
    assert "vacuum --reset has it as declared again" in pgbgw(server, "schedules", "show", "vacuum")[0]
    changed = result(server, "schedules", "change", "vacuum", "--reset")
    assert (changed["expression"], changed["time_zone"], changed["changed"]) == ("0 4 * * *", "UTC", False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["change", "last", "0 25 * * *"], "  0 25 * * *\n    ^^\nAn hour is from 0 to 23."),
        (["change", "last", ""], "less than five fields"),
        (["change", "last", "0 0 31 feb *"], "day that never comes"),
        (["change", "last", "--time-zone", "Paris"], '--time-zone: there is no time zone "Paris"\nWrite Europe/Paris.'),
        (["change", "last"], "give an expression, --time-zone, or both; or --reset alone"),
        (["change", "last", "@daily", "--reset"], "give an expression, --time-zone, or both; or --reset alone"),
        (["run", "last", "--timeout", "3"], "--timeout goes with --wait"),
    ],
)
def test_what_is_refused(server: Server, arguments: list[str], told: str) -> None:
    planned(server)
    out, err = pgbgw(server, "schedules", *arguments, code=2)
    assert told in err
    assert out == ""
    assert server.rows("SELECT expression, time_zone, run_now FROM rota.schedules WHERE name = 'last'") == [
        ("*/10 * * * *", "UTC", False)
    ]


def test_status(server: Server) -> None:
    planned(server)
    server.rows("UPDATE orders SET failing = true")
    pgbgw(server, "schedules", "run", "rota.nightly", "--wait", code=1)
    pgbgw(server, "schedules", "pause", "skip")
    declaration = str(FOLDER / "rota.py")
    out, err = pgbgw(server, "status", declaration)
    lines = out.splitlines()
    row = next(line for line in lines[lines.index("") :] if "told to fail" in line)
    assert row.split()[0] == "nightly"
    assert any(line.split() == ["skip", "paused"] for line in lines)
    assert 'warning: the last run of schedule "nightly" failed; ' in err
    assert err.endswith(" schedules runs rota.nightly tells more\n")
    (extension,) = result(server, "status", declaration)["extensions"]
    found = {each["name"]: each for each in extension["schedules"]}
    assert set(found) == {"last", "nightly", "often", "skip", "vacuum"}
    assert (found["nightly"]["outcome"], found["nightly"]["error"]) == ("failed", "told to fail")
    assert datetime.fromisoformat(extension["at"]) <= datetime.now(UTC)


def test_a_worker_that_does_not_look_is_told(server: Server) -> None:
    planned(server)
    server.rows("SELECT rota.request_shutdown()")
    eventually(lambda: not server.rows("SELECT FROM rota.workers() WHERE pid IS NOT NULL AND state <> 'paused'"))
    earlier = (
        "UPDATE rota.schedules SET next_run = next_run - interval '1 day' WHERE name = 'vacuum' RETURNING next_run"
    )
    assert server.value(earlier) < datetime.now(UTC) - timedelta(seconds=5)
    line = next(line for line in pgbgw(server, "schedules", "list")[0].splitlines() if line.startswith("rota.vacuum"))
    assert line.endswith(" late")
    server.rows("SELECT rota.resume()")
