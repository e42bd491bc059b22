"""What goes in comes out as it was, or is refused before anything is done; and the connection is usable afterwards."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest

from pgbgw._core import CopyError
from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, Mismatch, QueueMissing, connect, copy_rows, direct
from pgbgw.declare.load import load
from tests.server.posts import FOLDER, Mail, clear, conninfo, declared, left, mail, post_server, put
from tests.server.running import Server
from tests.server.test_consume import everything


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


def other_way(server: Server, tmp_path: Path, before: str, after: str) -> Any:
    """The same extension, declared otherwise than it is installed."""
    source = (FOLDER / "post.py").read_text()
    assert before in source
    (tmp_path / "post.py").write_text(source.replace(before, after))
    extension = load(tmp_path / "post.py")
    assert extension is not None
    return {queue.name: queue for queue in extension.queues}


# encodings


def test_text_is_what_it_was_whatever_encoding_a_connection_has(server: Server) -> None:
    sent = Mail(address="café", body={"é": "€"})
    with server.connect() as connection:
        connection.execute("SET client_encoding TO LATIN1")
        mail.enqueue(connection, sent)
        assert mail.enqueue_many(connection, [sent, {"address": "café"}]) == 2
        with pytest.raises(CopyError, match='row 2, column 1: "address" text: int instead of str'):
            mail.enqueue_many(connection, [sent, {"address": 1}])
        connection.execute("SET client_encoding TO UTF8")
        jobs = mail.claim(connection, 5)
        assert [job.payload for job in jobs] == [sent, sent, Mail(address="café", body=None)]


def test_nothing_is_claimed_whose_text_can_not_be_read(server: Server) -> None:
    put(server, 2)
    told = "can't be read over a connection whose client_encoding is LATIN1"
    options = {"client_encoding": "latin1"}
    with server.connect() as connection:
        (held,) = mail.claim(connection)
        connection.execute("SET client_encoding TO LATIN1")
        for exclusive in (False, True):
            with pytest.raises(ClientError, match=told):
                list(mail.stream(connection, exclusive=exclusive))
        with pytest.raises(ClientError, match=told):
            list(copy_rows(connection, "SELECT 'é'", ["text"]))
        with pytest.raises(ClientError, match=told) as raised:
            mail.claim(connection)
        assert 'client_encoding="utf8"' in str(raised.value)
        # what has no text needs no encoding
        assert mail.release(connection, [held]) == []
    with psycopg_pool.ConnectionPool(conninfo(server), min_size=1, open=True, kwargs=options) as pool:
        with pytest.raises(ClientError, match=told):
            mail.claim(pool)
        with pytest.raises(ClientError, match=told):
            list(mail.stream(pool))

    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(
            conninfo(server), autocommit=True, client_encoding="latin1"
        ) as connection:
            assert await mail.enqueue_many(connection, [Mail(address="é", body=None)]) == 1
            with pytest.raises(ClientError, match=told):
                await mail.claim(connection)
            with pytest.raises(ClientError, match=told):
                [jobs async for jobs in mail.stream(connection)]

    asyncio.run(go())
    assert left(server) == {"ready": 3}
    assert server.value("SELECT count(*) FROM post.mail WHERE address = 'é'") == 1


def test_a_database_may_have_another_encoding(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.rows("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        # roles are there already
        types = (FOLDER / "post.sql").read_text().partition("CREATE TYPE")
        server.rows("".join(types[1:]), dbname="latin")
        server.rows("CREATE EXTENSION post", dbname="latin")
        with server.connect("latin") as connection:
            assert connection.info.encoding == "iso8859-1"
            mail.enqueue(connection, Mail(address="café", body=None))
            mail.enqueue_many(connection, [Mail(address="café", body=None)])
            with pytest.raises(ClientError, match="client_encoding is LATIN1"):
                mail.claim(connection)
        monkeypatch.setenv("PGCLIENTENCODING", "latin1")
        with connect(server.cluster.conninfo("latin")) as database:
            jobs = database.queue("mail").claim(5)
            assert [job.payload["address"] for job in jobs] == ["café", "café"]
            assert database.queue("mail").acknowledge(jobs) == []
    finally:
        server.rows("DROP DATABASE latin WITH (FORCE)")


# answers


def test_answers_are_for_jobs_of_the_queue(server: Server) -> None:
    """Ids and tokens of two queues are alike."""
    with server.connect() as connection:
        declared.brief.enqueue(connection, Mail(address="a", body=None))
        mail.enqueue(connection, Mail(address="b", body=None))
        (one,) = declared.brief.claim(connection, lease=timedelta(minutes=5))
        jobs = mail.claim(connection)
        answers: list[Callable[[Any], Any]] = [
            lambda given: mail.acknowledge(connection, given),
            lambda given: mail.fail(connection, given, "no"),
            lambda given: mail.extend(connection, given),
            lambda given: mail.release(connection, given),
        ]
        for answer in answers:
            with pytest.raises(ClientError, match=rf"job {one.id} is of post\.brief, not of post\.mail"):
                answer([*jobs, one])
            with pytest.raises(TypeError, match="one job instead of several"):
                answer(jobs[0])
            with pytest.raises(TypeError, match="not a job: int"):
                answer([jobs[0].id])
        assert left(server) == {"running": 1}
        with connect(conninfo(server)) as database:
            queue = database.queue("mail")
            with pytest.raises(ClientError, match=r"of post\.brief, not of post\.mail"):
                queue.fail([one], "no")
            # a job is of its queue whoever has looked that up
            assert queue.extend(jobs) == []
        assert mail.extend(connection, iter(jobs), lease=timedelta(minutes=5)) == []
        assert mail.fail(connection, iter(jobs), "no") == []
        assert declared.brief.acknowledge(connection, (job for job in [one])) == []


# values


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("at", datetime.datetime(2030, 1, 1), 'column 8: "at" timestamptz: a datetime without a zone'),
        ("big", 1.7, 'column 2: "big" int8: float instead of int'),
        ("big", "12", 'column 2: "big" int8: str instead of int'),
        ("number", 2**31, 'column 1: "number" int4: a number outside'),
        ("text", 12, 'column 6: "text" text: int instead of str'),
        ("raw", "abc", 'column 7: "raw" bytea: str instead of bytes'),
        ("more", [1, "2"], 'column 14: "more" int8[]: str instead of int'),
    ],
)
def test_what_does_not_fit_is_refused_by_every_way(server: Server, field: str, value: object, told: str) -> None:
    with server.connect() as connection:
        with pytest.raises(CopyError) as one:
            declared.anything.enqueue(connection, everything(**{field: value}))
        with pytest.raises(CopyError) as many:
            declared.anything.enqueue_many(connection, [everything(**{field: value})])
        connection.execute("SET client_encoding TO LATIN1")
        with pytest.raises(CopyError) as as_text:
            declared.anything.enqueue_many(connection, [everything(**{"text": "", field: value})])
        assert told in str(one.value)
        assert str(one.value) == str(many.value) == str(as_text.value)
        assert connection.execute("SELECT count(*) FROM post.anything").fetchone() == (0,)


def test_what_the_core_does_not_know_is_left_to_the_server(server: Server) -> None:
    odd: dict[str, Any] = {"mood": "good", "number": "7", "parts": [{"a": [1]}], "short": "a"}
    with server.connect() as connection:
        declared.odd.enqueue(connection, odd)
        assert declared.odd.enqueue_many(connection, [odd]) == 1
        # what is declared as str, and what it is read as
        for host in ("::1", ipaddress.ip_address("::1")):
            declared.odd.enqueue(connection, odd | {"host": host})
            assert declared.odd.enqueue_many(connection, [odd | {"host": host}]) == 1
        assert connection.execute("SELECT count(*) FROM post.odd WHERE host = '::1'").fetchone() == (4,)
        declared.anything.enqueue(connection, everything(key=str(uuid.UUID(int=7)), span="1 month"))
        (job,) = declared.anything.claim(connection)
        assert (job.payload.key, job.payload.span) == (uuid.UUID(int=7), timedelta(30))
        assert declared.anything.acknowledge(connection, [job]) == []
        for given in (odd | {"short": 1}, odd | {"host": 1}):
            with pytest.raises(CopyError) as one:
                declared.odd.enqueue(connection, given)
            with pytest.raises(CopyError) as many:
                declared.odd.enqueue_many(connection, [given])
            assert str(one.value) == str(many.value)
        server.rows("DELETE FROM post.odd")


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"priority": 1.6}, TypeError, "priority is a float, not an int from 0 to 9"),
        ({"priority": True}, TypeError, "priority is a bool"),
        ({"priority": 10}, ValueError, "priority is not from 0 to 9: 10"),
        ({"run_at": "2030-01-01T00:00Z"}, TypeError, "run_at is a str, not a datetime with a time zone"),
        ({"run_at": datetime.date(2030, 1, 1)}, TypeError, "run_at is a date, not"),
        ({"unique_key": 7}, TypeError, "unique_key is a int, not a str"),
        ({"unique_key": "k", "unique_for": 60}, TypeError, "unique_for is a int, not a timedelta"),
        ({"unique_key": "k", "unique_for": timedelta(-1)}, ValueError, "unique_for is negative: -1 day"),
        ({"unique_for": timedelta(1)}, ValueError, "there is no unique_key"),
    ],
)
def test_arguments_that_can_not_be_used(server: Server, arguments: Any, error: type[Exception], told: str) -> None:
    with server.connect() as connection:
        with pytest.raises(error, match=told):
            mail.enqueue(connection, Mail(address="a", body=None), **arguments)
        if "priority" in arguments:
            with pytest.raises(error, match=told):
                mail.enqueue_many(connection, [Mail(address="a", body=None)], **arguments)
    assert left(server) == {}


# declarations that differ


def test_what_is_encoded_by_another_type_does_not_go_in(server: Server, tmp_path: Path) -> None:
    """A float and a bigint have the same length: the server would take the bits of the one for the other."""
    anything = other_way(server, tmp_path, "big: int\n", "big: float\n")["anything"]
    told = "column big is declared as double precision and installed as bigint"
    with server.connect() as connection:
        for _ in range(2):
            with pytest.raises(Mismatch, match=told):
                anything.enqueue_many(connection, [anything.payload(**vars(everything(big=1.5)))])
        declared.anything.enqueue(connection, everything())
        for form in ("jobs", "tuples", "columns"):
            for exclusive in (False, True):
                with pytest.raises(Mismatch, match=told):
                    list(anything.stream(connection, form=form, exclusive=exclusive))

    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as connection:
            with pytest.raises(Mismatch, match=told):
                await anything.enqueue_many(connection, [anything.payload(**vars(everything(big=1.5)))])
            with pytest.raises(Mismatch, match=told):
                [jobs async for jobs in anything.stream(connection)]

    asyncio.run(go())
    assert server.value("SELECT count(*) FROM post.anything") == 1


def renamed(server: Server, tmp_path: Path) -> Any:
    """A declaration of mails whose address is a number, and which have a subject more and no body."""
    return other_way(
        server, tmp_path, "address: str\n    body: Json | None", "address: int\n    subject: str | None"
    )["mail"]  # fmt: skip


DIFFERENCES = (
    "column subject is declared and not installed; column body is installed and not declared;"
    " column address is declared as bigint and installed as text."
)


def test_a_job_by_another_declaration_is_refused_by_what_differs(server: Server, tmp_path: Path) -> None:
    other = renamed(server, tmp_path)
    job = {"address": 1, "subject": None}
    with server.connect() as connection:
        for _ in range(2):
            with pytest.raises(Mismatch) as raised:
                other.enqueue(connection, job)
            assert (raised.value.detail, raised.value.sqlstate) == (DIFFERENCES, "42883")
            assert "install what is declared, or run the program" in str(raised.value)
        with pytest.raises(Mismatch, match="column subject is declared and not installed"):
            other.enqueue_many(connection, [job])
        # where the catalogs can't be asked any more
        with pytest.raises(QueueMissing, match="installed differ, and verify") as failed, connection.transaction():
            other.enqueue(connection, job)
        assert "function post.mail_enqueue(address => bigint" in str(failed.value)
        with connection.pipeline(), pytest.raises(QueueMissing, match="installed differ, and verify"):
            other.enqueue(connection, job)
        # what there is not, although nothing differs
        server.rows("ALTER FUNCTION post.mail_resume RENAME TO mail_go_on")
        try:
            with pytest.raises(QueueMissing, match=r"post\.mail_resume\(\) does not exist"):
                mail.resume(connection)
        finally:
            server.rows("ALTER FUNCTION post.mail_go_on RENAME TO mail_resume")
    with (
        psycopg_pool.ConnectionPool(conninfo(server), min_size=1, max_size=1, open=True) as pool,
        pytest.raises(Mismatch, match="column subject is declared and not installed; column body"),
    ):
        other.enqueue(pool, job)

    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as connection:
            with pytest.raises(Mismatch, match="column subject is declared and not installed; column body"):
                await other.enqueue(connection, job)
            with pytest.raises(QueueMissing, match="installed differ, and verify"):
                async with connection.transaction():
                    await other.enqueue(connection, job)
        async with psycopg_pool.AsyncConnectionPool(conninfo(server), min_size=1, max_size=1, open=False) as pool:
            with pytest.raises(Mismatch, match="column subject is declared and not installed; column body"):
                await other.enqueue(pool, job)

    asyncio.run(go())
    assert left(server) == {}


def test_jobs_of_another_declaration_are_not_claimed(server: Server, tmp_path: Path) -> None:
    """A number may be text in Python, and what is not declared is lost: jobs stay where they are."""
    put(server, 2)
    for number, (after, told) in enumerate(
        [
            ("address: int\n    body: Json | None", "column address is declared as bigint and installed as text"),
            ("address: str", "column body is installed and not declared"),
            ("address: str\n    body: Json | None\n    n: int", "column n is declared and not installed"),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        other = other_way(server, tmp_path / str(number), "address: str\n    body: Json | None", after)["mail"]
        with server.connect() as connection:
            for _ in range(2):
                with pytest.raises(Mismatch, match=told):
                    other.claim(connection)
            with pytest.raises(Mismatch, match=told), connection.transaction():
                other.claim(connection)
        with (
            psycopg_pool.ConnectionPool(conninfo(server), min_size=1, open=True) as pool,
            pytest.raises(Mismatch, match=told),
        ):
            other.claim(pool)

        async def go(other: Any = other, told: str = told) -> None:
            async with await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as connection:
                with pytest.raises(Mismatch, match=told):
                    await other.claim(connection)

        asyncio.run(go())
        assert left(server) == {"ready": 2}


def test_jobs_of_what_was_installed_meanwhile_are_not_claimed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns were looked up before they changed, and the statement was prepared on two of the connections."""
    view = server.value("SELECT pg_get_viewdef('post.brief_jobs'::regclass)")
    lease = timedelta(minutes=5)
    told = "column address is declared as text and installed as bigint"
    went: list[bool] = []

    def change(type_: str) -> None:
        server.rows("ALTER EXTENSION post DROP VIEW post.brief_jobs")
        server.rows("DROP VIEW post.brief_jobs")
        for table in ("brief", "brief_later", "brief_running", "brief_failed"):
            server.rows(f"ALTER TABLE post.{table} ALTER COLUMN address TYPE {type_} USING address::{type_}")
        server.rows(f"CREATE VIEW post.brief_jobs AS {view}")
        server.rows("ALTER EXTENSION post ADD VIEW post.brief_jobs")

    def noted(connection: Any, message: Any) -> Any:
        result = direct.ask(connection, message)
        went.append(result is not None)
        return result

    with server.connect() as connection, server.connect() as second, connect(conninfo(server)) as database:
        by_name = database.queue("brief")
        for number in (1, 2, 3, 4, 5):
            declared.brief.enqueue(connection, Mail(address=str(number), body=None))
        assert len(declared.brief.claim(connection, lease=lease)) == len(by_name.claim(lease=lease)) == 1
        with second.transaction():
            assert len(declared.brief.claim(second, lease=lease)) == 1
        change("int8")
        try:
            with pytest.raises(Mismatch, match=told):
                declared.brief.claim(connection)
            for _ in range(2):
                with pytest.raises(Mismatch, match=told), second.transaction():
                    declared.brief.claim(second)
            assert server.value("SELECT count(*) FROM post.brief") == 2
            # who has no declaration takes it as it is, by a statement that is prepared anew
            monkeypatch.setattr("pgbgw.client.running.ask", noted)
            assert [by_name.claim(lease=lease)[0].payload["address"] for _ in range(2)] == [4, 5]
            assert went == [False, True]
        finally:
            change("text")
        declared.brief.enqueue(connection, Mail(address="6", body=None))
        assert len(declared.brief.claim(connection)) == 1


def test_columns_are_looked_up_once_for_a_connection(server: Server) -> None:
    with server.connect() as connection:
        connection.execute("SET log_statement TO 'all'")
        for ask in (lambda: mail.enqueue_many(connection, [{"address": "a"}]), lambda: mail.claim(connection)):
            mark = server.mark()
            for _ in range(3):
                ask()
            connection.execute("SELECT 'the end'")
            server.told("the end", mark)
            statements = server.log(r'COPY "?post"?\.|_claim|pg_attribute', mark)
            words = ("COPY" if "COPY" in statements[-1] else "_claim", "pg_attribute")
            assert [len([line for line in statements if word in line]) for word in words] == [3, 1]


def test_a_column_that_is_declared_and_not_installed_is_told(server: Server, tmp_path: Path) -> None:
    more = other_way(server, tmp_path, "body: Json | None", "body: Json | None\n    subject: str")["mail"]
    put(server, 1)
    with server.connect() as connection:
        for form in ("jobs", "tuples", "columns"):
            with pytest.raises(Mismatch, match="column subject is declared and not installed"):
                list(more.stream(connection, form=form))


# streams


def test_streams_beside_each_other(server: Server) -> None:
    put(server, 10)
    with server.connect() as connection:
        one, two = mail.stream(connection, size=4), mail.stream(connection, size=3)
        assert [len(next(one)), len(next(two)), len(next(one))] == [4, 3, 4]
        assert [sum(len(jobs) for jobs in two), sum(len(jobs) for jobs in one)] == [7, 2]


def test_a_stream_that_there_is_not(server: Server) -> None:
    put(server, 1)
    with server.connect() as connection:
        with pytest.raises(ValueError, match="status is none of ready, later, running, failed, done: 'nope'"):
            mail.stream(connection, "nope")  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="form is none of jobs, tuples, columns: 'dicts'"):
            mail.stream(connection, form="dicts")  # type: ignore[call-overload]
        with connection.pipeline(), pytest.raises(ClientError, match="can't be read in a pipeline"):
            list(mail.stream(connection))
        assert sum(len(jobs) for jobs in mail.stream(connection)) == 1

    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as connection:
            with pytest.raises(ValueError, match="form is none of"):
                mail.stream(connection, form="dicts")  # type: ignore[call-overload]
            async with connection.pipeline():
                with pytest.raises(ClientError, match="can't be read in a pipeline"):
                    [jobs async for jobs in mail.stream(connection)]

    asyncio.run(go())


# a connection in the middle of a COPY


def test_what_gives_jobs_may_not_use_their_connection(server: Server) -> None:
    """It would wait for the end of the COPY, and that for it."""
    put(server, 3)

    def asked(connection: psycopg.Connection[Any], ask: Callable[[], object]) -> Iterator[Mail]:
        yield Mail(address="first", body=None)
        ask()

    with server.connect() as connection:
        begun = mail.stream(connection, size=1)
        next(begun)
        ways: list[Callable[[], object]] = [
            lambda: mail.counts(connection),
            lambda: mail.claim(connection),
            lambda: mail.enqueue_many(connection, []),
            lambda: next(mail.stream(connection)),
            lambda: next(begun),
        ]
        for ask in ways:
            found: list[BaseException] = []

            def attempt(ask: Callable[[], object] = ask, found: list[BaseException] = found) -> None:
                try:
                    # what fails ends the transaction of a stream as well
                    with connection.transaction():
                        mail.enqueue_many(connection, asked(connection, ask))
                except BaseException as error:
                    found.append(error)

            # a daemon: one that waits for ever shall not hold up the tests
            thread = threading.Thread(target=attempt, daemon=True)
            thread.start()
            thread.join(60)
            assert not thread.is_alive()
            assert "the connection is busy" in str(found[0])
            assert isinstance(found[0], ClientError)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        assert sum(len(jobs) for jobs in begun) == 2
        assert mail.enqueue_many(connection, [Mail(address="a", body=None)]) == 1
        # another connection, and another thread, are others
        with server.connect() as second:
            jobs = (Mail(address=job.payload.address, body=None) for piece in mail.stream(second) for job in piece)
            assert mail.enqueue_many(connection, jobs) == 4
    assert left(server) == {"ready": 8}


@pytest.mark.parametrize("steps", range(6))
def test_a_task_that_is_cancelled_leaves_a_usable_connection(server: Server, steps: int) -> None:
    """At each of the first moments, which are before the COPY has begun, and as it begins."""

    def jobs() -> Iterator[Mail]:
        for _ in range(200_000):
            yield Mail(address="x" * 100, body=None)

    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(server)) as connection:
            task = asyncio.ensure_future(mail.enqueue_many(connection, jobs()))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await connection.rollback()
            assert await mail.enqueue(connection, Mail(address="a", body=None))

    asyncio.run(go())
    assert left(server) == {"ready": 1}


def test_a_task_that_is_cancelled_in_the_middle_leaves_a_usable_connection(server: Server) -> None:
    async def go() -> None:
        async with (
            await psycopg.AsyncConnection.connect(conninfo(server)) as connection,
            await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as other,
        ):
            pid = connection.info.backend_pid
            copying = "SELECT count(*) FROM pg_stat_progress_copy WHERE pid = %s AND tuples_processed > 0"
            task = asyncio.ensure_future(mail.enqueue_many(connection, endless()))
            async with asyncio.timeout(60):
                while (await (await other.execute(copying, [pid])).fetchone()) == (0,):
                    await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await connection.rollback()
            assert await mail.enqueue(connection, Mail(address="a", body=None))

    def endless() -> Iterator[Mail]:
        while True:
            yield Mail(address="x" * 100, body=None)

    asyncio.run(go())
    assert left(server) == {"ready": 1}
