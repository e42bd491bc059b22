"""Statements that go straight through libpq: they do what a cursor does, and leave a connection as a cursor does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw._core import lease_keys
from pgbgw.build import Pg
from pgbgw.client import ClientError, QueueMissing, direct
from pgbgw.client.direct import ask, is_direct
from pgbgw.client.jobs import Job
from pgbgw.faults.waiting import eventually
from tests.server.declarations import post as declared
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"

Mail = declared.Mail
mail = declared.mail


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    setup = (FOLDER / "post.sql").read_text()
    with serving(pg, module_of(FOLDER / "post.py"), setup) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    for table in ("mail", "mail_later", "mail_failed", "mail_running", "mail_keys", "mail_done", "anything"):
        running.rows(f"DELETE FROM post.{table}")


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each statement that might have gone directly did."""
    seen: list[bool] = []

    def noted(connection: Any, message: Any) -> Any:
        result = ask(connection, message)
        seen.append(result is not None)
        return result

    monkeypatch.setattr("pgbgw.client.running.ask", noted)
    return seen


def by_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgbgw.client.running.ask", lambda connection, message: None)


def put(connection: psycopg.Connection, count: int) -> None:
    mail.enqueue_many(connection, [Mail(address=f"a{n}", body={"n": n}) for n in range(count)])


def seen_of(job: Job[Any]) -> tuple[Any, ...]:
    return (job.payload, job.priority, job.attempt, job.who, job.lease_end - job.created_at > timedelta(minutes=4))


def usable(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT 1").fetchone() == (1,)


def test_both_ways_give_the_same(server: Server, went: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    with server.connect() as connection:
        put(connection, 20)
        lease = timedelta(days=1, minutes=5, microseconds=7)
        jobs = mail.claim(connection, 10, lease=lease, who="me")
        assert mail.release(connection, [*jobs[1:], jobs[0]]) == []
        assert went == [True, True]
        by_cursor(monkeypatch)
        again = mail.claim(connection, 10, lease=lease, who="me")
        assert [seen_of(job) for job in again] == [seen_of(job) for job in jobs]
        assert [job.id for job in again] == [job.id for job in jobs]
        # Leases of the first claim are no longer held.
        by_a_cursor = mail.acknowledge(connection, jobs)
        monkeypatch.undo()
        assert mail.acknowledge(connection, jobs) == by_a_cursor == [job.id for job in jobs]
        assert mail.acknowledge(connection, again) == mail.acknowledge(connection, []) == []


@pytest.mark.parametrize("who", ["plain", "größer", None])
def test_names_go_by_the_way_that_can_send_them(server: Server, who: str | None, went: list[bool]) -> None:
    with server.connect() as connection:
        put(connection, 1)
        (job,) = mail.claim(connection, who=who)
        assert who is None or job.who == who
        assert went == ([] if who == "größer" else [True])


def test_what_a_cursor_would_do_first_is_left_to_it(server: Server, went: list[bool]) -> None:
    with psycopg.connect(server.cluster.conninfo("postgres")) as connection:
        # The first claim looks at columns before.
        mail.claim(connection)
        connection.rollback()
        put(connection, 3)
        connection.commit()
        went.clear()
        # A transaction has to be begun.
        assert not is_direct(connection)
        first = mail.claim(connection)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        assert is_direct(connection)
        second = mail.claim(connection)
        connection.rollback()
        assert went == [False, True]
        # Both were undone.
        assert {job.id for job in mail.claim(connection, 3)} >= {first[0].id, second[0].id}
        put(connection, 1)
        connection.commit()
        connection.autocommit = True
        with connection.pipeline():
            assert not is_direct(connection)
            assert len(mail.claim(connection)) == 1
            assert mail.claim(connection) == []
        assert is_direct(connection)


class Elsewhere(psycopg.Connection[Any]):
    """A connection that waits in its own way."""

    def wait(self, *args: Any, **named: Any) -> Any:
        return super().wait(*args, **named)


def test_a_connection_that_waits_in_its_own_way_is_let_to(server: Server, went: list[bool]) -> None:
    with Elsewhere.connect(server.cluster.conninfo("postgres"), autocommit=True) as connection:
        put(connection, 1)
        assert len(mail.claim(connection)) == 1
        assert went == [False]


def statements(connection: psycopg.Connection) -> int:
    query = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'pgbgw%'"
    return int(connection.execute(query).fetchall()[0][0])


def test_statements_are_prepared_once(server: Server, went: list[bool]) -> None:
    with server.connect() as connection:
        assert [mail.claim(connection, n) for n in (1, 2, 3)] == [[]] * 3
        assert statements(connection) == 1
        # As a pool does between two who use it.
        connection.execute("DISCARD ALL")
        assert mail.claim(connection) == []
        assert mail.claim(connection) == []
        assert went == [True, True, True, False, True]
        # A session that was somebody else's has it by the same name.
        direct._links.clear()
        assert mail.claim(connection) == []
        assert statements(connection) == 1


def test_nothing_is_prepared_where_that_is_not_wanted(server: Server, went: list[bool]) -> None:
    with server.connect() as connection:
        connection.prepare_threshold = None
        put(connection, 1)
        assert len(mail.claim(connection)) == 1
        assert statements(connection) == 0
        connection.prepare_threshold = 5
        with connection.transaction():
            assert mail.claim(connection) == []
        assert statements(connection) == 0
        assert went == [True, True]


def test_errors_are_those_of_a_cursor(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(connection: psycopg.Connection) -> tuple[Any, ...]:
        with pytest.raises(psycopg.Error) as caught:
            mail.claim(connection, 0)
        error = caught.value
        assert usable(connection)
        return type(error), str(error), error.diag.message_primary, error.diag.context, error.sqlstate

    with server.connect() as connection:
        assert is_direct(connection)
        ours = refused(connection)
        by_cursor(monkeypatch)
        assert ours == refused(connection)


def test_an_error_fails_the_transaction_and_nothing_else(server: Server, went: list[bool]) -> None:
    with server.connect() as connection:
        put(connection, 1)
        with pytest.raises(psycopg.Error), connection.transaction():
            mail.claim(connection, 0)
        assert went == []
        assert len(mail.claim(connection)) == 1
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            mail.claim(connection, 0)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            mail.claim(connection)
        connection.rollback()
        assert usable(connection)


def test_what_is_missing_is_explained(server: Server) -> None:
    with server.connect("template1") as connection, pytest.raises(QueueMissing, match="CREATE EXTENSION post"):
        mail.claim(connection)
    server.rows("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    with psycopg.connect(server.cluster.conninfo("postgres"), user="stranger", autocommit=True) as connection:
        assert is_direct(connection)
        with pytest.raises(ClientError, match="not for this role"):
            mail.claim(connection)
    server.rows("DROP ROLE stranger")


def test_notices_and_notifications_are_told(server: Server) -> None:
    noted: list[str] = []
    with server.connect() as connection:
        connection.add_notice_handler(lambda notice: noted.append(str(notice.message_primary)))
        connection.add_notify_handler(lambda notify: noted.append(notify.payload))
        connection.execute("LISTEN news")
        connection.execute(
            "CREATE FUNCTION pg_temp.told() RETURNS text LANGUAGE plpgsql AS"
            " $$BEGIN RAISE NOTICE 'heard'; NOTIFY news, 'read'; RETURN 'x'; END$$"
        )
        assert ask(connection, (b"SELECT pg_temp.told()", (), ())) is not None
        assert noted == ["heard", "read"]


class Alarm(Exception):
    """Raised by a signal's handler."""


@pytest.mark.parametrize("in_transaction", [False, True])
def test_an_interrupt_cancels_the_statement(server: Server, in_transaction: bool) -> None:
    def stop(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with server.connect() as connection:
            if in_transaction:
                connection.execute("BEGIN")
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(Alarm):
                ask(connection, (b"SELECT pg_sleep(100)", (), ()))
            expected = psycopg.pq.TransactionStatus.INERROR if in_transaction else psycopg.pq.TransactionStatus.IDLE
            assert connection.info.transaction_status == expected
            connection.rollback()
            assert usable(connection)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_server_that_goes_away_is_told(server: Server) -> None:
    with server.connect() as connection:
        server.rows("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"
        eventually(lambda: server.value(gone, [connection.info.backend_pid]), what="an end of the session")
        with pytest.raises(psycopg.OperationalError):
            mail.claim(connection)
        assert connection.broken


def test_more_is_sent_than_the_socket_takes_at_once(server: Server, went: list[bool]) -> None:
    with server.connect() as connection:
        put(connection, 2)
        one, two = mail.claim(connection, 2)
        many = [one] * 300_000
        assert len(lease_keys(many)[0]) == 20 + 12 * len(many)
        assert set(mail.acknowledge(connection, [two, *many])) <= {one.id}
        assert went == [True, True]
        assert usable(connection)
