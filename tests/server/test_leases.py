"""Jobs that sessions take: by leases that end, with tokens that tell a late acknowledgement from a good one."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    settings = {"max_prepared_transactions": "10", "max_connections": "60"}
    setup = (FOLDER / "leases.sql").read_text()
    with serving(pg, module_of(FOLDER / "leases.py"), setup, settings=settings) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """Nothing in the queues, and a worker that has told of all that was there."""
    yield running
    running.rows("DELETE FROM lend.paused_queues; DELETE FROM lend.mail_keys; TRUNCATE noted")
    for queue in ("mail", "mixed", "own"):
        running.rows(f"DELETE FROM lend.{queue}; DELETE FROM lend.{queue}_later; DELETE FROM lend.{queue}_failed")
    running.rows("DELETE FROM lend.mail_running; DELETE FROM lend.mixed_running")
    running.rows("DELETE FROM lend.mail_done; DELETE FROM lend.own_done")


def put(server: Server, count: int = 1, queue: str = "mail") -> list[int]:
    """Put jobs in; their ids."""
    statement = f"INSERT INTO lend.{queue} (note) SELECT 'n' || n FROM generate_series(1, {count}) AS n RETURNING id"
    return [row[0] for row in server.rows(statement)]


def claim(server: Server, most: int = 100, lease: str = "10 minutes", queue: str = "mail") -> dict[int, int]:
    """Claim jobs: their ids and tokens."""
    rows = server.rows(f"SELECT id, token FROM lend.{queue}_claim(%s, %s::interval, 'me')", [most, lease])
    return dict(rows)


def call(server: Server, verb: str, held: dict[int, int], *rest: Any, queue: str = "mail") -> list[int]:
    """Do something with leases; the ids that were refused."""
    places = "".join(", %s" for _ in rest)
    statement = f"SELECT lend.{queue}_{verb}(%s::bigint[], %s::bigint[]{places})"
    return list(server.value(statement, [list(held), list(held.values()), *rest]))


def crash(server: Server) -> None:
    """Stop it as a crash does, and start it again."""
    server.cluster.stop("immediate")
    server.cluster.start()


def ways(server: Server) -> tuple[str, int, int]:
    """How claims of sessions go, and how often they went each way."""
    return server.rows("SELECT claims, direct_claims, portable_claims FROM lend.workers() WHERE worker = 'keeper'")[0]


def status(server: Server, queue: str = "mail") -> Counter[str]:
    return Counter(row[0] for row in server.rows(f"SELECT status FROM lend.{queue}_jobs"))


def test_a_claimed_job_is_leased_until_it_is_acknowledged(server: Server) -> None:
    ids = put(server, 3)
    rows = server.rows(
        "SELECT id, note, extra, priority, attempt, lease_end - now(), token, who FROM lend.mail_claim(2)"
    )
    assert [row[:5] for row in rows] == [(ids[0], "n1", None, 5, 1), (ids[1], "n2", None, 5, 1)]
    assert all(595 < row[5].total_seconds() < 605 for row in rows)
    assert len({row[6] for row in rows}) == 1
    assert status(server) == {"running": 2, "ready": 1}
    assert server.rows("SELECT id, attempt, who FROM lend.mail_running ORDER BY id") == [
        (ids[0], 1, rows[0][7]),
        (ids[1], 1, rows[0][7]),
    ]
    assert call(server, "acknowledge", {row[0]: row[6] for row in rows}) == []
    assert status(server) == {"ready": 1, "done": 2}
    claims, direct, portable = ways(server)
    assert (claims, direct > 0, portable) == ("direct", True, 0)


def test_who_has_a_lease_is_told_by_the_session_or_by_its_name(server: Server) -> None:
    put(server, 3)
    with server.connect() as connection:
        connection.execute("SET application_name = 'van 7'")
        named = connection.execute("SELECT who FROM lend.mail_claim()").fetchone()
        connection.execute("SET application_name = ''")
        nameless = connection.execute("SELECT who FROM lend.mail_claim()").fetchone()
        given = connection.execute("SELECT who FROM lend.mail_claim(who => 'x')").fetchone()
        assert (named, nameless, given) == (("van 7",), (f"process {connection.info.backend_pid}",), ("x",))


@pytest.mark.parametrize("verb", ["acknowledge", "extend", "fail", "release"])
def test_a_lease_that_is_no_longer_held_is_refused(server: Server, verb: str) -> None:
    """Each with a wrong token, an id that is not leased, and a good one in between."""
    one, two, three = put(server, 3)
    held = claim(server)
    assert call(server, verb, {one: held[one] - 1, two: held[two], three + 7: held[three]}) == [one, three + 7]
    assert server.rows("SELECT id FROM lend.mail_running ORDER BY id") == (
        [(one,), (two,), (three,)] if verb == "extend" else [(one,), (three,)]
    )
    assert call(server, verb, held) == ([] if verb == "extend" else [two])


def test_a_lease_that_ends_counts_as_a_failed_attempt(server: Server) -> None:
    (job,) = put(server)
    tokens = []
    for attempt in (1, 2, 3):
        held = eventually(lambda: claim(server, lease="50 milliseconds"), what="the next attempt")
        tokens.append(held[job])
        eventually(lambda: "running" not in status(server), what="the end of the lease")
        assert call(server, "acknowledge", held) == [job]
        if attempt < 3:
            rows = server.rows("SELECT attempt, error, sqlstate FROM lend.mail_later")
            assert rows == [(attempt, 'the lease of "me" has ended', "08006")]
    assert server.rows("SELECT id, attempts, error, sqlstate FROM lend.mail_failed") == [
        (job, 3, 'the lease of "me" has ended', "08006")
    ]
    assert tokens == sorted(set(tokens))


def test_leases_that_end_are_told_in_the_log(server: Server) -> None:
    put(server, 5)
    since = server.mark()
    claim(server, lease="10 milliseconds")
    line = server.told("has ended", since)
    assert re.search('WARNING:  job [0-9]+ of queue "mail" failed in attempt 1 of 3: the lease of "me"', line[0])


def test_a_lease_that_is_extended_goes_on(server: Server) -> None:
    put(server, 2)
    held = claim(server, lease="300 milliseconds")
    first, second = held.items()
    assert call(server, "extend", dict([first]), "1 hour") == []
    eventually(lambda: status(server)["later"] == 1, what="the end of the other")
    assert call(server, "acknowledge", held) == [second[0]]


def test_an_extension_may_also_shorten_a_lease(server: Server) -> None:
    put(server)
    held = claim(server)
    assert call(server, "extend", held, "1 millisecond") == []
    eventually(lambda: status(server)["later"] == 1, what="its end")


def test_attempts_count_though_the_server_crashes(server: Server) -> None:
    (job,) = put(server)
    held = claim(server, lease="1 second")
    crash(server)
    row = eventually(lambda: server.rows("SELECT id, attempt FROM lend.mail_later"), what="the end of the lease")
    assert row == [(job, 1)]
    assert call(server, "acknowledge", held) == [job]


@pytest.mark.parametrize("how", ["ROLLBACK", "ROLLBACK TO s", "PREPARE TRANSACTION 'p'", "gone"])
def test_a_claim_that_is_undone_gives_the_jobs_to_others_at_once(server: Server, how: str) -> None:
    ids = put(server, 300)
    late = None
    with server.connect() as connection:
        connection.autocommit = True
        connection.execute("BEGIN")
        connection.execute("SAVEPOINT s")
        mine = connection.execute("SELECT id FROM lend.mail_claim(200)").fetchall()
        assert [row[0] for row in mine] == ids[:200]
        assert sorted(claim(server, 300)) == ids[200:]
        if how == "gone":
            server.rows("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
            connection.close()
        else:
            connection.execute(how)
        if how.startswith("PREPARE"):
            assert claim(server) == {}
            connection.execute("ROLLBACK PREPARED 'p'")
            # while it was prepared its rows were locked; these are looked at once a second
            late = eventually(lambda: claim(server, 300), what="what was prepared")
        if how == "ROLLBACK TO s":
            assert sorted(claim(server, 300)) == ids[:200]
            connection.execute("COMMIT")
    assert sorted(late if late is not None else claim(server, 300)) == ([] if how == "ROLLBACK TO s" else ids[:200])
    assert ways(server)[2] == 0


def test_a_claim_in_a_subtransaction_that_is_kept_is_undone_with_its_parent(server: Server) -> None:
    ids = put(server, 20)
    with server.connect() as connection, connection.transaction(force_rollback=True):
        with connection.transaction():
            connection.execute("SELECT lend.mail_claim(5)")
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT lend.mail_claim(5)")
        assert sorted(claim(server)) == ids[5:]
    assert sorted(claim(server)) == ids[:5]


def test_claims_go_by_priority_and_then_by_age_and_due_jobs_come_first(server: Server) -> None:
    rows = [(7, "a"), (5, "b"), (0, "c"), (5, "d"), (9, "e")]
    for priority, note in rows:
        server.rows("INSERT INTO lend.mail (note, priority) VALUES (%s, %s)", [note, priority])
    server.rows("SELECT lend.mail_enqueue_at(now() - interval '1 hour', 'f', NULL, 5::smallint)")
    server.rows("SELECT lend.mail_enqueue_at(now() + interval '1 hour', 'g', NULL, 0::smallint)")
    notes = [row[0] for row in server.rows("SELECT note FROM lend.mail_claim(100)")]
    assert notes == ["c", "f", "b", "d", "a", "e"]


def test_a_failed_job_is_tried_again_and_then_given_up(server: Server) -> None:
    one, two = put(server, 2)
    held = claim(server)
    assert call(server, "fail", held, ["no such street", None], ["23503", None], ["line 7", None]) == []
    assert server.rows("SELECT id, attempt, error, sqlstate, context FROM lend.mail_later ORDER BY id") == [
        (one, 1, "no such street", "23503", "line 7"),
        (two, 1, "", "38000", None),
    ]
    for attempt in (2, 3):
        held = {}
        while len(held) < 2:
            held |= eventually(lambda: claim(server), what=f"attempt {attempt}")
        call(server, "fail", held, ["again", "again"])
    assert server.rows("SELECT id, attempts, error FROM lend.mail_failed ORDER BY id") == [
        (one, 3, "again"),
        (two, 3, "again"),
    ]


def test_a_job_can_be_given_up_at_once(server: Server) -> None:
    (job,) = put(server)
    server.rows("SELECT lend.mail_fail(ARRAY[id], ARRAY[token], ARRAY['never'], retry => false) FROM lend.mail_claim()")
    assert server.rows("SELECT id, attempts, error FROM lend.mail_failed") == [(job, 1, "never")]


def test_a_released_job_is_back_as_it_was(server: Server) -> None:
    ids = put(server, 3)
    assert call(server, "release", claim(server)) == []
    assert server.rows("SELECT id, attempt, note FROM lend.mail ORDER BY id") == [
        (job, 0, f"n{n}") for n, job in enumerate(ids, 1)
    ]
    assert sorted(claim(server)) == ids
    assert ways(server)[2] == 0


def test_keys_are_free_when_their_job_is_over(server: Server) -> None:
    enqueue = "SELECT lend.mail_enqueue('x', NULL, unique_key => 'k')"
    for verb, rest, free in (
        ("acknowledge", (), True),
        ("release", (), False),
        ("fail", (["e"], None, None, True), False),
        ("fail", (["e"], None, None, False), True),
    ):
        assert server.value(enqueue) is not None
        assert server.value(enqueue) is None
        call(server, verb, claim(server), *rest)
        assert (server.value(enqueue) is not None) == free
        server.rows("DELETE FROM lend.mail; DELETE FROM lend.mail_later; DELETE FROM lend.mail_keys")


def test_a_leased_job_can_be_cancelled(server: Server) -> None:
    server.rows("SELECT lend.mail_enqueue('x', NULL, unique_key => 'k')")
    held = claim(server)
    (job,) = held
    assert server.value("SELECT lend.mail_cancel(%s)", [job]) is True
    assert call(server, "extend", held, "1 hour") == [job]
    assert server.value("SELECT count(*) FROM lend.mail_keys") == 0


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("SELECT lend.mail_claim(0)", "22023"),
        ("SELECT lend.mail_claim(NULL)", "22023"),
        ("SELECT lend.mail_claim(100001)", "22023"),
        ("SELECT lend.mail_claim(1, '0')", "22023"),
        ("SELECT lend.mail_claim(1, '-1 day')", "22023"),
        ("SELECT lend.mail_acknowledge('{1}', '{}')", "2202E"),
        ("SELECT lend.mail_acknowledge('{1,NULL}', '{1,2}')", "2202E"),
        ("SELECT lend.mail_acknowledge('{{1},{2}}', '{1,2}')", "2202E"),
        ("SELECT lend.mail_acknowledge(NULL, '{1}')", "22004"),
        ("SELECT lend.mail_fail('{1}', '{1}', '{a,b}')", "2202E"),
        ("SELECT lend.mail_extend('{1}', '{1}', '0')", "22023"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT lend.mail_acknowledge('{1}', '{1}')", "0A000"),
        ("BEGIN; SELECT lend.mail_pause(); PREPARE TRANSACTION 'p'", "0A000"),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT lend.mail_claim()", "0A000"),
        ("BEGIN READ ONLY; SELECT lend.mail_claim()", "25006"),
    ],
)
def test_what_is_refused(server: Server, statement: str, state: str) -> None:
    put(server)
    with server.connect() as connection:
        connection.autocommit = True
        with pytest.raises(psycopg.Error) as raised:
            connection.execute(statement)
    assert raised.value.sqlstate == state
    assert status(server) == {"ready": 1}


def test_a_bad_sqlstate_leaves_the_lease(server: Server) -> None:
    put(server)
    held = claim(server)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not an SQLSTATE"):
        call(server, "fail", held, ["e"], ["2350"])
    assert call(server, "acknowledge", held) == []


def test_roles_call_what_they_were_granted_and_touch_no_table(server: Server) -> None:
    put(server, 2)
    for role, allowed in (("carrier", True), ("stranger", False), ("clerk", False), ("boss", False)):
        with server.connect() as connection:
            connection.autocommit = True
            connection.execute(f"SET ROLE {role}")
            if allowed:
                assert connection.execute(
                    "SELECT lend.mail_acknowledge(array_agg(id), array_agg(token)) FROM lend.mail_claim()"
                ).fetchone() == ([],)
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("SELECT lend.mail_claim()")
            for table in ("mail", "mail_running", "mail_token_seq"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM lend.{table}")


def test_listeners_are_told_of_jobs_and_not_of_each(server: Server) -> None:
    with server.connect() as listener, server.connect() as producer:
        listener.autocommit = producer.autocommit = True
        listener.execute("LISTEN lend_mail")
        began = time.monotonic()
        for _ in range(500):
            producer.execute("INSERT INTO lend.mail (note) VALUES ('x')")
        told = [next(listener.notifies(timeout=10))]
        lasted = time.monotonic() - began
        told += listener.notifies(timeout=0.5)
        assert 1 <= len(told) <= lasted / 0.010 + 3
        assert {(each.channel, each.payload) for each in told} == {("lend_mail", "")}


def test_listeners_are_told_when_a_job_is_due_or_comes_back(server: Server) -> None:
    with server.connect() as listener:
        listener.autocommit = True
        listener.execute("LISTEN lend_mail")
        server.rows("SELECT lend.mail_enqueue_at(now() + interval '400 milliseconds', 'x', NULL)")

        def told() -> dict[int, int]:
            next(listener.notifies(timeout=10, stop_after=1))
            return claim(server)

        held = eventually(told, what="a job that is due")
        call(server, "release", held)
        held = eventually(told, what="a job that was released")
        call(server, "fail", held, ["e"])
        held = eventually(told, what="a job that is tried again")
        call(server, "extend", held, "1 millisecond")
        assert eventually(told, what="a job whose lease has ended")


def test_sessions_and_a_worker_take_each_job_once(server: Server) -> None:
    """Sessions that commit and roll back, keep jobs too long, and fail; a worker takes jobs of the same queue."""
    count, taken, lock = 3000, Counter[int](), threading.Lock()
    stop = threading.Event()

    def consume(number: int) -> None:
        chance = random.Random(number)
        with server.connect() as connection:
            connection.autocommit = True
            while not stop.is_set():
                connection.execute("BEGIN")
                rows = connection.execute(
                    "SELECT id, token FROM lend.mixed_claim(%s)", [chance.randint(1, 40)]
                ).fetchall()
                if chance.random() < 0.2:
                    connection.execute("ROLLBACK")
                    continue
                connection.execute("COMMIT")
                if not rows:
                    connection.execute("SELECT pg_sleep(0.01)")
                    continue
                ids, tokens = [row[0] for row in rows], [row[1] for row in rows]
                verb = chance.choice(["acknowledge", "acknowledge", "release", "fail"])
                with connection.transaction():
                    refused = connection.execute(f"SELECT lend.mixed_{verb}(%s, %s)", [ids, tokens]).fetchone()
                    assert refused == ([],)
                if verb == "acknowledge":
                    with lock:
                        taken.update(ids)

    with ThreadPoolExecutor(6) as pool:
        consumers = [pool.submit(consume, number) for number in range(5)]
        for _ in range(60):
            put(server, count // 60, "mixed")
        eventually(lambda: sum(taken.values()) + server.value("SELECT count(*) FROM noted") >= count, 60, "all jobs")
        stop.set()
        for consumer in consumers:
            consumer.result()
    taken.update(row[0] for row in server.rows("SELECT job FROM noted"))
    assert (len(taken), set(taken.values())) == (count, {1})
    assert status(server, "mixed") == {}
    assert ways(server)[2] == 0


def test_the_keeper_that_is_ended_goes_on(server: Server) -> None:
    put(server, 2)
    claim(server, lease="500 milliseconds")
    pid = server.value("SELECT pid FROM lend.workers() WHERE worker = 'keeper'")
    server.rows("SELECT pg_terminate_backend(%s, 5000)", [pid])
    eventually(lambda: status(server)["later"] == 2, 20, "the end of the leases")


def test_a_trigger_on_delete_is_not_passed_by(server: Server) -> None:
    before = ways(server)
    server.rows(
        "CREATE FUNCTION public.gone() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.noted VALUES (OLD.id, 'trigger'); RETURN OLD; END$$;"
        "CREATE TRIGGER gone BEFORE DELETE ON lend.mail FOR EACH ROW EXECUTE FUNCTION public.gone()"
    )
    try:
        ids = put(server, 3)
        assert sorted(claim(server)) == ids
        assert sorted(row[0] for row in server.rows("SELECT job FROM noted WHERE by = 'trigger'")) == ids
        assert ways(server)[1:] == (before[1], before[2] + 1)
    finally:
        server.rows("DROP TRIGGER gone ON lend.mail; DROP FUNCTION public.gone()")
    ids = put(server, 3)
    assert sorted(claim(server)) == ids
    assert ways(server)[2] == before[2] + 1


def test_another_database_is_served_without_a_worker(server: Server) -> None:
    """By the way of a statement, and nobody ends leases there."""
    server.rows("CREATE DATABASE elsewhere")
    try:
        with server.connect("elsewhere") as connection:
            connection.autocommit = True
            connection.execute("CREATE EXTENSION lend")
            connection.execute("INSERT INTO lend.mail (note) VALUES ('a'), ('b')")
            connection.execute("SELECT lend.mail_enqueue_at(now(), 'c', NULL)")
            rows = connection.execute("SELECT note, attempt FROM lend.mail_claim(10)").fetchall()
            assert rows == [("c", 1), ("a", 1), ("b", 1)]
    finally:
        server.rows("DROP DATABASE elsewhere WITH (FORCE)")


def test_nothing_is_given_out_after_a_request_to_shut_down(server: Server) -> None:
    put(server)
    server.rows("SELECT lend.request_shutdown()")
    try:
        assert claim(server) == {}
    finally:
        server.rows("SELECT lend.resume()")
    assert len(claim(server)) == 1


def test_a_paused_queue_gives_out_no_job_until_it_is_resumed(server: Server) -> None:
    """Neither to sessions nor to its worker; it stays so over a crash, and the other queues go on."""
    assert server.value("SELECT lend.mixed_pause()") is True
    assert server.value("SELECT lend.mixed_pause()") is False
    eventually(lambda: state(server, "helper") == "paused", what="a paused worker")
    put(server, 3, "mixed")
    assert claim(server, queue="mixed") == {}
    crash(server)
    eventually(lambda: state(server, "helper") == "paused", what="a paused worker")
    (job,) = put(server, queue="own")
    eventually(lambda: server.rows("SELECT job FROM noted") == [(job,)], what="a job of another queue")
    assert claim(server, queue="mixed") == {}
    assert server.value("SELECT lend.mixed_resume()") is True
    assert server.value("SELECT lend.mixed_resume()") is False
    eventually(lambda: server.value("SELECT count(*) FROM noted WHERE by = 'helper'") == 3, what="its jobs")


def test_a_pause_that_is_rolled_back_was_none(server: Server) -> None:
    with server.connect() as connection:
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT lend.mail_pause()")
            put(server)
            assert connection.execute("SELECT lend.mail_claim()").fetchall() == []
            assert len(claim(server)) == 1
        put(server)
        assert len(connection.execute("SELECT lend.mail_claim()").fetchall()) == 1


def test_a_resumption_that_is_rolled_back_was_none(server: Server) -> None:
    put(server, 2)
    server.rows("SELECT lend.mail_pause()")
    with server.connect() as connection:
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT lend.mail_resume()")
            assert len(connection.execute("SELECT lend.mail_claim()").fetchall()) == 1
        assert connection.execute("SELECT lend.mail_claim()").fetchall() == []
        with connection.transaction():
            with connection.transaction(force_rollback=True):
                connection.execute("SELECT lend.mail_resume()")
            assert connection.execute("SELECT lend.mail_claim()").fetchall() == []


@pytest.mark.parametrize("resume", ["lend.mail_resume", "lend.resume"])
def test_listeners_are_told_when_jobs_are_given_out_again(server: Server, resume: str) -> None:
    server.rows(f"SELECT {resume.replace('resume', 'pause' if 'mail' in resume else 'request_shutdown')}()")
    with server.connect() as listener:
        listener.execute("LISTEN lend_mail")
        put(server)
        list(listener.notifies(timeout=0.3))
        server.rows(f"SELECT {resume}()")
        assert list(listener.notifies(timeout=10, stop_after=1))


def test_listeners_are_told_when_jobs_are_free_that_were_locked(server: Server) -> None:
    (job,) = put(server)
    with server.connect() as listener:
        with server.connect() as holder, holder.transaction():
            holder.execute("SELECT FROM lend.mail FOR UPDATE")
            assert claim(server) == {}
            listener.execute("LISTEN lend_mail")
            list(listener.notifies(timeout=0.3))
        assert list(listener.notifies(timeout=10, stop_after=1))
        assert eventually(lambda: claim(server), what="the job") == {
            job: server.value("SELECT token FROM lend.mail_running")
        }


def test_listeners_are_told_of_a_claim_by_a_statement_that_is_undone(server: Server) -> None:
    server.rows("ALTER TABLE lend.mail ENABLE ROW LEVEL SECURITY")
    try:
        put(server)
        with server.connect() as listener, server.connect() as other:
            with other.transaction(force_rollback=True):
                assert len(other.execute("SELECT lend.mail_claim()").fetchall()) == 1
                listener.execute("LISTEN lend_mail")
                list(listener.notifies(timeout=0.3))
            assert list(listener.notifies(timeout=10, stop_after=1))
    finally:
        server.rows("ALTER TABLE lend.mail DISABLE ROW LEVEL SECURITY")


def test_a_fault_of_one_queue_is_none_of_another(server: Server) -> None:
    server.rows("ALTER TABLE lend.mail_later ADD CONSTRAINT bad CHECK (false) NOT VALID")
    try:
        since = server.mark()
        put(server, 2)
        put(server, 2, "mixed")
        server.rows("SELECT lend.mixed_pause()")
        claim(server, lease="10 milliseconds")
        server.told('WARNING:  could not end leases of queue "mail": new row for relation "mail_later" violates', since)
        with server.connect() as listener:
            listener.execute("LISTEN lend_mixed")
            # its worker stands still, or it would have the job before anybody is told of it
            server.rows("SELECT * FROM lend.mixed_enqueue_at(now() + interval '50 milliseconds', 'x', NULL)")
            assert list(listener.notifies(timeout=10, stop_after=1))
        server.rows("SELECT lend.mixed_resume()")
        assert status(server) == {"running": 2}
    finally:
        server.rows("ALTER TABLE lend.mail_later DROP CONSTRAINT bad")
    eventually(lambda: status(server)["later"] == 2, 20, "the end of the leases")


def test_a_claim_that_is_selected_returns_its_rows(server: Server) -> None:
    """As a column and not as a table, the rows are read another way."""
    ids = put(server, 300)
    with server.connect() as connection:
        connection.execute("SET work_mem = '64kB'")
        rows = connection.execute("SELECT (lend.mail_claim(300)).id").fetchall()
    assert [row[0] for row in rows] == ids
    ids = put(server, 3)
    assert len(server.rows("SELECT lend.mail_claim(2)")) == 2
    with server.connect() as connection:
        cursor = connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM lend.mail_claim(10)")
        assert connection.execute("FETCH ALL FROM c").fetchall() == [(ids[2],)]
        assert cursor.statusmessage


def test_tables_that_were_altered_differently_are_refused(server: Server) -> None:
    put(server)
    server.rows("ALTER EXTENSION lend DROP VIEW lend.mail_jobs; DROP VIEW lend.mail_jobs")
    try:
        server.rows("ALTER TABLE lend.mail_running ALTER note TYPE bigint USING 0")
        with pytest.raises(psycopg.errors.DatatypeMismatch, match='"mail_running" are not those of "mail"'):
            claim(server)
        server.rows("ALTER TABLE lend.mail_running ALTER note TYPE text")
        assert len(claim(server)) == 1
    finally:
        server.rows("DROP EXTENSION lend; CREATE EXTENSION lend")


def test_a_session_outlives_a_change_of_the_payload(server: Server) -> None:
    """Its plans were made for values of another type."""
    server.rows("ALTER EXTENSION lend DROP VIEW lend.mail_jobs; DROP VIEW lend.mail_jobs")
    with server.connect() as connection:
        for kind, note in (("text", "'a'"), ("bigint", "7"), ("text", "'b'")):
            server.rows("SELECT lend.mail_pause()")
            for table in ("mail", "mail_later", "mail_failed", "mail_running", "mail_done"):
                server.rows(f"ALTER TABLE lend.{table} ALTER note TYPE {kind} USING {note}")
            server.rows("SELECT lend.mail_resume()")
            server.rows(f"INSERT INTO lend.mail (note) VALUES ({note})")
            connection.execute("SELECT lend.mail_fail(ARRAY[id], ARRAY[token], ARRAY['no']) FROM lend.mail_claim()")
            assert server.rows("SELECT note::text FROM lend.mail_later") == [(note.strip("'"),)]
            server.rows("DELETE FROM lend.mail_later")
    server.rows("DROP EXTENSION lend; CREATE EXTENSION lend")


def test_tokens_grow_over_a_crash_though_commits_do_not_wait(server: Server) -> None:
    (job,) = put(server)
    with server.connect() as connection:
        connection.execute("SET synchronous_commit = off")
        held = dict(connection.execute("SELECT id, token FROM lend.mail_claim(1, '1 second')").fetchall())
    crash(server)
    again = eventually(lambda: claim(server), what="the next attempt")
    assert again[job] > held[job]
    assert server.value("SELECT attempt FROM lend.mail_running") == 2
    assert call(server, "acknowledge", held) == [job]


def test_an_id_that_is_leased_already_is_replaced(server: Server) -> None:
    """Somebody has chosen it, or the sequence was set back; nobody behind that job has to wait."""
    (job,) = put(server)
    assert list(claim(server)) == [job]
    server.rows(
        "INSERT INTO lend.mail (id, note, priority) OVERRIDING SYSTEM VALUE"
        " VALUES (%s, 'same', 0), (%s, 'one', 1), (%s, 'other', 2)",
        [job, job + 100, job + 100],
    )
    rows = server.rows("SELECT id, note FROM lend.mail_claim(10)")
    assert [row[1] for row in rows] == ["same", "one", "other"]
    ids = [row[0] for row in rows]
    assert len({job, *ids}) == 4
    assert server.value("SELECT count(*) FROM lend.mail_running") == 4


def test_a_lease_that_nobody_told_of_ends(server: Server) -> None:
    """It was brought behind what the keeper has looked at; another process looks at everything."""
    put(server)
    claim(server)
    server.rows("UPDATE lend.mail_running SET lease_end = now() - interval '1 hour'")
    renew_keeper(server)
    eventually(lambda: status(server)["later"] == 1, what="the end of the lease")


def test_the_extension_can_be_dropped_while_sessions_claim(server: Server) -> None:
    stop = threading.Event()
    seen = []

    def consume() -> None:
        while not stop.is_set():
            try:
                with server.connect() as connection:
                    while not stop.is_set():
                        connection.execute("INSERT INTO lend.mail (note) VALUES ('x')")
                        connection.execute(
                            "SELECT lend.mail_release(array_agg(id), array_agg(token)) FROM lend.mail_claim(3)"
                        )
            except psycopg.errors.DeadlockDetected as error:
                seen.append(error)
            except psycopg.Error:
                pass

    with ThreadPoolExecutor(4) as pool:
        consumers = [pool.submit(consume) for _ in range(4)]
        try:
            for _ in range(5):
                eventually(lambda: server.value("SELECT count(*) FROM lend.mail_jobs") > 5, what="jobs")
                server.rows("DROP EXTENSION lend; CREATE EXTENSION lend")
        finally:
            stop.set()
        for consumer in consumers:
            consumer.result()
    assert seen == []


def state(server: Server, worker: str) -> str:
    return str(server.value("SELECT state FROM lend.workers() WHERE worker = %s", [worker]))


def test_jobs_are_counted_by_status(server: Server) -> None:
    put(server, 5)
    claim(server, 2)
    server.rows("SELECT lend.mail_enqueue_at(now() + interval '1 day', 'x', NULL)")
    assert sorted(server.rows("SELECT * FROM lend.mail_counts()")) == [
        ("failed", 0, True),
        ("later", 1, True),
        ("ready", 3, True),
        ("running", 2, True),
    ]


def test_many_jobs_are_counted_without_a_look_at_each(server: Server) -> None:
    """By what each transaction reports when it ends; after a crash by the last ANALYZE."""
    count = 50_000
    server.rows("SELECT lend.mail_pause()")
    put(server, count)
    ready = "SELECT jobs, exact FROM lend.mail_counts() WHERE status = 'ready'"
    eventually(lambda: server.rows(ready) == [(count, False)], what="the server's statistics")
    server.rows("ANALYZE lend.mail")
    crash(server)
    assert server.rows(ready) == [(count, False)]
    server.rows("TRUNCATE lend.mail")


def test_many_jobs_are_put_in_by_one_call(server: Server) -> None:
    jobs = """[{"note": "a", "extra": "\\\\xff00", "priority": 3}, {"note": "b", "unique_key": "k"},
        {"note": "c", "unique_key": "k"}, {"note": "d", "unique_key": "l", "unique_for": "1 day"}]"""
    ids = [row[0] for row in server.rows("SELECT * FROM lend.mail_enqueue_many(%s)", [jobs])]
    assert ids == sorted(ids)
    assert server.rows("SELECT note, extra, priority, unique_key FROM lend.mail ORDER BY id") == [
        ("a", b"\xff\x00", 3, None),
        ("b", None, 5, "k"),
        ("d", None, 5, "l"),
    ]
    assert server.rows("SELECT * FROM lend.mail_enqueue_many(%s)", [jobs.replace('"a"', '"e"')]) == [(ids[-1] + 1,)]
    with pytest.raises(psycopg.errors.NotNullViolation):
        server.rows("SELECT * FROM lend.mail_enqueue_many('[{\"extra\": null}]')")
    assert server.rows('SELECT * FROM lend.own_enqueue_many(\'[{"note": "z"}]\')')


def partitions(server: Server, table: str = "own_done") -> list[str]:
    """The partitions of a table, by name."""
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
    return [row[0] for row in server.rows(query, [f"lend.{table}"])]


def renew_keeper(server: Server) -> None:
    """Have another process for the worker, which looks at everything as it begins."""
    pid = server.value("SELECT pid FROM lend.workers() WHERE worker = 'keeper'")
    server.rows("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other = "SELECT pid FROM lend.workers() WHERE worker = 'keeper' AND pid <> %s AND state = 'idle'"
    eventually(lambda: server.rows(other, [pid]), 20, "another process")


def test_jobs_that_are_done_are_kept(server: Server) -> None:
    """Those of a worker, which takes a batch of them, and those of sessions; failed ones are not among them."""
    ids = put(server, 40, "own")
    server.rows("INSERT INTO lend.own (note, attempt) VALUES ('again', 1)")
    eventually(lambda: server.value("SELECT count(*) FROM noted WHERE by = 'alone'") == 41, what="jobs that are done")
    rows = server.rows("SELECT id, note, attempts, done_at >= created_at FROM lend.own_done ORDER BY id")
    assert rows[:-1] == [(job, f"n{n}", 1, True) for n, job in enumerate(ids, 1)]
    assert rows[-1][1:] == ("again", 2, True)
    assert status(server, "own") == {"done": 41}
    one, two, three = put(server, 3)
    held = claim(server)
    call(server, "fail", {one: held[one]}, ["no"], None, None, False)
    assert call(server, "acknowledge", {two: held[two], three: held[three] + 1}) == [three]
    assert server.rows("SELECT id, note, extra, priority, attempts FROM lend.mail_done") == [(two, "n2", None, 5, 1)]
    assert status(server) == {"failed": 1, "running": 1, "done": 1}


def test_a_failed_job_is_kept_once_it_is_done(server: Server) -> None:
    """Its batch is undone, and its neighbours are done one by one."""
    server.rows("ALTER TABLE noted ADD CONSTRAINT bad CHECK (job % 7 <> 0)")
    try:
        ids = put(server, 30, "own")
        good = [job for job in ids if job % 7]
        eventually(lambda: status(server, "own")["failed"] == len(ids) - len(good), what="jobs that are given up")
        assert [row[0] for row in server.rows("SELECT id FROM lend.own_done ORDER BY id")] == good
    finally:
        server.rows("ALTER TABLE noted DROP CONSTRAINT bad")


def test_partitions_of_a_history_come_and_go(server: Server) -> None:
    renew_keeper(server)
    made = partitions(server)
    today = server.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')")
    assert "lend.own_done_default" in made
    assert f"lend.own_done_{today}" in made
    assert len(made) == 4
    server.rows(
        "CREATE TABLE lend.own_done_20240101 PARTITION OF lend.own_done"
        " FOR VALUES FROM ('2024-01-01') TO ('2024-01-02');"
        "CREATE TABLE lend.own_done_other PARTITION OF lend.own_done"
        " FOR VALUES FROM ('2024-02-01') TO ('2024-02-02');"
        "INSERT INTO lend.own_done (id, note, priority, attempts, created_at, done_at) VALUES"
        " (1, 'old', 5, 1, now(), '2024-01-01 12:00'), (2, 'other', 5, 1, now(), '2024-02-01 12:00'),"
        " (3, 'rest', 5, 1, now(), '2023-01-01'), (4, 'new', 5, 1, now(), now())"
    )
    renew_keeper(server)
    assert partitions(server) == sorted([*made, "lend.own_done_other"])
    assert [row[0] for row in server.rows("SELECT note FROM lend.own_done ORDER BY id")] == ["other", "new"]
    server.rows("DROP TABLE lend.own_done_other")


def test_partitions_that_are_in_use_are_changed_later(server: Server) -> None:
    """The worker goes on with all else, tells of it once in a while, and jobs are kept in the default partition."""
    renew_keeper(server)
    today = server.value("SELECT 'lend.own_done_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')")
    server.rows(f"DROP TABLE {today}")
    since = server.mark()
    with server.connect() as connection, connection.transaction():
        connection.execute("SELECT count(*) FROM lend.own_done")
        renew_keeper(server)
        server.told('WARNING:  could not change the partitions of the history of queue "own"', since)
        (job,) = put(server)
        held = claim(server, lease="10 milliseconds")
        eventually(lambda: status(server)["later"] == 1, what="the end of a lease")
    put(server, queue="own")
    eventually(lambda: server.value("SELECT count(*) FROM lend.own_done_default") == 1, what="a job that is kept")
    assert held.keys() == {job}
    renew_keeper(server)
    # a day of which jobs lie in the default partition gets no other
    assert today not in partitions(server)
    server.rows("DELETE FROM lend.own_done")
    renew_keeper(server)
    assert today in partitions(server)
