"""Every kind of worker and every option, on real servers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

DECLARATIONS = Path(__file__).parent / "declarations"


@pytest.fixture(scope="module")
def server(pg: Pg) -> Iterator[Server]:
    """One server for the module, with too few roles and databases at first."""
    setup = (DECLARATIONS / "kinds.sql").read_text()
    module = module_of(DECLARATIONS / "kinds.py")
    with serving(pg, module, setup, settings={"max_worker_processes": "24"}) as running:
        eventually(lambda: state(running, "taker") == ["idle", "idle"], what="the takers")
        eventually(lambda: running.value("SELECT count(*) FROM ticked") == 1, what="the first round")
        yield running


def state(server: Server, worker: str) -> list[str]:
    """The states of a worker's processes."""
    rows = server.rows("SELECT state FROM kinds.workers() WHERE worker = %s ORDER BY process", [worker])
    return [row[0] for row in rows]


def pids(server: Server, worker: str) -> list[int | None]:
    """The pids of a worker's processes."""
    rows = server.rows("SELECT pid FROM kinds.workers() WHERE worker = %s ORDER BY process", [worker])
    return [row[0] for row in rows]


def test_parameters_come_from_columns_and_settings(server: Server) -> None:
    """A statement sees the job's columns, the settings as they are now, and the attempt."""
    server.rows("""INSERT INTO kinds.letters (subject, size) VALUES ('first', 2)""")
    line = "SELECT line FROM taken WHERE line LIKE %s"
    eventually(lambda: server.rows(line, ["%first%"]) == [("hello ??/ \"you\" \\ 'é' first 3 0",)])
    server.set(kinds__greeting="bye", kinds__factor="2")
    eventually(lambda: server.value("SHOW kinds.greeting") == "bye")
    eventually(lambda: set(state(server, "taker")) == {"idle"})
    server.rows("""INSERT INTO kinds.letters (subject, size) VALUES ('second', 2)""")
    eventually(lambda: server.rows(line, ["%second%"]) == [("bye second 4 0",)])
    server.reset()


def test_several_processes_share_a_queue(server: Server) -> None:
    """Both processes take jobs, no job is done twice, and the gauge counts the living."""
    server.rows("TRUNCATE taken")
    assert server.value("SELECT alive FROM kinds.ticks_status") == 2
    server.rows("""INSERT INTO kinds.letters (subject, size, extra)
                   SELECT 's' || g, g, '{"sleep": 0.002}' FROM generate_series(1, 300) AS g""")
    eventually(lambda: server.value("SELECT count(*) FROM taken") == 300)
    assert server.value("SELECT count(DISTINCT id) FROM taken") == 300
    takers = {row[0] for row in server.rows("SELECT DISTINCT taker FROM taken")}
    assert takers == set(pids(server, "taker"))


def test_a_statement_has_its_timeout(server: Server) -> None:
    """A job that hangs is cancelled after its timeout, tried again, and given up."""
    before = pids(server, "taker")
    server.rows("""INSERT INTO kinds.letters (subject, size, extra) VALUES ('hangs', 1, '{"sleep": 600}')""")
    jobs = "SELECT status, attempts, sqlstate, error FROM kinds.letters_jobs"
    eventually(lambda: server.rows(jobs) == [("failed", 2, "57014", "canceling statement due to statement timeout")])
    assert pids(server, "taker") == before
    assert server.value("SELECT given_up FROM kinds.ticks_status") == 1
    server.rows("TRUNCATE kinds.letters_failed")


def test_a_table_that_is_away_for_a_while(server: Server) -> None:
    """A statement whose table has gone spends no attempt: the jobs wait, and are done when it is back."""
    server.rows("ALTER TABLE taken RENAME TO away")
    server.rows("INSERT INTO kinds.letters (subject, size) VALUES ('patient', 1)")
    eventually(lambda: "backing off" in state(server, "taker"))
    assert server.rows("SELECT status, attempts FROM kinds.letters_jobs") == [("ready", 0)]
    server.rows("ALTER TABLE away RENAME TO taken")
    server.rows("SELECT pg_reload_conf()")
    eventually(lambda: server.value("SELECT count(*) FROM taken WHERE line LIKE '%patient%'") == 1)


def test_an_interval_is_a_setting(server: Server) -> None:
    """The first round comes at once, the next after the interval, and a shorter interval is believed on reload."""
    count = "SELECT count(*) FROM ticked"
    assert server.rows("SELECT line FROM ticked") == [("hello ??/ \"you\" \\ 'é'-7",)]
    server.set(kinds__every="1")
    eventually(lambda: server.value(count) >= 3)
    shown = "SELECT ticks >= 6, hot = ticks, last IS NOT NULL, lit, status FROM kinds.ticks_status"
    server.set(kinds__every="7200")
    eventually(lambda: server.rows(shown) == [(True, True, True, True, "1 done, 0 failed")])


def test_a_failing_round(server: Server) -> None:
    """A round that fails is counted, told, tried again later, and the process stays."""
    mark = server.mark()
    before = pids(server, "tick")
    server.rows("INSERT INTO ticked VALUES ('fail')")
    server.set(kinds__every="1")
    eventually(lambda: server.value("SELECT failures FROM kinds.ticks_status") >= 2)
    # cut at 24 bytes, the NUL included
    assert server.value("SELECT status FROM kinds.ticks_status") == "error: tick fails"
    assert state(server, "tick") in (["backing off"], ["working"])
    server.rows("DELETE FROM ticked WHERE line = 'fail'")
    server.set(kinds__every="2")
    eventually(lambda: server.log("works again after", mark))
    assert pids(server, "tick") == before
    server.reset()


def test_a_cancelled_round_waits_for_its_interval(server: Server) -> None:
    """Whoever cancels a round does not want it again at once; the process stays."""
    server.set(kinds__every="7200")
    eventually(lambda: server.value("SHOW kinds.every") == "2h")
    server.rows("INSERT INTO ticked VALUES ('sleep')")
    before = pids(server, "tick")
    server.set(kinds__every="1")
    busy = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy, before) == 1, what="the round")
    server.set(kinds__every="7200")
    mark = server.mark()
    server.rows("SELECT pg_cancel_backend(%s)", before)
    eventually(lambda: server.log("kinds tick ERROR:  canceling statement due to user request", mark))
    eventually(lambda: state(server, "tick") == ["idle"])
    server.rows("DELETE FROM ticked WHERE line = 'sleep'")
    assert pids(server, "tick") == before
    server.reset()


def test_when_and_unless(server: Server) -> None:
    """Boolean settings are read in the loop."""
    server.set(kinds__ticking="off")
    eventually(lambda: state(server, "tick") == ["paused"])
    server.set(kinds__ticking="on", kinds__held="on")
    eventually(lambda: server.value("SHOW kinds.held") == "on")
    assert state(server, "tick") == ["paused"]
    server.set(kinds__held="off")
    eventually(lambda: state(server, "tick") != ["paused"])
    server.reset()


def test_a_statement_outside_a_transaction_block(server: Server) -> None:
    """VACUUM runs, and reaches the statistics."""
    eventually(lambda: server.value("SELECT vacuums FROM kinds.ticks_status") >= 1)
    eventually(lambda: server.value("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'taken'") >= 1)


def test_never_restarted(server: Server) -> None:
    """A worker with restart=NEVER does not come back."""
    pid = pids(server, "once")[0]
    mark = server.mark()
    server.rows("SELECT pg_terminate_backend(%s)", [pid])
    eventually(lambda: server.log(r'"kinds once" \(PID \d+\) exited with exit code 1', mark))
    # a worker with a restart of a second, ended later, is back: the other one had its time
    other = pids(server, "counter")[0]
    server.rows("SELECT pg_terminate_backend(%s)", [other])
    eventually(lambda: pids(server, "counter")[0] not in (None, other))
    assert pids(server, "once") == [None]


def test_a_role_that_comes_late(server: Server) -> None:
    """Without its role a worker waits and says so once; then it runs as that role."""
    eventually(lambda: server.log('waits: role "worker_role" does not exist'))
    server.rows("CREATE ROLE worker_role LOGIN; GRANT USAGE ON SCHEMA public TO worker_role")
    eventually(lambda: server.rows("SELECT DISTINCT who FROM users_seen WHERE who = 'worker_role'"), within=20)
    assert len(server.log('waits: role "worker_role" does not exist')) == 1


def test_a_database_that_comes_late(server: Server) -> None:
    """Without its database a worker waits, connected to none; created, it is served; dropped, it is waited for."""
    eventually(lambda: server.log('waits: database "later_made" does not exist'))
    fatal = len(server.log('FATAL:  database "later_made" does not exist'))
    assert fatal == 1
    server.rows("CREATE DATABASE later_made")
    eventually(lambda: state(server, "elsewhere") == ["dormant"], within=20)
    server.rows("CREATE TABLE public.users_seen (who text, at timestamptz DEFAULT clock_timestamp())",
                dbname="later_made")  # fmt: skip
    server.rows("CREATE FUNCTION public.note_user() RETURNS void LANGUAGE sql AS"
                " 'INSERT INTO public.users_seen VALUES (session_user)'", dbname="later_made")  # fmt: skip
    server.rows("CREATE EXTENSION kinds", dbname="later_made")
    eventually(lambda: server.value("SELECT count(*) FROM users_seen", dbname="later_made") > 0)


def test_start_at_postmaster_start(server: Server) -> None:
    """A C worker without SQL runs before the database system is ready."""
    lines = server.cluster.log_lines().lines
    start = max(n for n, line in enumerate(lines) if "starting PostgreSQL" in line)
    sampled = next(n for n, line in enumerate(lines) if n > start and "sampled by" in line)
    assert sampled > start
    assert pids(server, "sampler")[0] is not None


def test_a_c_worker_with_sql(server: Server) -> None:
    """Its function runs in a transaction with SPI connected."""
    eventually(lambda: server.value("SELECT count(*) FROM sampled") >= 1)


def test_arguments_of_a_launch(server: Server) -> None:
    """Values of every kind arrive as they were; the worker runs as the caller."""
    given = (
        7, "täxt 'quoted' \\", Decimal("12.50"), uuid.UUID(int=5), datetime(2020, 2, 29, 12, tzinfo=UTC), True,
    )  # fmt: skip
    assert server.value("SELECT kinds.launch_fixed(%s, %s, %s, %s, %s, %s)", given) > 0
    eventually(lambda: server.rows("SELECT a, b, c, d, e, f, who FROM launched") == [(*given, "postgres")])
    server.rows("TRUNCATE launched")
    server.rows("SELECT kinds.launch_fixed(NULL, NULL, NULL, NULL, NULL, NULL)")
    eventually(lambda: server.rows("SELECT a, b, c, d, e, f FROM launched") == [(None,) * 6])
    server.rows("SELECT kinds.launch_array('{3,1,2}')")
    eventually(lambda: server.rows("SELECT n FROM numbers ORDER BY n") == [(1,), (2,), (3,)])
    server.rows("TRUNCATE numbers")


def test_an_argument_means_the_same_whatever_the_session_has_set(server: Server) -> None:
    """The text form does not depend on DateStyle or search_path of the caller."""
    with server.connect(options="-c datestyle=SQL,DMY -c search_path=nowhere") as connection:
        connection.execute("SELECT kinds.launch_span('[05/03/2026,12/03/2026)')")
    eventually(lambda: server.rows("SELECT days::text FROM spans") == [("[2026-03-05,2026-03-12)",)])


def test_an_argument_that_is_too_long(server: Server) -> None:
    """It is refused where it is passed, with its size and the limit."""
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match='"b" is too long') as caught:
        server.rows("SELECT kinds.launch_fixed(1, repeat('x', 500), NULL, NULL, NULL, NULL)")
    assert "500 bytes" in (caught.value.diag.message_detail or "")
    assert server.value("SELECT count(pid) FROM kinds.workers() WHERE worker = 'fixed'") == 0


def test_a_launch_that_nobody_waits_for(server: Server) -> None:
    """notify=False returns NULL at once, and the worker runs all the same."""
    assert server.value("SELECT kinds.launch_quiet(11)") is None
    eventually(lambda: server.rows("SELECT n FROM numbers") == [(11,)])
    server.rows("TRUNCATE numbers")


def test_a_procedure_that_commits(server: Server) -> None:
    """transaction=False lets a procedure commit; what it committed stays when it fails."""
    server.rows("SELECT kinds.launch_procedure(3, 'ab')")
    eventually(lambda: server.rows("SELECT n FROM numbers ORDER BY n") == [(3,), (4,), (5,)])
    server.rows("TRUNCATE numbers")
    mark = server.mark()
    server.rows("SELECT kinds.launch_procedure(2, 'fail')")
    eventually(lambda: server.log("steps fails", mark))
    assert server.rows("SELECT n FROM numbers ORDER BY n") == [(5,), (6,)]
    server.rows("TRUNCATE numbers")


def test_a_launch_by_somebody_else(server: Server) -> None:
    """EXECUTE is not PUBLIC's; granted, the worker runs as the caller."""
    server.rows("""CREATE ROLE caller LOGIN; GRANT USAGE ON SCHEMA kinds TO caller; GRANT INSERT ON launched TO caller;
                   TRUNCATE launched""")
    launch = "SELECT kinds.launch_fixed(1, NULL, NULL, NULL, NULL, NULL)"
    with server.connect(user="caller") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(launch)
        server.rows("GRANT EXECUTE ON FUNCTION kinds.launch_fixed TO caller")
        connection.execute(launch)
    eventually(lambda: server.rows("SELECT who FROM launched") == [("caller",)])


def test_a_launch_that_can_not_connect(server: Server) -> None:
    """A role without LOGIN: the launch fails with a reason, and its slot is free again."""
    server.rows("""CREATE ROLE dumb NOLOGIN; GRANT USAGE ON SCHEMA kinds TO dumb;
                   GRANT EXECUTE ON FUNCTION kinds.launch_fixed TO dumb""")
    with server.connect() as connection:
        connection.execute("SET ROLE dumb")
        for _ in range(5):
            with pytest.raises(psycopg.errors.InsufficientResources, match="ended before it was connected"):
                connection.execute("SELECT kinds.launch_fixed(1, NULL, NULL, NULL, NULL, NULL)")


def test_no_worker_slot(pg: Pg) -> None:
    """With max_worker_processes used up a launch is refused with 53000, and max_worker_processes is named."""
    module = module_of(Path(__file__).parents[2] / "examples" / "my_worker.py")
    setup = (Path(__file__).parents[2] / "examples" / "my_worker.sql").read_text()
    # one for the launcher of logical replication, one for the queue worker
    with serving(pg, module, setup, settings={"max_worker_processes": "2"}) as server:
        with pytest.raises(psycopg.errors.InsufficientResources, match="no background worker slot is free") as caught:
            server.rows("SELECT launch_dynamic_worker(1)")
        assert caught.value.sqlstate == "53000"
        assert "max_worker_processes" in (caught.value.diag.message_hint or "")
