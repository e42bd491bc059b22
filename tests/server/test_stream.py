"""Reading a backlog, what failed and a history over connections of every kind, and what is left when a loop is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import polars
import psycopg
import psycopg_pool
import pyarrow
import pytest
import sqlalchemy
from psycopg.pq import TransactionStatus
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, connect
from tests.server.posts import Mail, clear, conninfo, declared, mail, post_server, put
from tests.server.running import Server
from tests.server.test_sessions import engine_for, url


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        server.rows("CREATE TABLE kept (n int)")
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.rows("DELETE FROM kept")
    clear(running)


def kept(server: Server) -> int:
    return int(server.value("SELECT count(*) FROM kept"))


def addresses(piece: Any, form: str) -> list[str]:
    """Those of a piece, whatever form it has."""
    if form == "jobs":
        return [job.payload.address for job in piece]
    if form == "tuples":
        return [row[1] for row in piece]
    found: list[str] = pyarrow.record_batch(piece).column("address").to_pylist()
    return found


async def connected(server: Server, *, autocommit: bool) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(conninfo(server), autocommit=autocommit)


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
@pytest.mark.parametrize("kind", ["autocommit", "transaction", "pool", "session"])
def test_all_is_read_whatever_is_given(server: Server, kind: str, form: Any) -> None:
    put(server, 2500)
    server.rows("UPDATE post.mail SET priority = 2 WHERE address::int >= 2400")
    wanted = [str(n) for n in [*range(2400, 2500), *range(2400)]]

    async def read(given: Any) -> list[list[str]]:
        return [addresses(piece, form) async for piece in mail.stream(given, form=form, size=1000)]

    async def go() -> list[list[str]]:
        if kind == "session":
            async with engine_for(server, "psycopg") as engine, AsyncSession(engine) as session:
                return await read(session)
        if kind == "pool":
            async with psycopg_pool.AsyncConnectionPool(conninfo(server), min_size=1, open=False) as pool:
                return await read(pool)
        async with await connected(server, autocommit=kind == "autocommit") as connection:
            return await read(connection)

    pieces = asyncio.run(go())
    assert [len(piece) for piece in pieces] == [1000, 1000, 500]
    assert [address for piece in pieces for address in piece] == wanted


def test_pools_and_sessions_are_read_synchronously(server: Server) -> None:
    put(server, 3)
    with psycopg_pool.ConnectionPool(conninfo(server), min_size=1, open=True) as pool:
        assert [len(jobs) for jobs in mail.stream(pool, size=2)] == [2, 1]
    engine = sqlalchemy.create_engine(url(server, "psycopg"))
    with Session(engine) as session:
        for _ in mail.stream(session, size=1):
            session.execute(sqlalchemy.text("INSERT INTO kept VALUES (1)"))
        # the transaction is that of the session, which nobody else ends
        assert kept(server) == 0
        session.commit()
    engine.dispose()
    assert kept(server) == 3


@pytest.mark.parametrize("exclusive", [False, True])
def test_all_is_read_by_name(server: Server, exclusive: bool) -> None:
    put(server, 5)
    wanted = [str(n) for n in range(5)]
    with connect(conninfo(server)) as database:
        queue = database.queue("mail")
        jobs, more = queue.stream(size=3, exclusive=exclusive)
        assert [job.payload for job in [*jobs, *more]] == [{"address": each, "body": None} for each in wanted]
        rows = queue.stream(form="tuples", size=2, exclusive=exclusive)
        assert [row[1] for row in next(rows)] == wanted[:2]
        # a COPY is under way, or a cursor is open
        state = TransactionStatus.ACTIVE if exclusive else TransactionStatus.INTRANS
        assert database.connection.info.transaction_status == state
        assert [row[1] for piece in rows for row in piece] == wanted[2:]
        (columns,) = queue.stream(form="columns", exclusive=exclusive)
        assert addresses(columns, "columns") == wanted
        with pytest.raises(ValueError, match="form is none of jobs, tuples, columns"):
            queue.stream(form="dicts")  # type: ignore[call-overload]


def test_a_transaction_sees_all_as_of_the_first_piece_and_autocommit_what_is_there(server: Server) -> None:
    async def go(*, autocommit: bool) -> list[int]:
        found: list[int] = []
        async with await connected(server, autocommit=autocommit) as connection:
            async for jobs in mail.stream(connection, size=2):
                found.append(len(jobs))
                if len(found) == 1:
                    put(server, 2)
        return found

    put(server, 3)
    assert asyncio.run(go(autocommit=False)) == [2, 1]
    clear(server)
    put(server, 3)
    assert asyncio.run(go(autocommit=True)) == [2, 2, 1]


class Left(Exception):
    pass


@pytest.mark.parametrize("how", ["break", "raise"])
@pytest.mark.parametrize("kind", ["autocommit", "transaction", "not in autocommit"])
def test_an_asynchronous_loop_may_be_left(server: Server, kind: str, how: str) -> None:
    """The next thing that is done on the connection is a transaction, before the iterator is known to be closed."""

    async def leave(connection: Any) -> None:
        pieces = mail.stream(connection, size=10)
        async for _ in pieces:
            await connection.execute("INSERT INTO kept VALUES (1)")
            if how == "raise":
                raise Left
            break

    async def go() -> None:
        async with await connected(server, autocommit=kind != "not in autocommit") as connection:
            if kind == "transaction":
                async with connection.transaction():
                    await handled(leave(connection))
                    await handled(leave(connection))
                wanted = 2
            else:
                await handled(leave(connection))
                wanted = 1
            if kind == "not in autocommit":
                await connection.commit()
            assert connection.info.transaction_status == TransactionStatus.IDLE
            assert kept(server) == wanted
            async with connection.transaction():
                await connection.execute("INSERT INTO kept VALUES (2)")
            await asyncio.sleep(0)
            if kind == "not in autocommit":
                await connection.commit()
            assert kept(server) == wanted + 1
            assert sum([len(jobs) async for jobs in mail.stream(connection)]) == 30

    async def handled(left: Any) -> None:
        with contextlib.suppress(Left):
            await left

    put(server, 30)
    asyncio.run(go())


def test_a_pool_gets_its_connection_back(server: Server) -> None:
    async def go() -> None:
        async with psycopg_pool.AsyncConnectionPool(conninfo(server), min_size=1, max_size=1, open=False) as pool:
            pieces: AsyncIterator[Any] = mail.stream(pool, size=1)
            async for _ in pieces:
                break
            await pieces.aclose()  # type: ignore[attr-defined]
            assert await mail.enqueue(pool, Mail(address="a", body=None))
            async for _ in mail.stream(pool, size=1):
                break
            # given back as soon as the loop has a turn
            assert await mail.enqueue(pool, Mail(address="b", body=None))

    put(server, 3)
    asyncio.run(go())


@pytest.mark.parametrize("how", ["break", "raise"])
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_loop_may_be_left_and_what_was_done_in_it_stays(server: Server, autocommit: bool, how: str) -> None:
    put(server, 30)
    with psycopg.connect(conninfo(server), autocommit=autocommit) as connection:
        for _ in range(2):
            with contextlib.suppress(Left):
                for _ in mail.stream(connection, size=10):
                    connection.execute("INSERT INTO kept VALUES (1)")
                    if how == "raise":
                        raise Left
                    break
            assert connection.info.transaction_status == TransactionStatus.IDLE
        assert kept(server) == 2
        with connection.transaction():
            for _ in mail.stream(connection, size=10):
                break
            assert sum(len(jobs) for jobs in mail.stream(connection)) == 30


async def each_piece(connection: psycopg.AsyncConnection[Any], statement: bytes) -> None:
    async for _ in mail.stream(connection, size=1):
        await connection.execute(statement)


def test_a_statement_that_fails_in_the_loop_is_told_and_the_connection_is_free(server: Server) -> None:
    def each(connection: psycopg.Connection[Any]) -> None:
        for _ in mail.stream(connection, size=1):
            connection.execute("SELECT 1 / 0")

    async def go() -> None:
        async with await connected(server, autocommit=True) as connection:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await each_piece(connection, b"SELECT 1 / 0")
            assert await mail.enqueue(connection, Mail(address="a", body=None))

    put(server, 2)
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            each(connection)
        assert mail.enqueue(connection, Mail(address="a", body=None))
    asyncio.run(go())


def test_a_transaction_that_ends_meanwhile_is_told(server: Server) -> None:
    async def go() -> None:
        async with await connected(server, autocommit=False) as connection:
            with pytest.raises(ClientError, match="the transaction in which that was begun has ended"):
                await each_piece(connection, b"COMMIT")
            with pytest.raises(ClientError, match="keeps no jobs that are done"):
                declared.anything.stream(connection, "done")

    put(server, 2)
    asyncio.run(go())


def test_columns_are_data_frames(server: Server) -> None:
    """By the PyCapsule of Arrow, which polars and pyarrow take; pandas takes what pyarrow has."""
    put(server, 5)
    with psycopg.connect(conninfo(server)) as connection:
        (columns,) = mail.stream(connection, form="columns")
        frame = polars.DataFrame(columns)
        assert frame["address"].to_list() == ["0", "1", "2", "3", "4"]
        assert pyarrow.record_batch(columns).num_rows == 5
