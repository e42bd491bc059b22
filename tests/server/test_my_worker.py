"""The first scenario on real servers: names, jobs, faults, and what is left after each."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import EXAMPLES, Server, module_of, serving

WORKER = "my_custom_worker"

# A handler whose payload says what it does.
HANDLER = """
CREATE OR REPLACE FUNCTION public.process_item(id bigint, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF payload ? 'sleep' THEN
        PERFORM pg_catalog.pg_sleep((payload->>'sleep')::double precision);
    ELSIF payload ? 'raise' THEN
        RAISE EXCEPTION 'told to fail' USING ERRCODE = payload->>'raise';
    ELSIF payload ? 'once' THEN
        IF NOT EXISTS (SELECT FROM public.my_queue_later) AND
            (SELECT count(*) FROM public.processed AS p WHERE p.payload = process_item.payload) = 0
            AND nextval('public.tries') < 3 THEN
            RAISE EXCEPTION 'not yet';
        END IF;
    END IF;
    INSERT INTO public.processed (id, payload) VALUES (process_item.id, process_item.payload);
END
$$
"""


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    """One server for the module; each test finds it empty, with the settings of the declaration."""
    setup = (EXAMPLES / "my_worker.sql").read_text() + "CREATE SEQUENCE public.tries;"
    with serving(pg, module_of(EXAMPLES / "my_worker.py"), setup) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The server, cleaned."""
    running.rows(HANDLER)
    running.rows("SELECT my_worker_resume()")
    eventually(lambda: running.pid(WORKER), within=20, what="the worker")
    running.rows("TRUNCATE my_queue, my_queue_later, my_queue_failed, processed, tasks_run")
    yield running
    running.reset()


def processed(server: Server) -> int:
    """How many items the handler has written."""
    count: int = server.value("SELECT count(*) FROM processed")
    return count


def enqueue(server: Server, *payloads: str | None) -> None:
    """Put items into the queue in one transaction."""
    values = ", ".join("(%s::jsonb)" for _ in payloads)
    server.rows(f"INSERT INTO my_queue (payload) VALUES {values}", payloads)


def test_names_and_defaults(server: Server) -> None:
    """Settings, with their limits and contexts, stand as the scenario fixes them."""
    rows = server.rows(
        "SELECT name, setting, unit, min_val, max_val, context, vartype FROM pg_settings"
        " WHERE name LIKE 'my\\_worker.%' ORDER BY name COLLATE \"C\""
    )
    assert rows == [
        ("my_worker.database", "postgres", None, None, None, "postmaster", "string"),
        ("my_worker.enabled", "on", None, None, None, "sighup", "bool"),
        ("my_worker.max_items", "100", None, "1", "10000", "sighup", "integer"),
        ("my_worker.naptime", "10", "s", "1", "3600", "sighup", "integer"),
    ]
    with pytest.raises(psycopg.errors.InvalidName):
        server.rows("SET my_worker.misspelt = 1")


def test_jobs_are_processed_in_order(server: Server) -> None:
    """A batch larger than max_items drains at once, oldest first."""
    server.rows("INSERT INTO my_queue (payload) SELECT jsonb_build_object('n', g) FROM generate_series(1, 1000) AS g")
    eventually(lambda: processed(server) == 1000, what="1000 items")
    assert server.value("SELECT count(*) FROM my_queue_jobs") == 0
    ordered = server.value("SELECT array_agg((payload->>'n')::int ORDER BY processed_at, id) FROM processed")
    assert ordered == list(range(1, 1001))


def test_items_are_counted_at_commit(server: Server) -> None:
    """items_processed grows by what was committed; last_run and status tell of the round."""
    before = server.value("SELECT items_processed FROM my_worker_status")
    enqueue(server, *["{}"] * 7)
    eventually(lambda: server.value("SELECT items_processed FROM get_worker_stats()") == before + 7)
    last_run, status = server.rows("SELECT last_run, status FROM my_worker_status")[0]
    assert last_run is not None
    assert status == "7 done, 0 failed"


def test_commit_wakes_the_worker(server: Server) -> None:
    """With a nap of an hour, a committed job is done at once, and an uncommitted one is not seen."""
    server.set(my_worker__naptime="3600")
    with server.connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO my_queue (payload) VALUES ('{}')")
            assert processed(server) == 0
        eventually(lambda: processed(server) == 1, within=2, what="the job, long before the nap ends")
        with connection.cursor().copy("COPY my_queue (payload) FROM STDIN") as copy:
            copy.write("{}\n{}\n")
    eventually(lambda: processed(server) == 3, within=2, what="the jobs of a COPY")


def test_a_wake_up_while_a_job_waits_is_not_lost(server: Server) -> None:
    """A handler that waits resets the latch; a job committed meanwhile is done when it ends, not at the next nap."""
    server.set(my_worker__naptime="3600")
    enqueue(server, '{"sleep": 0.5}')
    busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy, [WORKER]) == 1)
    enqueue(server, "{}")
    eventually(lambda: processed(server) == 2, within=5)


def cpu_ticks(pid: int) -> int:
    """User and system time of a process, in ticks of which there are a hundred a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("still", ["paused", "dormant"])
def test_a_worker_that_stands_still_costs_nothing(server: Server, still: str) -> None:
    """Neither paused with a retry overdue nor without its extension does a worker spin."""
    pid = server.pid(WORKER)
    assert pid is not None
    if still == "dormant":
        server.rows("DROP EXTENSION my_worker")
    else:
        enqueue(server, '{"raise": "P0001"}')
        eventually(lambda: server.rows("SELECT status FROM my_queue_jobs") == [("later",)])
        server.set(my_worker__enabled="off")
        eventually(lambda: server.value("SELECT bool_and(run_at < now()) FROM my_queue_later"), what="the time")
    server.rows("SELECT pg_reload_conf()")
    began, before = time.monotonic(), cpu_ticks(pid)
    for _ in range(4):
        server.rows("CREATE DATABASE pastime")
        server.rows("DROP DATABASE pastime")
    ticks = cpu_ticks(pid) - before
    if still == "dormant":
        server.rows("CREATE EXTENSION my_worker")
    assert ticks < (time.monotonic() - began) * 100 / 4


def test_restarted_ids_do_not_stop_the_queue(server: Server) -> None:
    """After TRUNCATE ... RESTART IDENTITY ids come again: jobs given up or waiting under them stand in nobody's way."""
    server.rows("""
        TRUNCATE my_queue RESTART IDENTITY;
        INSERT INTO my_queue_failed (id, attempts, created_at) SELECT g, 3, now() FROM generate_series(1, 5) AS g;
        INSERT INTO my_queue_later (id, attempt, created_at, run_at)
            SELECT g, 0, now(), now() + interval '1 s' FROM generate_series(1, 5) AS g""")
    enqueue(server, "{}", '{"raise": "P0001"}', "{}", '{"raise": "P0001"}')
    eventually(lambda: processed(server) == 2 + 5, what="the good jobs, and those that waited")
    eventually(lambda: server.value("SELECT count(*) FROM my_queue_failed") == 7, what="giving up")
    assert server.value("SELECT count(*) FROM my_queue_jobs") == 7


def test_a_function_of_another_version_is_an_error(server: Server) -> None:
    """SQL objects that do not fit the library give an error, and no crash."""
    server.rows("""CREATE FUNCTION more_columns(OUT a bigint, OUT b timestamptz, OUT c text, OUT d text)
                   AS '$libdir/my_worker', 'my_worker_get_worker_stats' LANGUAGE C;
                   CREATE FUNCTION other_columns(OUT a bigint, OUT b text, OUT c text)
                   AS '$libdir/my_worker', 'my_worker_get_worker_stats' LANGUAGE C;
                   CREATE FUNCTION no_arguments() RETURNS integer
                   AS '$libdir/my_worker', 'my_worker_launch_task' LANGUAGE C;
                   CREATE FUNCTION other_arguments(text DEFAULT 'x') RETURNS integer
                   AS '$libdir/my_worker', 'my_worker_launch_task' LANGUAGE C""")
    functions = ("more_columns", "other_columns", "no_arguments", "other_arguments")
    try:
        for function in functions:
            with pytest.raises(psycopg.errors.DatatypeMismatch, match="different versions"):
                server.rows(f"SELECT * FROM {function}()")
    finally:
        server.rows(f"DROP FUNCTION {', '.join(functions)}")


def test_drop_extension_under_load(server: Server) -> None:
    """DROP and CREATE EXTENSION beside producers: nobody is chosen as the victim of a deadlock."""
    mark = server.mark()
    stop = threading.Event()

    def produce() -> None:
        with server.connect() as connection:
            while not stop.is_set():
                try:
                    connection.execute("INSERT INTO my_queue (payload) VALUES ('{}')")
                except (psycopg.errors.UndefinedTable, psycopg.errors.InternalError_):
                    continue  # dropped just now

    producers = [threading.Thread(target=produce) for _ in range(3)]
    for thread in producers:
        thread.start()
    try:
        for _ in range(15):
            server.rows("DROP EXTENSION my_worker")
            server.rows("CREATE EXTENSION my_worker")
    finally:
        stop.set()
        for thread in producers:
            thread.join()
    assert server.log("deadlock detected", mark) == []
    eventually(lambda: server.value("SELECT count(*) FROM my_queue") == 0, what="the jobs of the last one")


def test_drop_extension_without_the_queues_table(server: Server) -> None:
    """SQL objects that lack a table of the library, as those of another version may, can be dropped."""
    server.rows("ALTER EXTENSION my_worker DROP TABLE my_queue; ALTER TABLE my_queue RENAME TO kept")
    try:
        server.rows("DROP EXTENSION my_worker CASCADE")
    finally:
        server.rows("DROP TABLE IF EXISTS kept CASCADE")
        server.rows("CREATE EXTENSION IF NOT EXISTS my_worker")


def test_null_reaches_the_handler(server: Server) -> None:
    """A payload of NULL is a payload."""
    enqueue(server, None)
    eventually(lambda: server.rows("SELECT payload FROM processed") == [(None,)])


def test_a_failing_item_harms_no_neighbour(server: Server) -> None:
    """One poison item in a batch: the others are done once, it is retried and given up, the worker lives on."""
    pid = server.pid(WORKER)
    mark = server.mark()
    enqueue(server, *["{}"] * 9, '{"raise": "22012"}', *["{}"] * 10)
    eventually(lambda: processed(server) == 19, what="the neighbours")
    eventually(lambda: server.rows("SELECT status FROM my_queue_jobs") == [("failed",)], what="giving up")
    assert processed(server) == 19
    attempts, error, sqlstate = server.rows("SELECT attempts, error, sqlstate FROM my_queue_jobs")[0]
    assert (attempts, error, sqlstate) == (3, "told to fail", "22012")
    assert server.pid(WORKER) == pid
    warnings = server.log("failed in attempt", mark)
    assert [f"attempt {n} of 3" in line for n, line in enumerate(warnings, 1)] == [True] * 3


@pytest.mark.parametrize("sqlstate", ["P0001", "40001", "40P01", "57014", "53200", "XX000", "23505", "0A000"])
def test_every_class_of_error_is_the_items_own(server: Server, sqlstate: str) -> None:
    """Whatever a handler raises, only its item fails."""
    pid = server.pid(WORKER)
    enqueue(server, "{}", f'{{"raise": "{sqlstate}"}}', "{}")
    eventually(lambda: processed(server) == 2, what="the neighbours")
    eventually(lambda: server.rows("SELECT status, sqlstate FROM my_queue_jobs") == [("failed", sqlstate)])
    assert server.pid(WORKER) == pid


def test_a_retry_succeeds(server: Server) -> None:
    """An item that fails twice and then works is done, and leaves nothing behind."""
    server.rows("ALTER SEQUENCE tries RESTART")
    enqueue(server, '{"once": true}')
    eventually(lambda: server.rows("SELECT status, attempts FROM my_queue_jobs") == [("later", 1)])
    eventually(lambda: processed(server) == 1, what="the retry")
    assert server.value("SELECT count(*) FROM my_queue_jobs") == 0


def test_a_deferred_constraint_fails_its_own_item(server: Server) -> None:
    """A constraint checked at commit is blamed on the item that breaks it, and stays deferred for the next."""
    server.rows("""
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        CREATE OR REPLACE FUNCTION public.process_item(id bigint, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.child VALUES ((payload->>'n')::int);
            IF NOT payload ? 'orphan' THEN
                INSERT INTO public.parent VALUES ((payload->>'n')::int);
            END IF;
            INSERT INTO public.processed VALUES (process_item.id, process_item.payload);
        END $$""")
    try:
        enqueue(server, '{"n": 1}', '{"n": 2, "orphan": true}', '{"n": 3}', '{"n": 4}')
        eventually(lambda: processed(server) == 3, what="the neighbours")
        eventually(lambda: server.rows("SELECT status, sqlstate FROM my_queue_jobs") == [("failed", "23503")])
        assert server.rows("SELECT id FROM child ORDER BY id") == [(1,), (3,), (4,)]
    finally:
        server.rows("DROP TABLE child, parent")


def test_nothing_is_left_in_the_session(server: Server) -> None:
    """What a handler leaves behind is gone before the next batch; a setting of the worker's own stays."""
    server.rows("""
        CREATE ROLE somebody;
        GRANT INSERT ON processed TO somebody;
        CREATE OR REPLACE FUNCTION public.process_item(id bigint, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.processed (id, payload) SELECT process_item.id, jsonb_build_object(
                'role', current_user, 'user', session_user, 'work_mem', current_setting('work_mem'),
                'search_path', current_setting('search_path'), 'temporary', to_regclass('pg_temp.leftover'),
                'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
                'cursors', (SELECT count(*) FROM pg_cursors WHERE is_holdable),
                'prepared', (SELECT count(*) FROM pg_prepared_statements));
            IF payload ? 'leave' THEN
                PERFORM set_config('work_mem', '77MB', false), set_config('search_path', 'public', false),
                    set_config('default_transaction_read_only', 'on', false);
                CREATE TEMPORARY TABLE leftover (a int);
                PERFORM pg_advisory_lock(42);
                EXECUTE 'PREPARE leftover AS SELECT 1';
                EXECUTE 'DECLARE leftover CURSOR WITH HOLD FOR SELECT 1';
                SET ROLE somebody;
            END IF;
        END $$""")
    clean = {
        "role": "postgres", "user": "postgres", "work_mem": "4MB", "search_path": "pg_catalog, pg_temp",
        "temporary": None, "locks": 0, "cursors": 0, "prepared": 0,
    }  # fmt: skip
    try:
        for number in (1, 2, 3):
            enqueue(server, '{"leave": true}')
            eventually(lambda: processed(server) == number)  # noqa: B023
        assert server.rows("SELECT payload FROM processed") == [(clean,)] * 3
        assert server.value("SELECT count(*) FROM my_queue_jobs") == 0
    finally:
        server.rows("REVOKE ALL ON processed FROM somebody; DROP ROLE somebody")


def test_another_session_user_is_undone(server: Server) -> None:
    """SET SESSION AUTHORIZATION in a handler ends with the batch, though the worker has no role to go back to."""
    server.rows("""
        CREATE ROLE bob;
        CREATE OR REPLACE FUNCTION public.process_item(id bigint, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.processed VALUES (process_item.id, to_jsonb(session_user));
            EXECUTE 'SET SESSION AUTHORIZATION bob';
        END $$""")
    try:
        for number in (1, 2):
            enqueue(server, "{}")
            eventually(lambda: processed(server) == number)  # noqa: B023
        assert server.rows("SELECT DISTINCT payload FROM processed") == [("postgres",)]
    finally:
        server.rows("DROP ROLE bob")


def test_a_missing_handler_costs_no_attempt(server: Server) -> None:
    """Without the function the jobs stay as they were; the error is logged once, and a reload ends the wait."""
    mark = server.mark()
    server.rows("DROP FUNCTION process_item(bigint, jsonb)")
    enqueue(server, "{}")
    eventually(lambda: server.log("function public.process_item\\(bigint, jsonb\\) does not exist", mark))
    for _ in range(5):
        enqueue(server, "{}")
    state = "SELECT state, failures > 0 FROM my_worker_workers() WHERE worker = 'main'"
    eventually(lambda: server.rows(state) == [("backing off", True)])
    assert server.rows("SELECT DISTINCT status, attempts FROM my_queue_jobs") == [("ready", 0)]
    server.rows(HANDLER)
    server.rows("SELECT pg_reload_conf()")
    eventually(lambda: processed(server) == 6, what="the jobs")
    eventually(lambda: server.log("works again", mark))
    assert len(server.log("ERROR:  function public.process_item", mark)) <= 4


def test_a_reload_takes_effect(server: Server) -> None:
    """enabled = off holds the jobs back, on lets them go, and a shorter nap is believed at once."""
    server.set(my_worker__enabled="off")
    state = "SELECT state FROM my_worker_workers() WHERE worker = 'main'"
    eventually(lambda: server.value(state) == "paused")
    enqueue(server, "{}")
    assert server.rows("SELECT status FROM my_queue_jobs") == [("ready",)]
    server.set(my_worker__enabled="on")
    eventually(lambda: processed(server) == 1, within=3, what="the job, woken by the reload")


def test_shutdown_on_request(server: Server) -> None:
    """request_shutdown() idles every worker and refuses launches; resume() lets them go on."""
    pid = server.pid(WORKER)
    server.rows("SELECT my_worker_request_shutdown()")
    state = "SELECT state FROM my_worker_workers() WHERE worker = 'main'"
    eventually(lambda: server.value(state) == "paused")
    enqueue(server, "{}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="stand still"):
        server.rows("SELECT launch_dynamic_worker(1)")
    assert processed(server) == 0
    server.rows("SELECT my_worker_resume()")
    eventually(lambda: processed(server) == 1)
    assert server.pid(WORKER) == pid


def test_cancel_while_idle(server: Server) -> None:
    """pg_cancel_backend on an idle worker does nothing but log."""
    pid = server.pid(WORKER)
    mark = server.mark()
    assert server.value("SELECT pg_cancel_backend(%s)", [pid])
    eventually(lambda: server.log("canceling statement due to user request", mark))
    enqueue(server, "{}")
    eventually(lambda: processed(server) == 1)
    assert server.pid(WORKER) == pid


def test_cancel_while_working(server: Server) -> None:
    """pg_cancel_backend on a worker fails the item in hand, once, and its neighbours are done."""
    pid = server.pid(WORKER)
    enqueue(server, "{}", '{"sleep": 600}', "{}")
    busy = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy, [pid]) == 1, what="the worker in its item")
    server.rows("SELECT pg_cancel_backend(%s)", [pid])
    eventually(lambda: processed(server) == 2, what="the neighbours")
    jobs = "SELECT attempts, sqlstate FROM my_queue_jobs"
    eventually(lambda: server.rows(jobs) == [(1, "57014")], what="the cancelled item")
    assert server.pid(WORKER) == pid
    server.rows("DELETE FROM my_queue_later")


def test_terminate_and_restart(server: Server) -> None:
    """pg_terminate_backend gives the job back and the worker comes again after its ten seconds, not before."""
    pid = server.pid(WORKER)
    enqueue(server, '{"sleep": 600}')
    busy = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy, [pid]) == 1)
    ended = time.monotonic()
    server.rows("SELECT pg_terminate_backend(%s)", [pid])
    eventually(lambda: server.pid(WORKER) is None, what="its end")
    assert server.rows("SELECT status, attempts FROM my_queue_jobs") == [("ready", 0)]
    assert server.value("SELECT pid FROM my_worker_workers() WHERE worker = 'main'") is None
    server.rows("TRUNCATE my_queue")
    eventually(lambda: server.pid(WORKER) not in (None, pid), within=20, what="another process")
    assert time.monotonic() - ended > 8
    enqueue(server, "{}")
    eventually(lambda: processed(server) == 1)


def test_fast_stop_in_mid_query(server: Server) -> None:
    """A fast shutdown does not wait for the handler, and loses no job."""
    enqueue(server, '{"sleep": 600}', "{}")
    busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy, [WORKER]) == 1)
    began = time.monotonic()
    server.cluster.stop("fast")
    stopped = time.monotonic() - began
    server.cluster.start()
    assert stopped < 5
    eventually(lambda: server.value(busy, [WORKER]) == 1, what="the same job again")
    server.rows("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = %s", [WORKER])
    eventually(lambda: processed(server) == 1, what="its neighbour")
    assert server.rows("SELECT attempts FROM my_queue_jobs") == [(1,)]


def test_kill_9_with_recovery(server: Server) -> None:
    """kill -9 of the worker restarts the cluster: shared state is fresh, the job is there and is done once."""
    enqueue(server, "{}")
    eventually(lambda: processed(server) == 1)
    pid = server.pid(WORKER)
    assert pid is not None
    enqueue(server, '{"sleep": 2}')
    busy = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    eventually(lambda: server.value(busy, [pid]) == 1)
    mark = server.mark()
    os.kill(pid, signal.SIGKILL)
    server.wait_for_crash_recovery(mark)
    eventually(lambda: processed(server) == 2, within=30, what="the job after recovery")
    assert server.value("SELECT count(*) FROM my_queue_jobs") == 0
    assert server.value("SELECT items_processed FROM my_worker_status") == 1
    assert server.pid(WORKER) != pid


def test_dynamic_worker(server: Server) -> None:
    """launch_dynamic_worker() returns the pid of the process that runs the task, however fast it is."""
    pids = [server.value("SELECT launch_dynamic_worker(%s)", [task]) for task in range(20)]
    eventually(lambda: server.value("SELECT count(*) FROM tasks_run") == 20)
    assert server.rows("SELECT task_id, run_by FROM tasks_run ORDER BY task_id") == list(enumerate(pids))


def test_dynamic_worker_with_null(server: Server) -> None:
    """NULL travels as NULL."""
    server.rows("SELECT launch_dynamic_worker(NULL)")
    eventually(lambda: server.rows("SELECT task_id FROM tasks_run") == [(None,)])


def test_dynamic_worker_without_a_slot(server: Server) -> None:
    """More launches than the limit are refused with 53000 and a hint, and the slots come back."""
    server.rows("""CREATE OR REPLACE FUNCTION public.run_task(task_id integer) RETURNS void LANGUAGE sql
                   AS 'SELECT pg_catalog.pg_advisory_xact_lock(1)'""")
    try:
        with server.connect() as holder:
            holder.execute("SELECT pg_advisory_lock(1)")
            for task in range(4):
                server.rows("SELECT launch_dynamic_worker(%s)", [task])
            with pytest.raises(psycopg.errors.InsufficientResources, match="4 are running already") as caught:
                server.rows("SELECT launch_dynamic_worker(5)")
            assert caught.value.sqlstate == "53000"
            assert caught.value.diag.message_hint
        free = "SELECT count(*) FROM my_worker_workers() WHERE worker = 'task' AND pid IS NULL"
        eventually(lambda: server.value(free) == 4)
        assert server.value("SELECT launch_dynamic_worker(6)") > 0
    finally:
        server.rows((EXAMPLES / "my_worker.sql").read_text())


def test_a_dynamic_worker_is_never_restarted(server: Server) -> None:
    """One that fails is logged, ends, and gives its slot back."""
    mark = server.mark()
    server.rows("""CREATE OR REPLACE FUNCTION public.run_task(task_id integer) RETURNS void LANGUAGE plpgsql
                   AS $$BEGIN RAISE EXCEPTION 'task % fails', task_id; END$$""")
    try:
        server.rows("SELECT launch_dynamic_worker(77)")
        eventually(lambda: server.log("task 77 fails", mark))
        free = "SELECT count(*) FROM my_worker_workers() WHERE worker = 'task' AND pid IS NULL"
        eventually(lambda: server.value(free) == 4)
        assert len(server.log("task 77 fails", mark)) == 1
    finally:
        server.rows((EXAMPLES / "my_worker.sql").read_text())


def test_statistics_reach_autovacuum(server: Server) -> None:
    """Without pgstat_report_stat() the deletes of a worker would never be known."""
    server.rows("SELECT pg_stat_reset_single_table_counters('my_queue'::regclass)")
    server.rows("INSERT INTO my_queue (payload) SELECT '{}' FROM generate_series(1, 500)")
    deleted = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'my_queue'"
    eventually(lambda: server.value(deleted) >= 500, what="the deletes in the statistics")


def test_drop_and_create_extension(server: Server) -> None:
    """Without the extension the worker is dormant; CREATE EXTENSION wakes it."""
    pid = server.pid(WORKER)
    server.set(my_worker__naptime="3600")
    mark = server.mark()
    server.rows("DROP EXTENSION my_worker")
    server.rows("SELECT pg_reload_conf()")
    eventually(lambda: server.log('waits for extension "my_worker"', mark))
    server.rows("CREATE EXTENSION my_worker")
    enqueue(server, "{}")
    eventually(lambda: processed(server) == 1, within=3)
    assert server.pid(WORKER) == pid


def test_drop_database_of_another(server: Server) -> None:
    """An idle worker takes part in the barrier that DROP DATABASE waits for."""
    server.rows("CREATE DATABASE other")
    began = time.monotonic()
    server.rows("DROP DATABASE other")
    assert time.monotonic() - began < 5


def test_installing_where_no_worker_serves(server: Server) -> None:
    """CREATE EXTENSION in another database warns, and names the setting."""
    server.rows("CREATE DATABASE elsewhere")
    notices: list[tuple[str | None, str | None, str | None]] = []
    with server.connect("elsewhere") as connection:
        connection.add_notice_handler(lambda n: notices.append((n.severity, n.message_primary, n.message_hint)))
        connection.execute("CREATE EXTENSION my_worker")
    server.rows("DROP DATABASE elsewhere")
    severity, message, hint = notices[-1]
    assert severity == "WARNING"
    assert message == 'no worker of "my_worker" serves database "elsewhere"'
    assert "my_worker.database" in (hint or "")
