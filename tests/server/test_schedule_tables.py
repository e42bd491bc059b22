"""Tables of schedules: who may have which, as whom they run, and that no run is lost or made twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from pgbgw.build.pgconfig import Pg
from pgbgw.calendar import Schedule
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"

NEVER = "0 0 1 1 *"


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "crontab.py"), (FOLDER / "crontab.sql").read_text()) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """No schedules, nothing held, nothing written, no run under way."""
    yield running
    running.rows("DELETE FROM held")
    running.rows("DELETE FROM crontab.jobs")
    eventually(lambda: not running.rows("SELECT FROM crontab.jobs_runs WHERE outcome IN ('waiting', 'running')"), 20)
    running.rows("DELETE FROM noted; DELETE FROM crontab.jobs_runs")


def as_role(server: Server, role: str) -> psycopg.Connection[Any]:
    connection = server.connect()
    connection.execute(f"SET ROLE {role}".encode())
    return connection


def schedule(server: Server, role: str, name: str, expression: str, command: str, **options: Any) -> int:
    named = "".join(f", {option} => %({option})s" for option in options)
    query = f"SELECT crontab.jobs_schedule(%(name)s, %(expression)s, %(command)s{named})"
    given = {"name": name, "expression": expression, "command": command, **options}
    with as_role(server, role) as connection:
        row = connection.execute(query.encode(), given).fetchone()
        assert row is not None
        return int(row[0])


def runs(server: Server, name: str) -> list[tuple[Any, ...]]:
    """Outcome, SQLSTATE and attempts of the runs of a schedule."""
    return server.rows(
        "SELECT outcome, r.sqlstate, attempts FROM crontab.jobs_runs AS r JOIN crontab.jobs AS s ON s.id = schedule"
        " WHERE name = %s ORDER BY r.id",
        [name],
    )


def outcomes(server: Server, name: str) -> list[str]:
    return [row[0] for row in runs(server, name)]


def noted(server: Server) -> list[tuple[Any, ...]]:
    return server.rows("SELECT what, by FROM noted ORDER BY id")


def ask(server: Server, role: str, name: str) -> None:
    with as_role(server, role) as connection:
        assert connection.execute("SELECT crontab.jobs_run(%s)", [name]).fetchone() == (True,)


def runner(server: Server, role: str) -> int:
    """The process that has a run of a role's in hand, and sleeps in it."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'crontab jobs runner' AND wait_event = 'PgSleep'"
        " AND (usename = %s OR query LIKE %s)"
    )
    ((process,),) = eventually(lambda: server.rows(query, [role, f"%{role}%"]), what=f"a run of {role}'s")
    return int(process)


def another_scheduler(server: Server, before: int) -> bool:
    """Whether another process than that one knows the schedules."""
    query = "SELECT FROM crontab.workers() WHERE worker = 'jobs' AND pid <> %s AND state = 'idle'"
    return bool(server.rows(query, [before]))


def test_each_runs_as_its_owner_and_soon(server: Server) -> None:
    for role in ("alice", "bob", "carol"):
        schedule(server, role, "often", "* * * * * *", "INSERT INTO public.noted (what) SELECT session_user")
    eventually(lambda: {by for _, by in noted(server)} == {"alice", "bob", "carol"}, 20)
    major = server.value("SELECT current_setting('server_version_num')::int / 10000")
    seen = {by: what for what, by in noted(server)}
    assert (seen["alice"], seen["bob"]) == ("alice", "bob")
    # who may not log in has no session of his own before 17
    assert seen["carol"] == ("carol" if major >= 17 else server.value("SELECT current_user::text"))
    eventually(lambda: len(outcomes(server, "often")) > 8, 20)
    rows = server.rows(
        "SELECT owner::text, due, started_at - due FROM crontab.jobs_runs WHERE outcome = 'done' ORDER BY id"
    )
    assert all(late >= timedelta(0) for _, _, late in rows)
    assert len({(owner, due) for owner, due, _ in rows}) == len(rows)


def test_roles_see_and_change_their_own_and_nothing_else(server: Server) -> None:
    schedule(server, "alice", "mine", NEVER, "SELECT 1")
    schedule(server, "bob", "mine", NEVER, "SELECT 2")
    with as_role(server, "alice") as connection:
        assert connection.execute("SELECT name, owner::text, command FROM crontab.jobs_status").fetchall() == [
            ("mine", "alice", "SELECT 1")
        ]
        for statement in (
            "INSERT INTO crontab.jobs (name, expression, command, owner) VALUES ('a', '@daily', 'x', 'bob'::regrole)",
            "UPDATE crontab.jobs SET owner = 'bob'::regrole",
            "UPDATE crontab.jobs SET next_run = now()",
            "INSERT INTO crontab.jobs_runs (schedule, owner, due, outcome) VALUES (1, 'alice'::regrole, now(), 'done')",
            "UPDATE crontab.jobs_runs SET outcome = 'waiting'",
            "TRUNCATE crontab.jobs",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        assert connection.execute("DELETE FROM crontab.jobs RETURNING command").fetchall() == [("SELECT 1",)]
        assert connection.execute("SELECT crontab.jobs_unschedule('mine')").fetchone() == (False,)
    assert server.rows("SELECT command FROM crontab.jobs") == [("SELECT 2",)]
    server.rows("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger")
    with as_role(server, "stranger") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SELECT crontab.jobs_schedule('a', '@daily', 'SELECT 1')")
    with as_role(server, "pg_monitor") as connection:
        assert connection.execute("SELECT owner::text FROM crontab.jobs_status").fetchall() == [("bob",)]


@pytest.mark.parametrize(
    ("expression", "zone", "told"),
    [("0 25 * * *", "UTC", "not a schedule"), ("0 2 * * *", "Paris", "not recognized"), ("0 0 30 2 *", "UTC", "never")],
)
def test_what_can_not_be_a_schedule_is_refused(server: Server, expression: str, zone: str, told: str) -> None:
    with pytest.raises(errors.InvalidParameterValue) as caught:
        schedule(server, "alice", "wrong", expression, "SELECT 1", time_zone=zone)
    assert told in f"{caught.value} {caught.value.diag.message_detail}"
    assert server.rows("SELECT FROM crontab.jobs") == []


def test_what_comes_next_is_shown_and_follows_a_change(server: Server) -> None:
    first = schedule(server, "alice", "nightly", "30 2 * * *", "SELECT 1", time_zone="Europe/Paris")
    now = server.value("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    query = "SELECT next_run, next_run_local FROM crontab.jobs_status WHERE name = 'nightly'"
    ((following, local),) = server.rows(query)
    assert following == Schedule("30 2 * * *", "Europe/Paris").next(now)
    assert (local.hour, local.minute) == (2, 30)
    assert schedule(server, "alice", "nightly", "45 3 * * *", "SELECT 1") == first
    assert server.rows(query)[0][0] == Schedule("45 3 * * *", "UTC").next(now)
    with as_role(server, "alice") as connection:
        assert connection.execute("SELECT crontab.jobs_pause('nightly')").fetchone() == (True,)
        assert connection.execute("SELECT crontab.jobs_pause('nightly')").fetchone() == (False,)
        assert server.rows(query) == [(None, None)]
        assert connection.execute("SELECT crontab.jobs_resume('nightly')").fetchone() == (True,)
    assert server.rows(query)[0][0] == Schedule("45 3 * * *", "UTC").next(now)


def test_nothing_is_due_outside_of_a_span(server: Server) -> None:
    often = "* * * * * *"
    end = server.value("SELECT date_trunc('second', clock_timestamp()) + interval '3 seconds'")
    schedule(server, "alice", "over", often, "SELECT 1", not_after=end)
    schedule(server, "alice", "ahead", often, "SELECT 1", not_before="2126-01-01T00:00:00Z")
    schedule(server, "alice", "always", often, "SELECT 1", not_before="-infinity", not_after="infinity")
    schedule(server, "alice", "never", often, "SELECT 1", not_before="infinity")
    shown = "SELECT next_run FROM crontab.jobs_status WHERE name = %s"
    assert server.value(shown, ["ahead"]) == datetime(2126, 1, 1, tzinfo=UTC)
    assert server.value(shown, ["never"]) is None
    eventually(lambda: server.value(shown, ["over"]) is None, 20, "no further time")
    last = "SELECT max(due) FROM crontab.jobs_runs JOIN crontab.jobs AS s ON s.id = schedule WHERE name = %s"
    assert server.value(last, ["over"]) == end
    eventually(lambda: server.value(last, ["always"]) > end, 20, "a schedule without an end")
    assert outcomes(server, "ahead") == outcomes(server, "never") == []
    with pytest.raises(errors.CheckViolation):
        schedule(server, "alice", "none", often, "SELECT 1", not_before="2027-01-02", not_after="2027-01-01")


def test_whoever_may_have_schedules_may_ask_when_one_would_be_due(server: Server) -> None:
    query = b"SELECT crontab.next_run('30 2 * * *', 'Europe/Paris', '2027-03-27T12:00Z')"
    with as_role(server, "alice") as connection:
        assert connection.execute(query).fetchone() == (datetime(2027, 3, 28, 1, tzinfo=UTC),)
    server.rows("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger")
    with as_role(server, "stranger") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(query)


def test_a_failed_run_is_undone_and_told(server: Server) -> None:
    mark = server.mark()
    schedule(server, "alice", "wrong", NEVER, "INSERT INTO public.noted (what) VALUES ('x'); SELECT 1 / 0")
    ask(server, "alice", "wrong")
    eventually(lambda: outcomes(server, "wrong") == ["failed"])
    assert runs(server, "wrong") == [("failed", "22012", 1)]
    assert noted(server) == []
    assert server.value("SELECT error FROM crontab.jobs_status") == "division by zero"
    assert server.told('schedule "wrong"$', mark)
    ask(server, "alice", "wrong")
    eventually(lambda: outcomes(server, "wrong") == ["failed", "failed"])


def test_nothing_of_a_run_is_left_in_the_session(server: Server) -> None:
    schedule(
        server, "alice", "dirty", NEVER,
        "SET search_path = pg_temp; CREATE TEMP TABLE left_over (a int); PREPARE p AS SELECT 1;"
        " SELECT pg_catalog.pg_advisory_lock(77); DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    )  # fmt: skip
    ask(server, "alice", "dirty")
    eventually(lambda: outcomes(server, "dirty") == ["done"])
    schedule(
        server, "alice", "clean", NEVER,
        "INSERT INTO public.noted (what) SELECT pg_catalog.concat_ws(' ', pg_catalog.current_setting('search_path'),"
        " to_regclass('left_over'), (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
        " (SELECT count(*) FROM pg_cursors WHERE is_holdable))",
    )  # fmt: skip
    ask(server, "alice", "clean")
    eventually(lambda: outcomes(server, "clean") == ["done"])
    assert noted(server) == [('"$user", public 0 0 0', "alice")]


def test_an_owner_without_login_can_not_become_anybody_else(server: Server) -> None:
    commands = {
        "reset": "RESET ROLE; CREATE TABLE public.mine ()",
        "session": "RESET SESSION AUTHORIZATION; CREATE TABLE public.mine ()",
        "set": "SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; CREATE TABLE public.mine ()",
        "later": "DO $$BEGIN CREATE TEMP TABLE t (a int); CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN CREATE TABLE public.mine (); RETURN NULL; END'; CREATE CONSTRAINT TRIGGER c AFTER INSERT ON t"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.f(); INSERT INTO t VALUES (1); END$$",
        "cursor": "CREATE FUNCTION pg_temp.g() RETURNS int LANGUAGE plpgsql AS"
        " 'BEGIN CREATE TABLE public.mine (); RETURN 1; END'; DECLARE c CURSOR WITH HOLD FOR SELECT pg_temp.g()",
    }
    for name, command in commands.items():
        schedule(server, "carol", name, NEVER, command)
        ask(server, "carol", name)
        eventually(lambda name=name: outcomes(server, name) in (["done"], ["failed"]), what=name)  # type: ignore[misc]
    assert server.rows("SELECT FROM pg_class WHERE relname = 'mine'") == []
    assert outcomes(server, "later") == ["failed"]


def test_outside_a_transaction(server: Server) -> None:
    server.rows("CREATE TABLE IF NOT EXISTS public.big (a int); ALTER TABLE public.big OWNER TO alice")
    schedule(server, "alice", "vacuum", NEVER, "VACUUM public.big", transaction=False)
    schedule(server, "alice", "inside", NEVER, "DO $$BEGIN EXECUTE 'VACUUM public.big'; END$$")
    schedule(server, "alice", "halves", NEVER, "CALL public.by_halves('p')", transaction=False)
    schedule(server, "alice", "ended", NEVER, "DO $$BEGIN COMMIT; END$$")
    schedule(server, "carol", "nobody", NEVER, "VACUUM", transaction=False)
    expected = {"vacuum": None, "inside": "25001", "halves": None, "ended": "2D000"}
    mark = server.mark()
    for name in expected:
        ask(server, "alice", name)
    for name, sqlstate in expected.items():
        eventually(lambda name=name: outcomes(server, name) in (["done"], ["failed"]), what=name)  # type: ignore[misc]
        assert runs(server, name) == [("failed" if sqlstate else "done", sqlstate, 1)]
    assert noted(server) == [("p one", "alice"), ("p", "alice")]
    assert len(server.log("HINT:  Let it run outside a transaction, as one statement: UPDATE ...", mark)) == 2
    assert server.value("SELECT last_vacuum IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'big'") is True
    ask(server, "carol", "nobody")
    eventually(lambda: outcomes(server, "nobody") in (["done"], ["failed"]))
    if server.value("SELECT current_setting('server_version_num')::int") < 170000:
        assert runs(server, "nobody") == [("failed", "28000", 1)]


OUTSIDE = "Let the schedule run outside of one, with nothing but this statement: transaction => false."
REFUSED = [
    # command, in a transaction, SQLSTATE, message, hint
    ("SELECT 1; SELEC 2", True, "42601", 'syntax error at or near "SELEC"', None),
    ("SELEC 2", False, "42601", 'syntax error at or near "SELEC"', None),
    (" -- nothing", True, "42601", "the command of a schedule has no statement", None),
    ("SELECT 1; SELECT 2", False, "42601", "a schedule that runs outside a transaction must be one statement",
     "Make a schedule of each statement, or a procedure of all of them."),
    ("COMMIT", True, "2D000", "a schedule can't begin or end transactions",
     "A procedure that it calls may, if it runs outside a transaction: transaction => false."),
    ("BEGIN", False, "2D000", "a schedule can't begin or end transactions",
     "A procedure that it calls may, if it runs outside a transaction: transaction => false."),
    ("COPY public.noted TO STDOUT", False, "0A000", "a schedule has no client to COPY from or to",
     "COPY from or to a file or a program, or read and write by INSERT and SELECT."),
    ("COPY public.noted FROM STDIN", True, "0A000", "a schedule has no client to COPY from or to",
     "COPY from or to a file or a program, or read and write by INSERT and SELECT."),
    ("SELECT 1; VACUUM", True, "25001", "this VACUUM can't be run inside a transaction", OUTSIDE),
    ("VACUUM ANALYZE public.noted", True, "25001", "this VACUUM can't be run inside a transaction", OUTSIDE),
    ("CREATE INDEX CONCURRENTLY ON public.noted (id)", True, "25001",
     "this CREATE INDEX can't be run inside a transaction", OUTSIDE),
    ("DROP INDEX CONCURRENTLY i", True, "25001", "this DROP INDEX can't be run inside a transaction", OUTSIDE),
    ("REINDEX INDEX CONCURRENTLY i", True, "25001", "this REINDEX can't be run inside a transaction", OUTSIDE),
    ("REINDEX (VERBOSE, CONCURRENTLY ON) TABLE public.noted", True, "25001",
     "this REINDEX can't be run inside a transaction", OUTSIDE),
    ("REINDEX SCHEMA public", True, "25001", "this REINDEX can't be run inside a transaction", OUTSIDE),
    ("CREATE DATABASE d", True, "25001", "this CREATE DATABASE can't be run inside a transaction", OUTSIDE),
    ("ALTER SYSTEM RESET ALL", True, "25001", "this ALTER SYSTEM can't be run inside a transaction", OUTSIDE),
]  # fmt: skip


@pytest.mark.parametrize(("command", "transaction", "sqlstate", "message", "hint"), REFUSED)
def test_a_command_is_read_when_it_is_set(
    server: Server, command: str, transaction: bool, sqlstate: str, message: str, hint: str | None
) -> None:
    schedule(server, "alice", "kept", NEVER, "VACUUM public.noted", transaction=False)
    change = "UPDATE crontab.jobs SET command = %s, transaction = %s WHERE name = 'kept'"
    with as_role(server, "alice") as connection:
        for statement in (
            "INSERT INTO crontab.jobs (name, expression, command, transaction) VALUES ('new', '@hourly', %s, %s)",
            "SELECT crontab.jobs_schedule('new', '@hourly', %s, transaction => %s)",
            change,
        ):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(statement.encode(), [command, transaction])
            diag = caught.value.diag
            assert (diag.sqlstate, diag.message_primary, diag.message_hint) == (sqlstate, message, hint)
            if message.startswith("syntax"):
                # the place is one in the command
                place = (diag.statement_position, diag.internal_position, diag.internal_query)
                assert place == (None, str(command.index("SELEC ") + 1), command)
        with pytest.raises(psycopg.Error):
            connection.execute("UPDATE crontab.jobs SET transaction = true WHERE name = 'kept'")
        # what is well is well
        for command in ("ANALYZE", "REINDEX TABLE public.noted", "SELECT 1; SELECT 2", "COPY t TO PROGRAM 'true'"):
            connection.execute(change.encode(), [command, True])
    assert server.rows("SELECT name FROM crontab.jobs") == [("kept",)]


def test_a_command_that_nobody_has_read_does_no_harm(server: Server) -> None:
    """As one that was written while triggers were off."""
    schedule(server, "alice", "well", NEVER, "INSERT INTO public.noted (what) VALUES ('well')")
    expected = {"BEGIN": "2D000", "COPY public.noted TO STDOUT": "0A000", "SELECT 1; SELECT 2": "42601", "": "42601"}
    with server.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for command in expected:
            for transaction in (True, False):
                insert = (
                    "INSERT INTO crontab.jobs (owner, name, expression, command, transaction)"
                    " VALUES ('alice', %s, %s, %s, %s)"
                )
                connection.execute(insert.encode(), [f"{transaction} {command}", NEVER, command, transaction])
    for command, sqlstate in expected.items():
        for transaction in (True, False):
            name = f"{transaction} {command}"
            several_in_one = transaction and command.startswith("SELECT")
            ended = ("done", None, 1) if several_in_one else ("failed", sqlstate, 1)
            ask(server, "alice", name)
            eventually(lambda name=name, ended=ended: runs(server, name) == [ended], what=name)  # type: ignore[misc]
            ask(server, "alice", "well")
            eventually(lambda: set(outcomes(server, "well")) == {"done"}, what="a run after it")
    assert len(noted(server)) == len(outcomes(server, "well")) == 8


def test_a_schedule_that_is_set_again_as_it_is_misses_nothing(server: Server) -> None:
    def times() -> tuple[Any, ...]:
        return server.rows("SELECT settled_until, next_run FROM crontab.jobs")[0]

    schedule(server, "alice", "report", "0 3 * * *", "SELECT 1")
    first = times()
    schedule(server, "alice", "report", "0 3 * * *", "SELECT 1")
    schedule(server, "alice", "report", "0 3 * * *", "SELECT 2", timeout=timedelta(seconds=5))
    server.rows("UPDATE crontab.jobs SET paused = false, not_before = NULL, command = command")
    assert times() == first
    for change in (
        "expression = '0 4 * * *'", "time_zone = 'Europe/Paris'", "skip_gap = true", "repeated = true",
        "not_before = '2001-01-01'", "not_before = NULL", "not_after = '2100-01-01'", "paused = true", "paused = false",
    ):  # fmt: skip
        before = times()
        server.rows(f"UPDATE crontab.jobs SET {change}")
        assert times()[0] > before[0], change


def test_runs_of_one_schedule_do_not_overlap_and_those_of_others_go_on(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('slow')")
    schedule(server, "alice", "slow", "* * * * * *", "SELECT public.hold('slow')")
    schedule(server, "alice", "quick", "* * * * * *", "INSERT INTO public.noted (what) VALUES ('quick')")
    eventually(lambda: outcomes(server, "slow") == ["running"])
    done = len(outcomes(server, "quick"))
    eventually(lambda: len(outcomes(server, "quick")) > done + 2, 20)
    assert outcomes(server, "slow") == ["running"]
    with as_role(server, "alice") as connection:
        connection.execute("SELECT crontab.jobs_pause('slow')")
    server.rows("DELETE FROM held")
    eventually(lambda: outcomes(server, "slow") == ["done"])


def test_more_runs_than_processes_wait_for_their_turn(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('one'), ('two'), ('three')")
    for name in ("one", "two", "three"):
        schedule(server, "alice", name, NEVER, f"SELECT public.hold('{name}')")
        ask(server, "alice", name)
    for name in ("one", "two", "three"):
        eventually(lambda name=name: outcomes(server, name) == ["running"])  # type: ignore[misc]
    schedule(server, "bob", "four", NEVER, "INSERT INTO public.noted (what) VALUES ('four')")
    ask(server, "bob", "four")
    assert outcomes(server, "four") == []
    server.rows("DELETE FROM held WHERE name = 'two'")
    eventually(lambda: outcomes(server, "two") == ["done"])
    # a process of alice's has nothing to do, and makes room for one of bob's
    eventually(lambda: outcomes(server, "four") == ["done"], 5)
    server.rows("DELETE FROM held")
    for name in ("one", "three"):
        eventually(lambda name=name: outcomes(server, name) == ["done"])  # type: ignore[misc]


@pytest.mark.parametrize("transaction", [True, False])
def test_a_process_that_is_ended_in_the_middle(server: Server, transaction: bool) -> None:
    server.rows("INSERT INTO held VALUES ('alice')")
    command = "SELECT public.hold('alice')" if transaction else "CALL public.by_halves('alice')"
    schedule(server, "alice", "cut", NEVER, command, transaction=transaction)
    ask(server, "alice", "cut")
    server.rows("SELECT pg_terminate_backend(%s)", [runner(server, "alice")])
    if not transaction:
        eventually(lambda: outcomes(server, "cut") == ["lost"])
        assert noted(server) == [("alice one", "alice")]
        return
    eventually(lambda: runs(server, "cut") == [("running", None, 2)])
    server.rows("SELECT pg_terminate_backend(%s)", [runner(server, "alice")])
    eventually(lambda: runs(server, "cut") == [("running", None, 3)])
    server.rows("SELECT pg_terminate_backend(%s)", [runner(server, "alice")])
    eventually(lambda: outcomes(server, "cut") == ["lost"])
    assert noted(server) == []


def test_what_is_paused_is_not_begun_again(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('alice')")
    schedule(server, "alice", "cut", NEVER, "SELECT public.hold('alice')")
    ask(server, "alice", "cut")
    process = runner(server, "alice")
    with as_role(server, "alice") as connection:
        connection.execute("SELECT crontab.jobs_pause('cut')")
    server.rows("SELECT pg_terminate_backend(%s)", [process])
    eventually(lambda: runs(server, "cut") == [("lost", "57P01", 1)])


def test_a_scheduler_that_is_ended_loses_no_run(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('alice')")
    schedule(server, "alice", "kept", NEVER, "SELECT public.hold('alice')")
    schedule(server, "alice", "often", "* * * * * *", "INSERT INTO public.noted (what) VALUES ('often')")
    ask(server, "alice", "kept")
    runner(server, "alice")
    ((before,),) = server.rows("SELECT pid FROM crontab.workers() WHERE worker = 'jobs'")
    server.rows("SELECT pg_terminate_backend(%s)", [before])
    eventually(lambda: another_scheduler(server, before), 20)
    done = len(outcomes(server, "often"))
    eventually(lambda: len(outcomes(server, "often")) > done + 1, 20)
    server.rows("DELETE FROM held")
    eventually(lambda: runs(server, "kept") == [("done", None, 1)])
    assert [what for what, _ in noted(server)].count("alice") == 1


@pytest.mark.parametrize("transaction", [True, False])
def test_a_crash_in_the_middle(server: Server, transaction: bool) -> None:
    server.rows("INSERT INTO held VALUES ('alice')")
    command = "SELECT public.hold('alice')" if transaction else "CALL public.by_halves('alice')"
    schedule(server, "alice", "cut", NEVER, command, transaction=transaction)
    ask(server, "alice", "cut")
    process, mark = runner(server, "alice"), server.mark()
    os.kill(process, signal.SIGKILL)
    server.wait_for_crash_recovery(mark)
    if transaction:
        eventually(lambda: runs(server, "cut") == [("running", None, 2)], 30)
        server.rows("DELETE FROM held")
        eventually(lambda: outcomes(server, "cut") == ["done"])
        assert noted(server) == [("alice", "alice")]
    else:
        eventually(lambda: outcomes(server, "cut") == ["lost"], 30)


def test_a_run_can_be_cancelled_and_times_out(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('alice')")
    schedule(server, "alice", "long", NEVER, "SELECT public.hold('alice')")
    ask(server, "alice", "long")
    server.rows("SELECT pg_cancel_backend(%s)", [runner(server, "alice")])
    eventually(lambda: runs(server, "long") == [("failed", "57014", 1)])
    schedule(server, "alice", "long", NEVER, "SELECT public.hold('alice')", timeout=timedelta(milliseconds=50))
    ask(server, "alice", "long")
    eventually(lambda: runs(server, "long") == [("failed", "57014", 1)] * 2)


def test_times_that_were_missed(server: Server) -> None:
    for name, missed in (("skip", 0), ("once", 1), ("three", 3)):
        schedule(
            server, "alice", name, "*/10 * * * *", f"INSERT INTO public.noted (what) VALUES ('{name}')", missed=missed
        )
    # as if nothing had run for so long
    server.rows("SELECT crontab.request_shutdown()")
    server.rows("UPDATE crontab.jobs SET settled_until = now() - interval '2 hours'")
    server.cluster.restart()
    server.rows("SELECT crontab.resume()")
    eventually(lambda: len(outcomes(server, "three")) >= 3, 20)
    eventually(lambda: len(outcomes(server, "once")) >= 1, 20)
    eventually(lambda: server.value("SELECT bool_and(next_run > now()) FROM crontab.jobs"))
    eventually(lambda: not server.rows("SELECT FROM crontab.jobs_runs WHERE outcome <> 'done'"))
    # a time of the present may have come meanwhile
    assert (len(outcomes(server, "skip")), len(outcomes(server, "once")), len(outcomes(server, "three"))) in (
        (0, 1, 3), (1, 1, 3), (1, 2, 4),
    )  # fmt: skip
    query = (
        "SELECT due FROM crontab.jobs_runs AS r JOIN crontab.jobs AS s ON s.id = schedule"
        " WHERE name = 'three' ORDER BY r.id"
    )
    dues = [due for (due,) in server.rows(query)]
    assert all(after - before == timedelta(minutes=10) for before, after in pairwise(dues))


def test_a_row_that_somebody_holds_keeps_nobody_else(server: Server) -> None:
    schedule(server, "alice", "locked", "* * * * * *", "INSERT INTO public.noted (what) VALUES ('locked')")
    with server.connect() as connection, connection.transaction():
        connection.execute("SELECT FROM crontab.jobs WHERE name = 'locked' FOR UPDATE")
        schedule(server, "alice", "free", "* * * * * *", "INSERT INTO public.noted (what) VALUES ('free')")
        eventually(lambda: len(outcomes(server, "free")) > 2, 20)
        seen = len(outcomes(server, "locked"))
        done = len(outcomes(server, "free"))
        eventually(lambda: len(outcomes(server, "free")) > done + 1, 20)
        assert len(outcomes(server, "locked")) == seen
    eventually(lambda: len(outcomes(server, "locked")) > seen, 20)


def test_many_changes_at_once_are_all_seen(server: Server) -> None:
    with as_role(server, "alice") as connection, connection.transaction():
        connection.execute(
            "INSERT INTO crontab.jobs (name, expression, command)"
            " SELECT 'n' || g, CASE WHEN g %% 100 = 0 THEN '* * * * * *' ELSE '0 0 1 1 *' END,"
            " 'INSERT INTO public.noted (what) VALUES (''n' || g || ''')' FROM generate_series(1, 2000) AS g",
            [],
        )
    eventually(lambda: len({what for what, _ in noted(server)}) == 20, 30)
    with as_role(server, "alice") as connection:
        assert connection.execute("DELETE FROM crontab.jobs WHERE expression = '* * * * * *'").rowcount == 20


def test_a_dropped_owner_and_a_schedule_that_is_removed_in_the_middle(server: Server) -> None:
    server.rows("CREATE ROLE dora LOGIN; GRANT alice TO dora")
    server.rows("INSERT INTO held VALUES ('alice')")
    with server.connect() as connection:
        connection.execute("SET ROLE alice")
        connection.execute("SELECT crontab.jobs_schedule('going', %s, $$SELECT public.hold('alice')$$)", [NEVER])
    server.rows("UPDATE crontab.jobs SET owner = 'dora'::regrole, run_now = true; DROP ROLE dora")
    eventually(lambda: server.rows("SELECT outcome, sqlstate FROM crontab.jobs_runs") in (
        [("failed", "42704")], [("failed", "28000")]), 20)  # fmt: skip
    server.rows("DELETE FROM crontab.jobs; DELETE FROM crontab.jobs_runs")
    schedule(server, "alice", "going", NEVER, "SELECT public.hold('alice')")
    ask(server, "alice", "going")
    runner(server, "alice")
    with as_role(server, "alice") as connection:
        assert connection.execute("SELECT crontab.jobs_unschedule('going')").fetchone() == (True,)
    server.rows("DELETE FROM held")
    eventually(lambda: server.rows("SELECT outcome FROM crontab.jobs_runs") == [("done",)])


def test_the_extension_and_the_database_can_be_dropped(server: Server) -> None:
    schedule(server, "alice", "often", "* * * * * *", "SELECT 1")
    eventually(lambda: outcomes(server, "often"), 20)
    server.rows("DROP EXTENSION crontab")
    server.rows("CREATE EXTENSION crontab")
    schedule(server, "alice", "often", "* * * * * *", "INSERT INTO public.noted (what) VALUES ('again')")
    eventually(lambda: noted(server), 20)
    with psycopg.connect(server.cluster.conninfo("template1"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres RENAME TO other")
        connection.execute("ALTER DATABASE other RENAME TO postgres")
    count = len(noted(server))
    eventually(lambda: len(noted(server)) > count + 1, 30)


def test_a_run_that_waits_for_a_process_is_not_counted_as_begun(server: Server) -> None:
    server.rows("INSERT INTO held VALUES ('one'), ('two'), ('three')")
    for name in ("one", "two", "three"):
        schedule(server, "alice", name, NEVER, f"SELECT public.hold('{name}')")
        ask(server, "alice", name)
        eventually(lambda name=name: outcomes(server, name) == ["running"])  # type: ignore[misc]
    schedule(server, "bob", "four", NEVER, "INSERT INTO public.noted (what) VALUES ('four')")
    ask(server, "bob", "four")
    # as if it had been taken by a scheduler that has ended before it was given out
    server.rows(
        "INSERT INTO crontab.jobs_runs (schedule, owner, due, started_at, outcome) SELECT id, owner, clock_timestamp(),"
        " clock_timestamp(), 'running' FROM crontab.jobs WHERE name = 'four'"
    )
    for _ in range(4):
        ((before,),) = server.rows("SELECT pid FROM crontab.workers() WHERE worker = 'jobs'")
        server.rows("SELECT pg_terminate_backend(%s)", [before])
        eventually(lambda before=before: another_scheduler(server, before), 20)  # type: ignore[misc]
    assert runs(server, "four") == [("running", None, 1)]
    server.rows("DELETE FROM held")
    eventually(lambda: runs(server, "four") == [("done", None, 1)] * 2, 20)
