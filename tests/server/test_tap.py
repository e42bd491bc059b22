"""Rows that are taken from the socket before libpq sees it: the same rows, and a connection that misses nothing."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw._core import CopyError, CopyReceiver, Layout, is_plain
from pgbgw.build import Pg
from pgbgw.client import tap
from pgbgw.client.tap import can_tap, tapped
from tests.server.declarations import post as declared
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"

Mail = declared.Mail
mail = declared.mail
# The package has a function of that name.
STREAM = importlib.import_module("pgbgw.client.stream")
IDLE, INTRANS = psycopg.pq.TransactionStatus.IDLE, psycopg.pq.TransactionStatus.INTRANS


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    setup = (FOLDER / "post.sql").read_text()
    with serving(pg, module_of(FOLDER / "post.py"), setup) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.rows("DELETE FROM post.mail; DELETE FROM post.odd")


@pytest.fixture
def connection(server: Server) -> Iterator[psycopg.Connection]:
    """A connection that is what it was at the end, and has left no file open."""
    before = len(os.listdir("/proc/self/fd"))
    with psycopg.connect(server.cluster.conninfo("postgres"), autocommit=True) as made:
        yield made
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each stream took its rows from the socket."""
    seen: list[bool] = []

    def noted(connection: Any) -> bool:
        seen.append(can_tap(connection))
        return seen[-1]

    monkeypatch.setattr(STREAM, "can_tap", noted)
    return seen


def put(connection: psycopg.Connection, count: int) -> None:
    mail.enqueue_many(connection, (Mail(address=f"a{n}", body={"n": n} if n % 3 else None) for n in range(count)))


def usable(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT 'some text', 1").fetchone() == ("some text", 1)


def tuples(size: int = 1000) -> Callable[[CopyReceiver], list[tuple[Any, ...]]]:
    return lambda receiver: receiver.tuples(size)


def rows_of(connection: psycopg.Connection, query: str, *types: str) -> list[tuple[Any, ...]]:
    return [row for piece in tapped(connection, query, Layout(None, types), tuples()) for row in piece]


def plain(form: str, pieces: list[Any]) -> list[Any]:
    """What was read, in a form that can be compared."""
    if form == "jobs":
        return [[(job.id, job.priority, job.created_at, job.payload) for job in piece] for piece in pieces]
    if form == "tuples":
        return pieces
    return [[list(map(str, piece.numpy(name))) for name in piece.names] for piece in pieces]


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
def test_both_ways_give_the_same_pieces(
    connection: psycopg.Connection, form: Any, ways: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(connection, 2500)
    ours: list[Any] = list(mail.stream(connection, exclusive=True, form=form, size=1000))
    assert [len(piece) for piece in ours] == [1000, 1000, 500]
    assert ways == [True]
    monkeypatch.setattr(STREAM, "can_tap", lambda connection: False)
    assert plain(form, ours) == plain(form, list(mail.stream(connection, exclusive=True, form=form, size=1000)))
    assert connection.info.transaction_status == IDLE


def test_types_of_a_users_own_are_known(connection: psycopg.Connection, ways: list[bool]) -> None:
    declared.odd.enqueue(connection, {"mood": "good", "number": 3, "parts": [[1], None], "short": "abc", "host": None})
    ((job,),) = declared.odd.stream(connection, exclusive=True)
    assert (job.payload.mood, job.payload.number, job.payload.parts) == ("good", 3, [[1], None])
    assert ways == [True]


def test_a_stream_is_of_the_transaction_that_is_open(server: Server, ways: list[bool]) -> None:
    with psycopg.connect(server.cluster.conninfo("postgres")) as connection:
        put(connection, 5)
        assert [len(piece) for piece in mail.stream(connection, exclusive=True)] == [5]
        assert connection.info.transaction_status == INTRANS
        pieces = mail.stream(connection, exclusive=True, size=2)
        assert len(next(pieces)) == 2
        pieces.close()  # type: ignore[attr-defined]
        assert connection.info.transaction_status == INTRANS
        # What was put in is still there.
        assert connection.execute("SELECT count(*) FROM post.mail").fetchone() == (5,)
        assert ways == [True, True]
        connection.rollback()
        assert list(mail.stream(connection, exclusive=True)) == []


def test_the_connection_is_busy_meanwhile(connection: psycopg.Connection) -> None:
    put(connection, 30)
    seen = 0
    for piece in mail.stream(connection, exclusive=True, size=10):
        seen += len(piece)
        with pytest.raises(psycopg.OperationalError, match="another command is already in progress"):
            connection.execute("SELECT 1")
    assert seen == 30
    assert usable(connection)


@pytest.mark.parametrize("size", [1, 100_000])
def test_an_iterator_that_is_closed_early_ends_the_query(connection: psycopg.Connection, size: int) -> None:
    with connection.transaction():
        connection.execute("CREATE TEMPORARY TABLE kept AS SELECT 1")
        with connection.transaction(force_rollback=True):
            query = "SELECT g FROM generate_series(1, 100000000) AS g"
            pieces = tapped(connection, query, Layout(None, ["int4"]), tuples(size))
            assert next(pieces)[0] == (1,)
            pieces.close()  # type: ignore[attr-defined]
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert usable(connection)


def test_an_error_of_the_server_is_its_own(connection: psycopg.Connection) -> None:
    query = "SELECT 1 / (5000 - g) FROM generate_series(1, 9999) AS g"
    pieces = tapped(connection, query, Layout(None, ["int4"]), tuples())
    connection.execute("BEGIN")
    assert [len(next(pieces)) for _ in range(4)] == [1000] * 4
    with pytest.raises(psycopg.errors.DivisionByZero) as caught:
        list(pieces)
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    connection.rollback()
    assert caught.value.diag.message_primary == "division by zero"
    assert usable(connection)
    with pytest.raises(psycopg.errors.UndefinedTable), connection.transaction():
        rows_of(connection, "SELECT 1 FROM nowhere", "int4")
    assert usable(connection)


@pytest.mark.parametrize("types", [["int8"], ["int4", "int4"]])
def test_rows_that_do_not_fit_end_the_query(connection: psycopg.Connection, types: list[str]) -> None:
    with pytest.raises(CopyError), connection.transaction():
        rows_of(connection, "SELECT g FROM generate_series(1, 1000000) AS g", *types)
    assert connection.info.transaction_status == IDLE
    assert usable(connection)


def test_notices_are_told_however_many(connection: psycopg.Connection) -> None:
    noted: list[str] = []
    connection.add_notice_handler(lambda notice: noted.append(str(notice.message_primary)))
    connection.execute(
        "CREATE FUNCTION pg_temp.told(n integer) RETURNS integer LANGUAGE plpgsql AS"
        " $$BEGIN RAISE NOTICE 'row % %', n, repeat('x', 100); RETURN n; END$$"
    )
    with connection.transaction():
        rows = rows_of(connection, "SELECT pg_temp.told(g) FROM generate_series(1, 5000) AS g", "int4")
    assert rows == [(n,) for n in range(1, 5001)]
    assert [each.split()[1] for each in noted] == [str(n) for n in range(1, 5001)]


def test_rows_may_be_larger_than_what_is_received_at_once(connection: psycopg.Connection) -> None:
    with connection.transaction():
        query = "SELECT g, repeat(chr(64 + g), 700000 * (g % 3)) FROM generate_series(1, 20) AS g"
        rows = rows_of(connection, query, "int4", "text")
    assert rows == [(n, chr(64 + n) * (700000 * (n % 3))) for n in range(1, 21)]


def test_jobs_outlive_the_pieces_that_come_after_them(connection: psycopg.Connection) -> None:
    """What is received is written where nobody's job lies."""
    put(connection, 20_000)
    kept = []
    for piece in mail.stream(connection, exclusive=True, size=700):
        kept += piece[::100]
    assert [job.payload.address for job in kept] == [f"a{n}" for n in range(20_000) if n % 700 % 100 == 0]


class Alarm(Exception):
    """Raised by a signal's handler."""


def test_an_interrupt_ends_the_query(connection: psycopg.Connection) -> None:
    def stop(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Alarm), connection.transaction():
            rows_of(connection, "SELECT 1 FROM pg_sleep(100)", "int4")
        assert usable(connection)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_session_that_is_ended_is_told(server: Server, connection: psycopg.Connection) -> None:
    query = "SELECT g FROM generate_series(1, 100000000) AS g"
    pieces = tapped(connection, query, Layout(None, ["int4"]), tuples())
    connection.execute("BEGIN")
    assert len(next(pieces)) == 1000
    server.rows("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    # a backend that waits for its reader can't say why it ends
    with pytest.raises(psycopg.OperationalError):
        list(pieces)
    assert connection.broken


def test_a_connection_that_is_closed_meanwhile_is_told(connection: psycopg.Connection) -> None:
    put(connection, 30)
    pieces = mail.stream(connection, exclusive=True, size=10)
    assert len(next(pieces)) == 10
    connection.close()
    with pytest.raises(psycopg.OperationalError, match="closed while its rows were read"):
        next(pieces)


def test_only_a_plain_socket_is_read(connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_plain(connection.pgconn)
    assert not is_plain(object())
    assert not can_tap(connection)
    with connection.transaction():
        assert can_tap(connection)
        monkeypatch.setattr(tap, "is_plain", lambda pgconn: False)
        assert not can_tap(connection)
    put(connection, 3)
    assert [len(piece) for piece in mail.stream(connection, exclusive=True)] == [3]
