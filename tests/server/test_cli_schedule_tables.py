"""The verbs that look at schedules and steer them, on such as are rows of a table, against a real server."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, compile_for, module_of, serving
from tests.server.test_cli_schedules import pgbgw, result, start
from tests.server.test_schedule_tables import NEVER, outcomes, schedule

FOLDER = Path(__file__).parent / "declarations"

SETUP = "CREATE ROLE rota_ops; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE nobody LOGIN;"


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    """A table of schedules, and another extension whose workers run by the calendar."""
    watch = module_of(FOLDER / "watch.py")
    with (
        serving(pg, module_of(FOLDER / "crontab.py"), SETUP + (FOLDER / "crontab.sql").read_text()) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.cluster.install(compile_for(pg, watch, Path(folder)))
        server.cluster.preload("watch")
        server.cluster.restart()
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """No schedules, nothing held, no run under way, and the table alone."""
    yield running
    running.rows("DELETE FROM held; DROP EXTENSION IF EXISTS watch; DELETE FROM crontab.jobs")
    eventually(lambda: not running.rows("SELECT FROM crontab.jobs_runs WHERE outcome IN ('waiting', 'running')"), 20)
    running.rows("DELETE FROM noted; DELETE FROM crontab.jobs_runs")


def refused(server: Server, *arguments: str, user: str = "postgres") -> str:
    """What is said when a verb can't do what it is asked for."""
    return pgbgw(server, *arguments, code=4, user=user)[1]


def test_what_is_not_there(server: Server) -> None:
    out, err = pgbgw(server, "schedules", "list")
    assert (out, err) == ("", "there are no schedules that this role sees\n")
    assert result(server, "schedules", "list") == []
    err = refused(server, "schedules", "show", "nightly")
    assert 'there is no schedule "nightly" in database "postgres"' in err
    assert "This role sees none in crontab.jobs." in err
    err = refused(server, "schedules", "list", user="nobody")
    assert 'the schedules of database "postgres" are not for role "nobody"' in err
    assert "They are of crontab.jobs." in err
    assert "Name it in schedulers= of the declaration, or GRANT pg_monitor to it." in err


def test_a_table_that_only_looks_like_one_is_none(server: Server) -> None:
    server.rows(
        "CREATE TABLE own (id int, name text, owner regrole); CREATE TABLE own_runs (id int);"
        "CREATE VIEW own_status AS SELECT * FROM own; GRANT SELECT ON own, own_runs, own_status TO nobody"
    )
    assert "They are of crontab.jobs." in refused(server, "schedules", "list", user="nobody")
    server.rows("DROP TABLE own CASCADE; DROP TABLE own_runs")


def test_list(server: Server) -> None:
    schedule(server, "alice", "nightly", "30 2 * * *", "SELECT 1", time_zone="Europe/Paris")
    schedule(server, "alice", "broken", NEVER, "SELECT 1 / 0")
    pgbgw(server, "schedules", "run", "broken", "--wait", code=1)
    out, err = pgbgw(server, "schedules", "list")
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["schedule", "next", "run", "in", "last", "run", "took", "error"]
    assert [line.split()[0] for line in lines[1:]] == ["broken", "nightly"]
    assert " failed " in lines[1]
    assert lines[1].endswith("division by zero")
    assert " 02:30 CE" in lines[2]
    schedule(server, "bob", "nightly", "0 3 * * *", "SELECT 2")
    pgbgw(server, "schedules", "pause", "nightly", "--owner", "bob")
    lines = pgbgw(server, "schedules", "list")[0].splitlines()
    assert lines[0].split()[:2] == ["schedule", "owner"]
    assert [line.split()[:2] for line in lines[1:]] == [["broken", "alice"], ["nightly", "alice"], ["nightly", "bob"]]
    assert lines[3].split() == ["nightly", "bob", "paused"]
    found = {(each["name"], each["owner"]): each for each in result(server, "schedules", "list")}
    nightly = found["nightly", "alice"]
    following = Schedule("30 2 * * *", "Europe/Paris").next(datetime.now(UTC))
    assert following is not None
    assert nightly["next_run"] == following.isoformat()
    assert (nightly["extension"], nightly["table"], nightly["command"]) == ("crontab", "jobs", "SELECT 1")
    assert (nightly["transaction"], nightly["changed"], nightly["outcome"]) == (True, False, None)
    assert [found["broken", "alice"][name] for name in ("outcome", "sqlstate")] == ["failed", "22012"]
    assert (found["nightly", "bob"]["paused"], found["nightly", "bob"]["next_run"]) == (True, None)
    # each role sees its own, and one that monitors sees all
    assert [each["owner"] for each in result(server, "schedules", "list", user="bob")] == ["bob"]
    assert len(result(server, "schedules", "list", user="watcher")) == 3
    assert [each["name"] for each in result(server, "schedules", "list", "--owner", "bob")] == ["nightly"]


def test_show(server: Server) -> None:
    schedule(server, "alice", "vacuum", "30 2 * * *", "VACUUM\npublic.missing", transaction=False)
    pgbgw(server, "schedules", "run", "vacuum", "--wait", code=1)
    out, _ = pgbgw(server, "schedules", "show", "crontab.jobs.vacuum")
    lines = out.splitlines()
    assert lines[:4] == [
        "vacuum: every day at 02:30, UTC (30 2 * * *)", "owner: alice", "command (outside a transaction): VACUUM",
        "public.missing",
    ]  # fmt: skip
    assert lines[4].startswith("next run: ")
    assert lines[5].startswith("last run: failed after ")
    assert lines[6:] == ['error: relation "public.missing" does not exist', "sqlstate: 42P01"]


def test_names(server: Server) -> None:
    mine = schedule(server, "alice", "nightly", NEVER, "SELECT 1")
    schedule(server, "alice", "tidy", NEVER, "SELECT 1")
    assert result(server, "schedules", "show", "nightly")["id"] == mine
    assert result(server, "schedules", "show", "crontab.jobs.nightly")["id"] == mine
    err = refused(server, "schedules", "show", "crontab.jobs.nihgtly")
    assert "Its schedules are crontab.jobs.nightly, crontab.jobs.tidy." in err
    assert "Did you mean crontab.jobs.nightly?" in err
    theirs = schedule(server, "bob", "nightly", NEVER, "SELECT 1")
    err = refused(server, "schedules", "pause", "nightly")
    assert 'several roles have a schedule "nightly"' in err
    assert "Give its owner with --owner: alice, bob." in err
    assert result(server, "schedules", "show", "nightly", "--owner", "bob")["id"] == theirs
    assert result(server, "schedules", "show", "nightly", user="bob")["id"] == theirs
    err = refused(server, "schedules", "show", "nightly", "--owner", "alice", user="bob")
    assert "that belongs to alice and that this role may see" in err
    # a name that is another's in full hides it from nobody
    named = schedule(server, "bob", "crontab.jobs.tidy", NEVER, "SELECT 1")
    assert result(server, "schedules", "show", "crontab.jobs.tidy")["owner"] == "alice"
    assert result(server, "schedules", "show", "crontab.jobs.crontab.jobs.tidy")["id"] == named


def test_names_beside_workers(server: Server) -> None:
    server.rows("CREATE EXTENSION watch")
    eventually(lambda: len(server.rows("SELECT FROM watch_schedules WHERE next_run IS NOT NULL")) == 2)
    schedule(server, "alice", "nightly", NEVER, "SELECT 1")
    err = refused(server, "schedules", "show", "nightly")
    assert "Give the extension and the table as well: watch.nightly, crontab.jobs.nightly." in err
    assert result(server, "schedules", "show", "nightly", "--owner", "alice")["table"] == "jobs"
    assert "table" not in result(server, "schedules", "show", "watch.nightly")
    lines = pgbgw(server, "schedules", "list")[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["crontab.jobs.nightly", "watch.check", "watch.nightly"]
    # who may look at one of them sees that
    assert [each["name"] for each in result(server, "schedules", "list", user="alice")] == ["nightly"]
    err = refused(server, "schedules", "list", user="nobody")
    assert "They are of watch, crontab.jobs." in err
    assert "Name it in operators= or schedulers= of the declaration" in err


def test_thousands(server: Server) -> None:
    server.rows(
        "INSERT INTO crontab.jobs (name, expression, command, owner)"
        f" SELECT 'n' || g, '{NEVER}', 'SELECT 1', 'alice'::regrole FROM generate_series(1, 3000) AS g"
    )
    assert len(pgbgw(server, "schedules", "list")[0].splitlines()) == 3001
    assert result(server, "schedules", "run", "n2999", "--wait")["outcome"] == "done"
    err = refused(server, "schedules", "show", "n29999")
    assert " and 2988 more." in err
    (extension,) = result(server, "status", str(FOLDER / "crontab.py"))["extensions"]
    assert [table["schedules"] for table in extension["tables"]] == [3000]
    assert len(pgbgw(server, "status", str(FOLDER / "crontab.py"))[0].splitlines()) < 40


def test_run_and_wait(server: Server) -> None:
    schedule(server, "alice", "tell", NEVER, "INSERT INTO public.noted (what) VALUES ('told')")
    assert pgbgw(server, "schedules", "run", "tell", user="alice") == ("asked to run\n", "")
    eventually(lambda: outcomes(server, "tell") == ["done"])
    out, _ = pgbgw(server, "schedules", "run", "tell", "--wait", user="alice")
    assert out.startswith("done after ")
    assert outcomes(server, "tell") == ["done", "done"]
    # paused or not, and as its owner whoever asks
    pgbgw(server, "schedules", "pause", "tell")
    assert result(server, "schedules", "run", "tell", "--wait")["outcome"] == "done"
    assert server.rows("SELECT DISTINCT what, by FROM noted") == [("told", "alice")]
    schedule(server, "alice", "broken", NEVER, "SELECT 1 / 0")
    out, _ = pgbgw(server, "schedules", "run", "broken", "--wait", code=1)
    assert out.endswith(": division by zero (SQLSTATE 22012)\n")
    out, _ = pgbgw(server, "schedules", "runs", "tell")
    heading, *lines = out.splitlines()
    assert {"run", "due", "outcome", "took"} <= set(heading.split()) <= {"run", "due", "began", "outcome", "took"}
    assert [" done " in line for line in lines] == [True] * 3
    found = result(server, "schedules", "runs", "tell", "--limit", "2", user="alice")
    assert [(each["outcome"], each["attempts"]) for each in found] == [("done", 1)] * 2
    schedule(server, "alice", "never", NEVER, "SELECT 1")
    assert pgbgw(server, "schedules", "runs", "never") == ("", "never has not run yet\n")


def test_a_run_is_waited_for_that_comes_after_the_one_under_way(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('long')")
    schedule(server, "alice", "long", NEVER, "SELECT public.hold('long')")
    pgbgw(server, "schedules", "run", "long")
    eventually(lambda: outcomes(server, "long") == ["running"])
    err = refused(server, "schedules", "run", "long", "--wait", "--timeout", "0.2")
    assert 'the run of schedule "long" of alice has not begun within 0.2 s' in err
    assert "schedules runs crontab.jobs.long --owner alice\n" in err
    run = ("schedules", "run", "long", "--wait", "--json")
    with start(server, *run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        eventually(lambda: server.rows(
            "SELECT FROM pg_stat_activity WHERE application_name = 'pgbgw' AND query LIKE '%r.id >%'"
            " OR application_name = 'pgbgw' AND query LIKE '%jobs_status%WHERE s.id%'"), 20)  # fmt: skip
        assert waiting.poll() is None
        told = "paused; the run that is under way goes on\n"
        assert pgbgw(server, "schedules", "pause", "long")[0] == told
        server.rows("DELETE FROM held")
        answer, complaints = waiting.communicate()
    assert waiting.returncode == 0, complaints
    first, second = server.rows("SELECT id, outcome FROM crontab.jobs_runs ORDER BY id")
    assert (first[1], second) == ("done", (json.loads(answer)["id"], "done"))


def test_a_run_outside_a_transaction_is_waited_for(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('alice')")
    schedule(server, "alice", "halves", NEVER, "CALL public.by_halves('alice')", transaction=False)
    with start(
        server, "schedules", "run", "halves", "--wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as waiting:
        eventually(lambda: outcomes(server, "halves") == ["running"], 20)
        assert waiting.poll() is None
        server.rows("DELETE FROM held")
        answer, complaints = waiting.communicate()
    assert waiting.returncode == 0, complaints
    assert answer.startswith(b"done after ")
    assert outcomes(server, "halves") == ["done"]


def test_a_schedule_that_is_removed_is_not_waited_for(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('long')")
    schedule(server, "alice", "long", NEVER, "SELECT public.hold('long')")
    pgbgw(server, "schedules", "run", "long")
    eventually(lambda: outcomes(server, "long") == ["running"])
    with start(server, "schedules", "run", "long", "--wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        eventually(lambda: server.rows("SELECT FROM crontab.jobs WHERE run_now"), 20)
        server.rows("DELETE FROM crontab.jobs")
        _, complaints = waiting.communicate()
    assert waiting.returncode == 4
    assert b'schedule "long" of alice is not there any more' in complaints


def test_pause_and_resume(server: Server) -> None:
    schedule(server, "alice", "nightly", "0 4 * * *", "SELECT 1")
    assert pgbgw(server, "schedules", "pause", "nightly", user="alice")[0] == "paused\n"
    assert pgbgw(server, "schedules", "pause", "nightly")[0] == "it was paused already\n"
    assert "next run: paused" in pgbgw(server, "schedules", "show", "nightly")[0]
    out, _ = pgbgw(server, "schedules", "resume", "nightly")
    assert out.startswith("resumed; next run ")
    assert " 04:00 UTC, in " in out
    # what was due and has not been run is not lost by that
    query = "UPDATE crontab.jobs SET settled_until = settled_until - interval '1 hour' RETURNING settled_until"
    settled = server.value(query)
    assert pgbgw(server, "schedules", "resume", "nightly", user="alice")[0] == "it was not paused\n"
    assert server.value("SELECT settled_until FROM crontab.jobs") == settled
    assert result(server, "schedules", "resume", "nightly") == {"resumed": False}


def test_change(server: Server) -> None:
    schedule(server, "alice", "nightly", "0 4 * * *", "SELECT 1")
    out, _ = pgbgw(server, "schedules", "change", "nightly", "0 5 * * sun", user="alice")
    assert out.startswith("nightly: at 05:00 on Sunday, UTC (0 5 * * sun)\nnext run: ")
    changed = result(server, "schedules", "change", "nightly", "--time-zone", "Asia/Tokyo")
    assert (changed["expression"], changed["time_zone"], changed["owner"]) == ("0 5 * * sun", "Asia/Tokyo", "alice")
    assert changed["next_run"].endswith("T05:00:00+09:00")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["change", "nightly", "0 25 * * *"], "  0 25 * * *\n    ^^\nAn hour is from 0 to 23."),
        (["change", "nightly", "--time-zone", "Paris"], 'no time zone "Paris"\nWrite Europe/Paris.'),
        (["change", "nightly", "--reset"], 'nothing is declared of schedule "nightly" of alice'),
    ],
)
def test_what_is_refused(server: Server, arguments: list[str], told: str) -> None:
    schedule(server, "alice", "nightly", "0 4 * * *", "SELECT 1")
    out, err = pgbgw(server, "schedules", *arguments, code=2)
    assert told in err
    assert out == ""
    assert server.rows("SELECT expression, time_zone FROM crontab.jobs") == [("0 4 * * *", "UTC")]


@pytest.mark.parametrize("verb", [["run"], ["pause"], ["resume"], ["change", "@daily"]])
def test_who_may_look_may_not_change(server: Server, verb: list[str]) -> None:
    schedule(server, "bob", "nightly", "0 4 * * *", "SELECT 1")
    asked = ["schedules", verb[0], "nightly", *verb[1:]]
    err = refused(server, *asked, user="watcher")
    assert 'schedule "nightly" of bob is not for this role: permission denied for table jobs' in err
    assert "schedulers=" in err
    server.rows("GRANT pg_monitor TO alice")
    err = refused(server, *asked, user="alice")
    server.rows("REVOKE pg_monitor FROM alice")
    assert 'schedule "nightly" of bob is not for role "alice" to change' in err
    assert server.rows("SELECT expression, paused, run_now FROM crontab.jobs") == [("0 4 * * *", False, False)]


def test_what_others_have_written_commands_no_terminal(server: Server) -> None:
    name = "a\x1b[2Jb\nc"
    schedule(server, "alice", name, NEVER, "DO $$BEGIN RAISE EXCEPTION E'\\x1b]0;x\\x07'; END$$")
    pgbgw(server, "schedules", "run", name, "--wait", code=1)
    declaration = str(FOLDER / "crontab.py")
    for verb in (
        ["schedules", "list"],
        ["schedules", "show", name],
        ["schedules", "runs", name],
        ["status", declaration],
    ):
        assert not {"\x1b", "\x07"} & set("".join(pgbgw(server, *verb))), verb
    assert "a\\x1b[2Jb\\nc" in pgbgw(server, "schedules", "list")[0]
    assert "a\\x1b[2Jb\\nc" in pgbgw(server, "status", declaration)[1]
    assert result(server, "schedules", "list")[0]["name"] == name
    assert "\x1b" not in refused(server, "schedules", "pause", "ab", user="alice")


def test_status(server: Server) -> None:
    declaration = str(FOLDER / "crontab.py")
    (extension,) = result(server, "status", declaration)["extensions"]
    assert extension["tables"] == [
        {"name": "jobs", "schedules": 0, "owners": 0, "paused": 0, "next": None, "running": 0, "waiting": 0,
         "failed": 0, "last_failure": None}
    ]  # fmt: skip
    schedule(server, "alice", "late", NEVER, "SELECT 1 / 0")
    schedule(server, "bob", "nightly", "30 2 * * *", "SELECT 1", time_zone="Europe/Paris")
    schedule(server, "bob", "off", "* * * * *", "SELECT 1")
    schedule(server, "bob", "long", "0 0 1 2 *", "SELECT public.hold('long')")
    for name in ("off", "late"):
        pgbgw(server, "schedules", "pause", name)
    pgbgw(server, "schedules", "run", "late", "--wait", code=1)
    pgbgw(server, "schedules", "run", "late", "--wait", code=1)
    server.rows("INSERT INTO held VALUES ('long')")
    pgbgw(server, "schedules", "run", "long")
    eventually(lambda: outcomes(server, "long") == ["running"])
    out, err = pgbgw(server, "status", declaration)
    lines = out.splitlines()
    heading = next(n for n, line in enumerate(lines) if line.startswith("schedule table "))
    row = lines[heading + 1]
    assert row.split()[:3] == ["jobs", "4", "2"]
    assert " 02:30 CE" in row
    assert row.split()[-4:] == ["nightly", "1", "0", "2"]
    assert "\n".join(lines).count("nightly") == 1
    assert 'warning: 2 runs of schedule table "jobs" failed within a day; the last one, ' in err
    assert re.search(r'of "late" of alice, failed .+ ago: division by zero\n', err)
    assert err.endswith(" schedules runs crontab.jobs.late --owner alice tells more\n")
    (extension,) = result(server, "status", declaration)["extensions"]
    (table,) = extension["tables"]
    assert [table[name] for name in ("schedules", "owners", "paused", "running", "failed")] == [4, 2, 2, 1, 2]
    following = Schedule("30 2 * * *", "Europe/Paris").next(datetime.now(UTC))
    assert following is not None
    assert table["next"] == {"name": "nightly", "owner": "bob", "next_run": following.isoformat()}
    assert [table["last_failure"][name] for name in ("name", "outcome", "sqlstate")] == ["late", "failed", "22012"]
    # of what is older than a day, and of what is gone
    server.rows("UPDATE crontab.jobs_runs SET ended_at = ended_at - interval '25 hours' WHERE id ="
                " (SELECT min(id) FROM crontab.jobs_runs WHERE outcome = 'failed')")  # fmt: skip
    server.rows("DELETE FROM crontab.jobs WHERE name = 'late'")
    err = pgbgw(server, "status", declaration)[1]
    assert 'warning: 1 run of schedule table "jobs" failed within a day; the last one, ' in err
    assert "the last one, of a schedule that was removed, failed " in err
    assert err.endswith(" ago: division by zero\n")


def test_remove(server: Server) -> None:
    schedule(server, "alice", "nightly", "30 2 * * *", "SELECT 1", time_zone="Europe/Paris")
    schedule(server, "bob", "nightly", "@daily", "SELECT 2")
    assert "is not for" in refused(server, "schedules", "remove", "nightly", "--owner", "bob", user="watcher")
    out, _ = pgbgw(server, "schedules", "remove", "nightly", "--owner", "alice")
    assert out == "removed: nightly: every day at 02:30, Europe/Paris (30 2 * * *)\n"
    assert server.rows("SELECT owner::text FROM crontab.jobs") == [("bob",)]
    assert result(server, "schedules", "remove", "nightly") == {"removed": True}
    assert server.rows("SELECT FROM crontab.jobs") == []
    assert 'there is no schedule "nightly"' in refused(server, "schedules", "remove", "nightly")
    server.rows("CREATE EXTENSION watch")
    eventually(lambda: server.rows("SELECT FROM watch_schedules WHERE name = 'check'"), 20, "a worker's schedule")
    err = refused(server, "schedules", "remove", "check")
    assert 'schedule "check" belongs to a worker, and can\'t be removed' in err
    assert "pgbgw schedules pause watch.check" in err
