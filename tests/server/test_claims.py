"""How jobs are claimed: what each way sees, what it passes over, and how it comes back to that.

The workers look by themselves once in an hour unless a test says otherwise. So a job that is done was told of.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
WAYS = ("pair", "one", "arrays", "slow", "quick")


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    settings = {"max_prepared_transactions": "10", "wal_level": "logical"}
    setup = (FOLDER / "claims.sql").read_text()
    with serving(pg, module_of(FOLDER / "claims.py"), setup, settings=settings) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """Nothing in the queues, and workers that have nothing to do."""
    running.rows("TRUNCATE noted")
    yield running
    running.rows("ALTER SYSTEM RESET ALL")
    running.rows("SELECT pg_reload_conf()")
    running.rows("DELETE FROM claims.once_keys")
    for queue in ("told", "single", "whole", "slow", "quick", "once"):
        running.rows(f"DELETE FROM claims.{queue}; DELETE FROM claims.{queue}_later; DELETE FROM claims.{queue}_failed")


def noted(server: Server) -> list[Any]:
    """The jobs that are done, in the order in which they were."""
    return [row[0] for row in server.rows("SELECT job FROM noted ORDER BY entry")]


def done(server: Server, count: int, within: float = 10.0) -> None:
    """Wait until so many jobs are done, and require that each was done once."""
    eventually(lambda: server.value("SELECT count(*) FROM noted") >= count, within, f"{count} jobs")
    assert server.value("SELECT count(*) - count(DISTINCT (job, note)) FROM noted") == 0
    assert server.value("SELECT count(*) FROM noted") == count


def way(server: Server, worker: str) -> tuple[str, int, int]:
    """How a worker claims, and how often it has done so directly and by a statement."""
    found = server.rows(
        "SELECT claims, direct_claims, portable_claims FROM claims.workers() WHERE worker = %s", [worker]
    )
    return found[0]


def stand_still(server: Server) -> None:
    """Ask the workers to, and wait until no round that has begun before can take a job."""
    server.rows("SELECT claims.request_shutdown()")
    restless = "SELECT count(*) FROM claims.workers() WHERE state <> 'paused'"
    eventually(lambda: server.value(restless) == 0, what="workers that stand still")


@contextmanager
def set_to(server: Server, **settings: str) -> Iterator[None]:
    """Settings of the extension, until the end of the block."""
    for name, value in settings.items():
        server.rows(f"ALTER SYSTEM SET claims.{name} = '{value}'")
    server.rows("SELECT pg_reload_conf()")
    if settings.get("paused") == "on":
        held = "SELECT count(*) FROM claims.workers() WHERE worker IN ('pair', 'keyed') AND state <> 'paused'"
        eventually(lambda: server.value(held) == 0, what="workers that are paused")
    try:
        yield
    finally:
        for name in settings:
            server.rows(f"ALTER SYSTEM RESET claims.{name}")
        server.rows("SELECT pg_reload_conf()")


def test_claims_are_direct_and_say_so(server: Server) -> None:
    server.rows("INSERT INTO claims.single (note) VALUES ('a')")
    server.rows("INSERT INTO claims.told (note) VALUES ('b')")
    done(server, 2)
    for worker in ("one", "pair"):
        claims, direct, portable = way(server, worker)
        assert (claims, direct > 0, portable) == ("direct", True, 0)


def test_no_job_is_stranded_behind_the_mark(server: Server) -> None:
    """Eight producers whose transactions overlap in every way: ids become visible long after larger ones were claimed.

    A mark that knew nothing of them would leave most of them behind; and nobody looks by himself here.
    """
    producers, rounds, rows = 8, 40, 7

    def produce(number: int) -> None:
        with server.connect() as connection:
            for turn in range(rounds):
                with connection.transaction(force_rollback=turn % 10 == 9):
                    for _ in range(rows):
                        connection.execute("INSERT INTO claims.told (note) VALUES ('x')")
                        connection.execute("SELECT pg_sleep(random() * 0.002)")
                    if turn % 4 == number % 4:
                        connection.execute("SELECT pg_sleep(0.03)")

    before = way(server, "pair")
    with ThreadPoolExecutor(producers) as pool:
        for finished in [pool.submit(produce, number) for number in range(producers)]:
            finished.result()
    done(server, producers * rows * (rounds - rounds // 10), within=20)
    assert server.value("SELECT count(*) FROM claims.told") == 0
    assert len(set(server.rows("SELECT pid FROM noted"))) == 2
    after = way(server, "pair")
    assert (after[0], after[1] > before[1], after[2]) == ("direct", True, before[2])


def test_locked_jobs_are_passed_over_and_come_back(server: Server) -> None:
    """More than a process remembers one by one."""
    with set_to(server, paused="on"):
        server.rows("INSERT INTO claims.told (note) SELECT 'x' FROM generate_series(1, 5000)")
        with server.connect() as connection, connection.transaction():
            locked = connection.execute("SELECT id FROM claims.told WHERE id % 2 = 0 FOR UPDATE").fetchall()
            server.rows("ALTER SYSTEM SET claims.paused = off")
            server.rows("SELECT pg_reload_conf()")
            done(server, 5000 - len(locked))
            assert not set(noted(server)) & {row[0] for row in locked}
        done(server, 5000)


def test_a_job_that_was_changed_while_it_was_passed_over(server: Server) -> None:
    """An UPDATE leaves the job behind the mark, in another priority or at another place of the table."""
    with server.connect() as connection, connection.transaction():
        connection.execute("INSERT INTO claims.single (note) VALUES ('first')")
    done(server, 1)
    with server.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO claims.single (note) SELECT 'x' FROM generate_series(1, 20)")
        connection.execute("COMMIT AND CHAIN")
        # whatever was not claimed by now is changed
        connection.execute("UPDATE claims.single SET note = 'changed', priority = 0")
        connection.execute("COMMIT")
    done(server, 21)


def test_an_upsert_below_the_mark(server: Server) -> None:
    with server.connect() as connection, connection.transaction():
        server.rows("INSERT INTO claims.single (note) VALUES ('a')")
        done(server, 1)
        # the id is free again, and behind the mark
        connection.execute("INSERT INTO claims.single (id, note) OVERRIDING SYSTEM VALUE VALUES (1000000, 'b')")
        connection.execute(
            "INSERT INTO claims.single (id, note) OVERRIDING SYSTEM VALUE VALUES (1000000, 'c')"
            " ON CONFLICT (priority, id) DO UPDATE SET note = excluded.note"
        )
    done(server, 2)
    assert server.value("SELECT note FROM noted WHERE job = 1000000") == "c"


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(
            ["BEGIN", "INSERT INTO claims.{0} (note) VALUES ('x')", "PREPARE TRANSACTION 'claims'",
             "COMMIT PREPARED 'claims'"],
            id="commit prepared",
        ),
        pytest.param(
            ["INSERT INTO claims.{0} (id, note) OVERRIDING SYSTEM VALUE VALUES (-7, 'x')"],
            id="an id of its own",
        ),
        pytest.param(
            ["BEGIN", "ALTER TABLE claims.{0} DISABLE TRIGGER ALL", "INSERT INTO claims.{0} (note) VALUES ('x')",
             "ALTER TABLE claims.{0} ENABLE ALWAYS TRIGGER {0}_wake",
             "ALTER TABLE claims.{0} ENABLE ALWAYS TRIGGER {0}_update_wake", "COMMIT"],
            id="triggers disabled",
        ),
        pytest.param(
            ["INSERT INTO claims.{0}_later (id, note, run_at) VALUES (-99, 'x', now() - interval '1 day')"],
            id="dated back",
        ),
        pytest.param(
            ["INSERT INTO claims.{0}_later (id, note, run_at) VALUES (-99, 'x', '-infinity')"],
            id="dated back for ever",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("queue", "worker"), [("single", "one"), ("told", "pair")])
def test_what_nobody_tells_of_is_found_by_looking(
    server: Server, statements: list[str], queue: str, worker: str
) -> None:
    """By the sweep, which also a busy worker makes; within two of its intervals."""
    server.rows(f"INSERT INTO claims.{queue} (note) SELECT 'x' FROM generate_series(1, 300)")
    done(server, 300)
    with server.connect() as connection:
        for statement in statements:
            connection.execute(statement.format(queue).encode())
    with set_to(server, every="200"):
        done(server, 301)
    assert way(server, worker)[0] == "direct"


def test_a_sweep_goes_on_beside_jobs_that_keep_coming(server: Server) -> None:
    """It has a part of each while; a queue that is never empty does not put it off for ever."""
    stop = threading.Event()

    def produce() -> None:
        with server.connect() as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO claims.single (note) SELECT 'busy' FROM generate_series(1, 50)")

    with set_to(server, every="100"), ThreadPoolExecutor(1) as pool:
        producer = pool.submit(produce)
        try:
            eventually(lambda: server.value("SELECT count(*) FROM noted") > 1000)
            server.rows("INSERT INTO claims.single (id, note) OVERRIDING SYSTEM VALUE VALUES (-9, 'hidden')")
            eventually(lambda: server.value("SELECT count(*) FROM noted WHERE note = 'hidden'") == 1)
        finally:
            stop.set()
            producer.result()
    eventually(lambda: server.value("SELECT count(*) FROM claims.single") == 0)


OBSTACLES = {
    "a trigger": (
        "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';"
        "CREATE TRIGGER mine BEFORE DELETE ON claims.single FOR EACH ROW EXECUTE FUNCTION public.nothing()",
        "DROP TRIGGER mine ON claims.single; DROP FUNCTION public.nothing()",
        "trigger on DELETE",
    ),
    "a foreign key": (
        "CREATE TABLE public.refers (p smallint, i bigint, FOREIGN KEY (p, i) REFERENCES claims.single"
        " ON DELETE CASCADE)",
        "DROP TABLE public.refers",
        "foreign key",
    ),
    "row security": (
        "ALTER TABLE claims.single ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE claims.single DISABLE ROW LEVEL SECURITY",
        "row security",
    ),
    "a cache": (
        "ALTER SEQUENCE claims.single_id_seq CACHE 20",
        "ALTER SEQUENCE claims.single_id_seq CACHE 1",
        "CACHE",
    ),
    "an identity by default": (
        "ALTER TABLE claims.single ALTER COLUMN id SET GENERATED BY DEFAULT",
        "ALTER TABLE claims.single ALTER COLUMN id SET GENERATED ALWAYS",
        "altered",
    ),
    "another key": (
        "ALTER TABLE claims.single DROP CONSTRAINT single_pkey, ADD PRIMARY KEY (id)",
        "ALTER TABLE claims.single DROP CONSTRAINT single_pkey, ADD PRIMARY KEY (priority, id)",
        "primary key",
    ),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_where_a_direct_claim_would_pass_by_something(server: Server, obstacle: str) -> None:
    """Jobs are claimed by a statement, the log and the view say why, and it ends with the obstacle."""
    begin, end, reason = OBSTACLES[obstacle]
    mark = server.mark()
    server.rows(begin)
    try:
        server.rows("INSERT INTO claims.single (note) VALUES ('a'), ('fail'), ('b')")
        done(server, 2)
        eventually(lambda: server.value("SELECT count(*) FROM claims.single_failed") == 1)
        claims, direct, portable = way(server, "one")
        assert reason in claims
        assert portable > 0
        assert server.told(reason, mark)
    finally:
        server.rows(end)
    server.rows("INSERT INTO claims.single (note) VALUES ('c')")
    done(server, 3)
    after = way(server, "one")
    assert (after[0], after[1] > direct, after[2] >= portable) == ("direct", True, True)
    assert server.told("are claimed directly", mark)


def test_priorities(server: Server) -> None:
    """0 comes first; of the same, what has waited for its time, then the oldest."""
    with server.connect() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO claims.single (note, priority)"
            " SELECT 'x', p FROM generate_series(0, 9) AS p, generate_series(1, 3) ORDER BY p DESC"
        )
        connection.execute(
            "INSERT INTO claims.single_later (id, note, priority, run_at)"
            " VALUES (-1, 'due', 4, now()), (-2, 'due', 0, now())"
        )
    done(server, 32)
    rows = server.rows("SELECT job FROM noted ORDER BY entry")
    jobs = [row[0] for row in rows]
    first = min(job for job in jobs if job > 0)
    fresh = [first + (9 - priority) * 3 + number for priority in range(10) for number in range(3)]
    assert jobs == [-2, *fresh[:12], -1, *fresh[12:]]
    with pytest.raises(psycopg.errors.CheckViolation):
        server.rows("INSERT INTO claims.single (note, priority) VALUES ('x', 10)")


def test_jobs_for_later_are_done_when_they_are_due(server: Server) -> None:
    """Whoever puts one there wakes nobody for nothing, and the worker comes back by itself."""
    server.rows(
        "INSERT INTO claims.single_later (id, note, run_at) VALUES"
        " (-1, 'soon', clock_timestamp() + interval '300 ms'), (-2, 'far', now() + interval '1 day')"
    )
    done(server, 1, within=5)
    late = server.value("SELECT statement_timestamp() FROM noted LIMIT 1")
    assert late is not None
    # brought forward
    server.rows("UPDATE claims.single_later SET run_at = now() WHERE id = -2")
    done(server, 2, within=5)


def test_an_array_handler_gets_the_whole_batch(server: Server) -> None:
    server.rows("INSERT INTO claims.whole (note) SELECT nullif(g % 3, 0)::text FROM generate_series(1, 120) AS g")
    done(server, 120)
    assert server.value("SELECT max(size) FROM noted") == 50
    assert server.value("SELECT count(*) FROM noted WHERE note IS NULL") == 40


def test_an_array_handler_that_fails_is_called_for_each(server: Server) -> None:
    server.rows(
        "INSERT INTO claims.whole (note) SELECT CASE g WHEN 7 THEN 'fail' ELSE 'x' END FROM generate_series(1, 20) AS g"
    )
    done(server, 19)
    given_up = "SELECT error, context LIKE '%note_all%' FROM claims.whole_failed"
    eventually(lambda: server.rows(given_up) == [("told to fail", True)])
    assert server.value("SELECT max(size) FROM noted") == 1


def test_a_slow_batch_gives_back_what_it_has_not_begun(server: Server) -> None:
    """Jobs that wait for their turn in a batch that takes long are there for others, and keep their order."""
    server.rows("INSERT INTO claims.slow (note) VALUES ('sleep 0.15'), ('b'), ('c'), ('d')")
    done(server, 4)
    assert server.value("SELECT count(DISTINCT xid) FROM noted") > 1
    assert noted(server) == sorted(noted(server))


def test_commits_that_do_not_wait(server: Server) -> None:
    server.rows("INSERT INTO claims.quick (note) VALUES ('x')")
    server.rows("INSERT INTO claims.single (note) VALUES ('x')")
    done(server, 2)
    assert sorted(server.rows("SELECT asynchronous FROM noted")) == [("off",), ("on",)]


def test_a_handler_that_is_replaced_is_noticed(server: Server) -> None:
    """It is kept ready from batch to batch, and none of this may go unseen."""
    source = server.value("SELECT pg_get_functiondef('public.note'::regproc)")
    try:
        server.rows("INSERT INTO claims.single (note) VALUES ('a')")
        done(server, 1)
        server.rows(source.replace("VALUES (note.id, note.note)", "VALUES (note.id, 'replaced')"))
        server.rows("INSERT INTO claims.single (note) VALUES ('b')")
        done(server, 2)
        server.rows("DROP FUNCTION public.note")
        mark = server.mark()
        server.rows("INSERT INTO claims.single (note) VALUES ('c')")
        assert server.told("function public.note.* does not exist", mark)
        server.rows(source)
        server.rows("SELECT pg_reload_conf()")
        done(server, 3)
        assert server.rows("SELECT note FROM noted ORDER BY entry") == [("a",), ("replaced",), ("c",)]
    finally:
        server.rows("DROP FUNCTION IF EXISTS public.note")
        server.rows(source)


def test_what_a_terminated_process_had_in_hand(server: Server) -> None:
    """The other process of its worker takes it, and does not wait for an hour."""
    server.rows("INSERT INTO claims.told (note) SELECT 'sleep 0.05' FROM generate_series(1, 30)")
    busy = "SELECT pid FROM pg_locks WHERE relation = 'public.noted'::regclass AND mode = 'RowExclusiveLock'"
    pid = eventually(lambda: server.rows(busy), what="a job in hand")[0][0]
    server.rows("SELECT pg_terminate_backend(%s)", [pid])
    done(server, 30, within=20)


def test_ids_that_begin_anew(server: Server) -> None:
    """TRUNCATE ... RESTART IDENTITY, in one transaction with jobs before and after it."""
    server.rows("INSERT INTO claims.single (note) SELECT 'x' FROM generate_series(1, 50)")
    done(server, 50)
    server.rows("TRUNCATE noted")
    with server.connect() as connection, connection.transaction():
        connection.execute("INSERT INTO claims.single (note) VALUES ('gone')")
        connection.execute("TRUNCATE claims.single RESTART IDENTITY")
        connection.execute("INSERT INTO claims.single (note) VALUES ('a'), ('b')")
    done(server, 2)
    assert noted(server) == [1, 2]


def as_role(server: Server, role: str, query: str, *parameters: object) -> Any:
    """What a query returns to a role, whose transaction is committed."""
    with server.connect() as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        row = connection.execute(query.encode(), parameters).fetchone()
    return row[0] if row else None


def test_producers_put_jobs_in_by_a_function(server: Server) -> None:
    """NULL and priority as in an INSERT, and the workers are woken; beside that they may put jobs in by INSERT."""
    first = as_role(server, "claims_app", "SELECT claims.single_enqueue('a')")
    second = as_role(server, "claims_app", "SELECT claims.single_enqueue(note => NULL, priority => 0::smallint)")
    done(server, 2)
    assert server.rows("SELECT job, note FROM noted ORDER BY job") == [(first, "a"), (second, None)]
    with pytest.raises(psycopg.errors.CheckViolation):
        as_role(server, "claims_app", "SELECT claims.single_enqueue('a', 10::smallint)")
    for query in (
        "SELECT note FROM claims.single",
        "INSERT INTO claims.single (note, attempt) VALUES ('a', 7)",
        "SELECT claims.single_cancel(1)",
        "SELECT claims.single_retry()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(server, "claims_app", query)
    third = as_role(server, "claims_app", "INSERT INTO claims.single (note, priority) VALUES ('b', 3) RETURNING id")
    done(server, 3)
    assert noted(server)[-1] == third


def test_jobs_for_a_time_by_a_function(server: Server) -> None:
    """A time that has passed is now; another one is waited for."""
    past = as_role(server, "claims_app", "SELECT claims.single_enqueue_at('-infinity', 'past')")
    soon = as_role(server, "claims_app", "SELECT claims.single_enqueue_at(now() + interval '300 ms', 'soon')")
    never = as_role(server, "claims_app", "SELECT claims.single_enqueue_at('infinity', 'never')")
    done(server, 2)
    assert noted(server) == [past, soon]
    assert server.rows("SELECT id, status FROM claims.single_jobs") == [(never, "later")]


def test_jobs_are_cancelled_unless_they_are_in_hand(server: Server) -> None:
    stand_still(server)
    ready = server.value("SELECT claims.single_enqueue('ready', 9::smallint)")
    waiting = server.value("SELECT claims.single_enqueue_at(now() + interval '1 day', 'waiting')")
    busy = server.value("SELECT claims.single_enqueue('sleep 2', 0::smallint)")
    cancel = "SELECT claims.single_cancel(%s)"
    assert [as_role(server, "claims_ops", cancel, job) for job in (ready, waiting, -1)] == [True, True, False]
    server.rows("SELECT claims.resume()")
    eventually(lambda: server.rows("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), what="a job in hand")
    assert as_role(server, "claims_ops", cancel, busy) is False
    done(server, 1)
    assert noted(server) == [busy]


def test_jobs_that_were_given_up_run_again(server: Server) -> None:
    """All, or those that are named; a job that waits for its next attempt as well; attempts are counted anew."""
    failing = [server.value("SELECT claims.single_enqueue('fail')") for _ in range(3)]
    eventually(lambda: server.value("SELECT count(*) FROM claims.single_failed") == 3)
    waiting = server.value("SELECT claims.single_enqueue_at(now() + interval '1 day', 'waiting')")
    server.rows("UPDATE claims.single_failed SET note = 'mended'")
    named = "SELECT claims.single_retry(%s)"
    assert as_role(server, "claims_ops", named, [failing[0], waiting, -1]) == 2
    done(server, 2)
    assert as_role(server, "claims_ops", "SELECT claims.single_retry()") == 2
    done(server, 4)
    assert sorted(noted(server)) == sorted([*failing, waiting])
    assert as_role(server, "claims_ops", "SELECT count(*) FROM claims.single_jobs") == 0


def test_jobs_that_were_given_up_are_purged(server: Server) -> None:
    server.rows(
        "INSERT INTO claims.single_failed (id, note, attempts, created_at, failed_at)"
        " SELECT g, 'x', 3, now(), now() - g * interval '1 day' FROM generate_series(0, 9) AS g"
    )
    assert as_role(server, "claims_ops", "SELECT claims.single_purge('5 days')") == 5
    assert as_role(server, "claims_ops", "SELECT claims.single_purge()") == 5
    assert server.value("SELECT count(*) FROM claims.single_jobs") == 0


def put_once(server: Server, note: str, key: str | None, more: str = "") -> Any:
    """Put a job in under a key; its id, or None where there is one."""
    return server.value(f"SELECT claims.once_enqueue(%s, unique_key => %s{more})", [note, key])


def test_of_a_key_there_is_one_job_at_a_time(server: Server) -> None:
    """While it is pending, through its retries, and no longer; jobs without a key are not concerned."""
    with set_to(server, paused="on"):
        first = put_once(server, "a", "k")
        assert first is not None
        assert put_once(server, "b", "k") is None
        waiting = server.value("SELECT claims.once_enqueue_at(now() + interval '1 day', 'c', unique_key => 'later')")
        assert put_once(server, "d", "later") is None
        others = [put_once(server, "e", key) for key in (None, None, "l")]
        failing = put_once(server, "fail", "f")
        assert len({*others, first, waiting, failing, None}) == 7
    done(server, 4)
    eventually(lambda: server.value("SELECT count(*) FROM claims.once_failed") == 1)
    assert server.rows("SELECT key FROM claims.once_keys") == [("later",)]
    assert [put_once(server, "again", key) is None for key in ("k", "f", "later")] == [False, False, True]
    done(server, 6)
    assert server.value("SELECT claims.once_cancel(%s)", [waiting]) is True
    assert put_once(server, "again", "later") is not None
    done(server, 7)
    assert server.rows("SELECT key FROM claims.once_keys") == []


def test_a_key_for_some_time(server: Server) -> None:
    """It is taken until then, and until the job is done, whichever is later; purge removes what is over."""
    hour = ", unique_for => '1 hour'"
    assert put_once(server, "a", "k", hour) is not None
    done(server, 1)
    assert put_once(server, "b", "k", hour) is None
    assert server.rows("SELECT key, pending FROM claims.once_keys") == [("k", False)]
    server.rows("UPDATE claims.once_keys SET until = now()")
    assert put_once(server, "c", "k", hour) is not None
    done(server, 2)
    with set_to(server, paused="on"):
        assert put_once(server, "d", "short", ", unique_for => '1 us'") is not None
        # its time is over, and it is not done
        assert put_once(server, "e", "short") is None
    done(server, 3)
    server.rows("UPDATE claims.once_keys SET until = now()")
    server.rows("SELECT claims.once_purge()")
    assert server.rows("SELECT key FROM claims.once_keys") == []


def test_two_take_a_key_at_once(server: Server) -> None:
    """The second waits for the first: gets it if that is rolled back, and not if it commits."""
    for ending, taken in (("COMMIT", True), ("ROLLBACK", False)):
        with server.connect() as connection, ThreadPoolExecutor(1) as pool:
            connection.execute("BEGIN")
            connection.execute("SELECT claims.once_enqueue('sleep 0.2', unique_key => %s)", [ending])
            second = pool.submit(put_once, server, "second", ending)
            waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            eventually(lambda: server.rows(waits), what="a session that waits")  # noqa: B023
            connection.execute(ending.encode())
            assert (second.result() is None) == taken
    done(server, 2)


def test_whoever_is_refused_a_key_keeps_nobody_waiting(server: Server) -> None:
    """A key that is seen to be taken is refused without a lock on it, which the worker would wait for."""
    with set_to(server, paused="on"):
        assert put_once(server, "a", "k") is not None
        with server.connect() as connection, connection.transaction():
            refused = connection.execute("SELECT claims.once_enqueue('b', unique_key => 'k')").fetchone()
            assert refused == (None,)
            server.rows("ALTER SYSTEM SET claims.paused = off")
            server.rows("SELECT pg_reload_conf()")
            done(server, 1)
            assert server.rows("SELECT key FROM claims.once_keys") == []


def test_a_way_that_changes_while_jobs_are_remembered(server: Server) -> None:
    """What was passed over directly is not lost when jobs are claimed by a statement from then on, nor back again."""
    begin, end, _ = OBSTACLES["a cache"]
    stand_still(server)
    server.rows("INSERT INTO claims.single (note) SELECT 'x' FROM generate_series(1, 6)")
    with server.connect() as connection, connection.transaction():
        held = connection.execute("SELECT id FROM claims.single ORDER BY id LIMIT 2 FOR UPDATE").fetchall()
        server.rows("SELECT claims.resume()")
        done(server, 4)
        server.rows(begin)
        server.rows("INSERT INTO claims.single (note) VALUES ('x')")
        done(server, 5)
        server.rows(end)
        server.rows("INSERT INTO claims.single (note) VALUES ('x')")
        done(server, 6)
    done(server, 8)
    assert {row[0] for row in held} < set(noted(server))
