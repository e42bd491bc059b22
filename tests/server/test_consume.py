"""The client on a real server: putting jobs in, taking them, and reading what lies there."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import pickle
import uuid
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest

import pgbgw
from pgbgw._core import transport
from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, Mismatch, QueueMissing, connect
from pgbgw.declare.load import load
from tests.server.posts import (
    FOLDER,
    Mail,
    clear,
    conninfo,
    declared,
    left,
    mail,
    post_server,
    put,
)
from tests.server.running import Server


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


def test_results_are_read_through_the_libpq_of_psycopg() -> None:
    """The other way is right as well, and slower: nobody shall get it unseen."""
    assert transport() == "libpq"


def test_a_job_goes_in_with_the_transaction_of_the_caller(server: Server) -> None:
    with server.connect() as connection:
        with connection.transaction(force_rollback=True):
            mail.enqueue(connection, Mail(address="a", body=None))
        with connection.transaction():
            first = mail.enqueue(connection, Mail(address="b", body={"x": [1, None]}), priority=2)
            assert left(server) == {}
        second = mail.enqueue(connection, {"address": "c"})
    rows = server.rows("SELECT id, address, body, priority FROM post.mail ORDER BY priority")
    assert rows == [(first, "b", {"x": [1, None]}, 2), (second, "c", None, 5)]


def test_jobs_for_later_and_jobs_with_a_key(server: Server) -> None:
    later = datetime.datetime.now(UTC) + timedelta(hours=1)
    with server.connect() as connection:
        one = mail.enqueue(connection, Mail(address="a", body=None), run_at=later, unique_key="k")
        assert mail.enqueue(connection, Mail(address="a", body=None), unique_key="k") is None
        assert server.rows("SELECT id, run_at, unique_key FROM post.mail_later") == [(one, later, "k")]
        with pytest.raises(ValueError, match="no time zone"):
            mail.enqueue(connection, Mail(address="a", body=None), run_at=datetime.datetime(2030, 1, 1))
        with pytest.raises(ValueError, match="have no keys"):
            declared.anything.enqueue(connection, everything(), unique_key="k")


def everything(**others: Any) -> Any:
    values: dict[str, Any] = {
        "number": -7, "big": 2**62, "ratio": 0.1, "exact": decimal.Decimal("1234567890.0123456789"), "yes": True,
        "text": "é 'quoted' \\ % €", "raw": bytes(range(256)),
        "at": datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
        "day": datetime.date(1, 1, 1), "clock": datetime.time(23, 59, 59, 1), "span": timedelta(days=-3, seconds=5),
        "key": uuid.UUID(int=2**127 + 1), "data": {"a": [1, 2.5, "x", None, True]}, "more": [1, -2],
    }  # fmt: skip
    return declared.Anything(**(values | others))


def test_values_of_every_type_come_back(server: Server) -> None:
    jobs = [everything(), everything(more=None, data=[]), everything(text="", raw=b"", data="s")]
    with server.connect() as connection:
        declared.anything.enqueue(connection, jobs[0])
        assert declared.anything.enqueue_many(connection, jobs[1:]) == 2
        claimed = declared.anything.claim(connection, 10)
        assert [job.payload for job in claimed] == jobs
        assert declared.anything.acknowledge(connection, claimed) == []


def test_values_of_types_that_the_core_does_not_know_come_back(server: Server) -> None:
    """An enum and a domain: these go in as text, and come out as what they are."""
    one = declared.Odd(mood="bäd", number=7, parts=[{"a": 1}, None, "x"], short="abcde", host=None)
    two = declared.Odd(mood="good", number=None, parts=[], short="", host=None)
    with server.connect() as connection:
        declared.odd.enqueue(connection, one)
        assert declared.odd.enqueue_many(connection, [two, one]) == 2
        jobs = declared.odd.claim(connection, 5)
        assert [job.payload for job in jobs] == [one, two, one]
        assert [job.payload for job in pickle.loads(pickle.dumps(jobs))] == [one, two, one]
        assert declared.odd.acknowledge(connection, jobs) == []


def test_a_queue_with_an_enum_and_a_domain_is_verified_and_consumed(server: Server) -> None:
    one = declared.Odd(mood="bäd", number=7, parts=[], short="abcde", host=None)
    seen: list[Any] = []
    with server.connect() as connection:
        declared.odd.verify(connection)
        declared.odd.enqueue(connection, one)
    declared.odd.consume(conninfo(server), seen.append, until_empty=True)
    assert seen == [one]


def test_many_jobs_go_in_by_copy(server: Server) -> None:
    told: list[int] = []
    with server.connect() as connection:
        count = mail.enqueue_many(
            connection, (Mail(address=str(n), body=n) for n in range(2500)), priority=3, progress=told.append
        )
    assert (count, told) == (2500, [1000, 2000, 2500])
    assert server.rows("SELECT count(*), min(priority), max(priority) FROM post.mail") == [(2500, 3, 3)]


def test_a_job_that_can_not_be_sent_puts_in_none_and_leaves_the_connection(server: Server) -> None:
    def jobs() -> Iterator[Any]:
        yield Mail(address="a", body=None)
        yield {"adress": "b"}

    with server.connect() as connection:
        with pytest.raises(TypeError, match="unknown adress; its fields are address, body"):
            mail.enqueue_many(connection, jobs())
        with pytest.raises(TypeError, match="is a Anything, not a Mail"):
            mail.enqueue(connection, everything())
        with pytest.raises(ValueError, match='row 1, column 1: "address" text: a NUL at position 1'):
            mail.enqueue_many(connection, [Mail(address="a\0b", body=None)])
        assert connection.execute("SELECT count(*) FROM post.mail").fetchone() == (0,)


def test_asynchronous_connections_and_pools(server: Server) -> None:
    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as connection:
            assert await mail.enqueue(connection, Mail(address="a", body=None))
            assert await mail.enqueue_many(connection, [Mail(address="b", body=1)]) == 1
            jobs = await mail.claim(connection, 5, who="me")
            assert [job.payload.address for job in jobs] == ["a", "b"]
            assert await mail.extend(connection, jobs, lease=timedelta(hours=1)) == []
            assert await mail.acknowledge(connection, jobs) == []
            with pytest.raises(QueueMissing):
                await other().verify(connection)
        async with psycopg_pool.AsyncConnectionPool(conninfo(server), min_size=1, max_size=2, open=False) as pool:
            assert await mail.enqueue(pool, Mail(address="c", body=None))
            assert await mail.enqueue_many(pool, [Mail(address="d", body=None)]) == 1

    asyncio.run(go())
    with psycopg_pool.ConnectionPool(conninfo(server), min_size=1, max_size=2, open=True) as pool:
        assert mail.enqueue(pool, Mail(address="e", body=None))
        assert mail.enqueue_many(pool, [Mail(address="f", body=None)]) == 1
        assert len(mail.claim(pool, 10)) == 4
    with pytest.raises(TypeError, match="not a connection of psycopg 3, nor a pool: str"):
        mail.enqueue("dsn", Mail(address="a", body=None))  # type: ignore[call-overload]


def other() -> Any:
    """A queue that is declared and nowhere installed."""
    shop: Any = pgbgw.Extension("elsewhere", database="postgres")
    return shop.queue("mail", Mail, lease=pgbgw.seconds(60))


def test_what_a_claim_gives_and_what_is_refused(server: Server) -> None:
    with server.connect() as connection:
        mail.enqueue_many(connection, [Mail(address=str(n), body=None) for n in range(4)])
        one, two, three, four = mail.claim(connection, 4, lease=timedelta(minutes=5), who="me")
        assert (one.attempt, one.priority, one.who, one.queue) == (1, 5, "me", "mail")
        assert abs(one.lease_end - one.created_at - timedelta(minutes=5)) < timedelta(minutes=1)
        assert mail.fail(connection, [one], "no", sqlstate="23503", context="here") == []
        assert mail.fail(connection, [two], "never", retry=False) == []
        assert mail.release(connection, [three]) == []
        assert mail.acknowledge(connection, [one, two, four]) == [one.id, two.id]
    assert server.rows("SELECT error, sqlstate, context FROM post.mail_later") == [("no", "23503", "here")]
    assert left(server) == {"later": 1, "failed": 1, "ready": 1, "done": 1}


def test_errors_name_the_way_out(server: Server) -> None:
    with server.connect() as connection:
        with pytest.raises(QueueMissing, match="CREATE EXTENSION elsewhere") as raised:
            other().enqueue(connection, Mail(address="a", body=None))
        assert raised.value.sqlstate == "3F000"
        connection.execute("SET ROLE clerk")
        assert mail.enqueue(connection, Mail(address="a", body=None))
        assert mail.enqueue_many(connection, [Mail(address="b", body=None)]) == 1
        with pytest.raises(ClientError, match="is not for this role"):
            mail.claim(connection)
        connection.execute("SET ROLE carrier")
        assert len(mail.claim(connection, 5)) == 2
        with pytest.raises(ClientError, match="is not for this role"):
            mail.enqueue(connection, Mail(address="a", body=None))


def test_a_declaration_that_differs_is_told_in_full(server: Server, tmp_path: Path) -> None:
    source = (
        (FOLDER / "post.py").read_text().replace("address: str\n    body: Json | None", "addr: str\n    body: bytes")
    )
    source = source.replace("    big: int\n", "    big: int | None\n")
    assert "big: int | None" in source
    changed = tmp_path / "post.py"
    changed.write_text(source.replace("unique=True, history=days(1),", ""))
    extension = load(changed)
    assert extension is not None
    with server.connect() as connection:
        mail.verify(connection)
        with pytest.raises(Mismatch) as raised:
            extension.queues[0].verify(connection)
        with pytest.raises(
            Mismatch, match="column big may be NULL as it is declared, and is NOT NULL as it is installed"
        ):
            extension.queues[1].verify(connection)
        declared.anything.verify(connection)
    told = str(raised.value)
    for difference in (
        "column addr is declared and not installed", "column address is installed and not declared",
        "column body is declared as bytea and installed as jsonb", "keys are installed and not declared",
        "column body is NOT NULL as it is declared, and may be NULL as it is installed",
        "a history is installed and not declared",
    ):  # fmt: skip
        assert difference in told


def test_queues_by_name(server: Server) -> None:
    with connect(conninfo(server)) as database:
        known = [queue.handle.table for queue in database.queues()]
        assert known == ["anything", "brief", "inside", "mail", "odd"]
        queue = database.queue("post.mail")
        assert queue.enqueue({"address": "a", "body": [1]}, unique_key="k") is not None
        assert queue.enqueue_many([{"address": "b"}]) == 1
        jobs = queue.claim(5)
        assert [job.payload for job in jobs] == [{"address": "a", "body": [1]}, {"address": "b", "body": None}]
        assert queue.acknowledge(jobs) == []
        with pytest.raises(QueueMissing, match=r"Its queues are post\.anything, post\.brief, post\.inside, post\.m"):
            database.queue("mails")
        with pytest.raises(TypeError, match="missing address"):
            queue.enqueue({"body": 1})


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
def test_a_backlog_is_read_in_pieces_and_left_there(server: Server, form: Any) -> None:
    put(server, 2500)
    with server.connect() as connection:
        pieces: list[Any] = list(mail.stream(connection, form=form, size=1000))
        assert [len(piece) for piece in pieces] == [1000, 1000, 500]
        if form == "jobs":
            assert [job.payload.address for piece in pieces for job in piece] == [str(n) for n in range(2500)]
        elif form == "tuples":
            assert [row[1] for piece in pieces for row in piece] == [str(n) for n in range(2500)]
        else:
            assert list(pieces[2].numpy("priority")) == [5] * 500
        assert connection.execute("SELECT count(*) FROM post.mail").fetchone() == (2500,)


def test_what_failed_and_what_is_done_can_be_read(server: Server) -> None:
    put(server, 4)
    with server.connect() as connection:
        one, two, three, four = mail.claim(connection, 4)
        mail.fail(connection, [one], "no", retry=False)
        mail.acknowledge(connection, [two, three])
        (piece,) = mail.stream(connection, "failed", form="tuples")
        assert (piece[0][0], "no" in piece[0]) == (one.id, True)
        (jobs,) = mail.stream(connection, "done")
        assert [job.id for job in jobs] == [two.id, three.id]
        (running,) = mail.stream(connection, "running")
        assert (running[0].id, running[0].token) == (four.id, four.token)
        assert list(mail.stream(connection, "later")) == []
        pieces = mail.stream(connection, "done", size=1)
        assert len(next(pieces)) == 1
        pieces.close()  # type: ignore[attr-defined]
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(ClientError, match="keeps no jobs that are done"):
            list(declared.anything.stream(connection, "done"))


def test_jobs_are_looked_after(server: Server) -> None:
    put(server, 4)
    with server.connect() as connection:
        jobs = mail.claim(connection, 2)
        mail.fail(connection, jobs, "no", retry=False)
        # about right, while the server has not yet counted what was just done
        assert list(mail.counts(connection)) == ["ready", "later", "running", "failed"]
        assert mail.retry(connection, [jobs[0].id]) == 1
        assert mail.purge(connection, timedelta(hours=1)) == 0
        assert mail.purge(connection, timedelta(0)) == 1
        assert (mail.cancel(connection, jobs[0].id), mail.cancel(connection, jobs[0].id)) == (True, False)
        assert (mail.pause(connection), mail.pause(connection)) == (True, False)
        assert mail.claim(connection) == []
        assert (mail.resume(connection), mail.resume(connection)) == (True, False)
    assert left(server) == {"ready": 2}

    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(server), autocommit=True) as connection:
            assert await mail.retry(connection) == 0
            assert list(await mail.counts(connection)) == ["ready", "later", "running", "failed"]

    asyncio.run(go())


def test_jobs_are_looked_after_by_name(server: Server) -> None:
    put(server, 5)
    with connect(conninfo(server)) as database:
        queue = database.queue("mail")
        one, two, three = queue.claim(3)
        assert queue.extend([one], lease=timedelta(hours=1)) == []
        assert queue.fail([one, two], "no", retry=False) == []
        assert queue.release([three]) == []
        assert [job.id for jobs in queue.stream("failed") for job in jobs] == [one.id, two.id]
        assert queue.retry([one.id]) == 1
        assert queue.purge(timedelta(0)) == 1
        assert queue.cancel(three.id)
        assert (queue.pause(), queue.resume()) == (True, True)
        assert list(queue.counts()) == ["ready", "later", "running", "failed"]
    assert left(server) == {"ready": 2, "later": 1}
