"""Sessions of SQLAlchemy and connections of Django: jobs go in with their transactions, and what can't be is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy
from django import setup
from django.conf import settings
from django.db import connection as django_connection
from django.db import connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.transaction import TransactionManagementError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, QueueMissing
from tests.server.posts import Mail, clear, conninfo, left, mail, post_server, put
from tests.server.running import Server
from tests.server.test_consume import other


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


def url(server: Server, driver: str) -> sqlalchemy.URL:
    given: Any = conninfo_to_dict(conninfo(server))
    return sqlalchemy.URL.create(
        f"postgresql+{driver}", given["user"], database="postgres", query={"host": given["host"], "port": given["port"]}
    )


@pytest.fixture
def engine(server: Server) -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine(url(server, "psycopg"))
    yield made
    made.dispose()


def addressed(address: str) -> Mail:
    return Mail(address=address, body=None)


def addresses(server: Server) -> list[str]:
    return [row[0] for row in server.rows("SELECT address FROM post.mail ORDER BY id")]


# SQLAlchemy


def test_jobs_go_in_with_the_session(server: Server, engine: sqlalchemy.Engine) -> None:
    with Session(engine) as session:
        assert mail.enqueue(session, addressed("a"))
        assert addresses(server) == []
        session.commit()
        assert addresses(server) == ["a"]
        assert mail.enqueue_many(session, [addressed("b"), addressed("c")]) == 2
        session.rollback()
        with session.begin_nested() as savepoint:
            mail.enqueue(session, addressed("d"))
            savepoint.rollback()
        mail.enqueue(session, addressed("e"))
        session.commit()
    assert addresses(server) == ["a", "e"]


def test_jobs_go_in_with_the_connection(server: Server, engine: sqlalchemy.Engine) -> None:
    """Also where it has begun nothing, and where it is somebody else's way to say so."""
    with engine.connect() as connection:
        mail.enqueue(connection, addressed("a"))
        connection.commit()
        mail.enqueue(connection, addressed("b"))
        connection.rollback()
        mail.enqueue(connection, addressed("c"))
    with engine.begin() as connection:
        mail.enqueue(connection, addressed("d"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mail.enqueue(connection, addressed("e"))
    raw = engine.raw_connection()
    mail.enqueue(raw, addressed("f"))
    raw.commit()
    raw.close()
    local = scoped_session(sessionmaker(engine))
    mail.enqueue(local, addressed("g"))
    local.commit()
    local.remove()
    assert addresses(server) == ["a", "d", "e", "f", "g"]


def test_what_else_a_session_can(server: Server, engine: sqlalchemy.Engine) -> None:
    put(server, 3)
    with Session(engine) as session:
        mail.verify(session)
        jobs = mail.claim(session, 2)
        session.commit()
        assert [job.payload.address for job in jobs] == ["0", "1"]
        assert mail.acknowledge(session, jobs[:1]) == []
        assert mail.release(session, jobs[1:]) == []
        session.commit()
        with pytest.raises(QueueMissing, match="CREATE EXTENSION elsewhere"):
            other().enqueue(session, addressed("a"))
        session.rollback()
        assert session.execute(text("SELECT 1")).scalar() == 1
    assert left(server) == {"done": 1, "ready": 2}


@asynccontextmanager
async def engine_for(server: Server, driver: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url(server, driver))
    try:
        yield engine
    finally:
        await engine.dispose()


def test_jobs_go_in_with_an_asynchronous_session(server: Server) -> None:
    async def go() -> None:
        async with engine_for(server, "psycopg") as engine:
            async with AsyncSession(engine) as session:
                assert await mail.enqueue(session, addressed("a"))
                assert addresses(server) == []
                await session.commit()
                assert await mail.enqueue_many(session, [addressed("b")]) == 1
                await session.rollback()
                jobs = await mail.claim(session, 5)
                assert [job.payload.address for job in jobs] == ["a"]
                assert await mail.release(session, jobs) == []
                await session.commit()
            async with engine.connect() as connection:
                await mail.enqueue(connection, addressed("c"))
                await connection.commit()
            local = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
            await mail.enqueue(local, addressed("d"))
            await local.commit()
            await local.remove()

    asyncio.run(go())
    assert addresses(server) == ["a", "c", "d"]


def test_other_drivers_and_what_is_no_connection_are_told(server: Server, engine: sqlalchemy.Engine) -> None:
    async def go() -> None:
        async with engine_for(server, "psycopg") as made, AsyncSession(made) as session:
            with pytest.raises(ClientError, match=r"can't be awaited here(.|\n)*Pass the AsyncSession"):
                await session.run_sync(lambda inner: mail.enqueue(inner, addressed("a")))
            with pytest.raises(TypeError, match=r"sqlalchemy's AsyncEngine\nhint: .*pass an AsyncSession"):
                mail.enqueue(made, addressed("a"))  # type: ignore[call-overload]
        async with engine_for(server, "asyncpg") as made, AsyncSession(made) as session:
            with pytest.raises(TypeError, match=r"one of asyncpg, and not of psycopg 3\nhint: Create the engine for"):
                await mail.enqueue(session, addressed("a"))

    asyncio.run(go())
    wrong: list[tuple[Any, str]] = [
        (engine, "With SQLAlchemy, pass a Session"),
        (sessionmaker(engine), "Call it, and pass the session"),
        (connections, "Pass django.db.connection"),
        ("dbname=shop", "psycopg.connect"),
        (7, "Pass a connection or a pool"),
    ]
    for given, told in wrong:
        with pytest.raises(TypeError, match=told):
            mail.enqueue(given, addressed("a"))


# Django


@pytest.fixture
def django(server: Server) -> Iterator[Any]:
    if not settings.configured:
        settings.configure(DATABASES={}, USE_TZ=True)
        setup()
    given = conninfo_to_dict(conninfo(server))
    wanted = {
        "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": given["user"], "HOST": given["host"],
        "PORT": given["port"],
    }  # fmt: skip
    connections["default"] = DatabaseWrapper(connections.configure_settings({"default": wanted})["default"])
    yield django_connection
    connections["default"].close()


def test_jobs_go_in_with_a_transaction_of_django(server: Server, django: Any) -> None:
    with transaction.atomic():
        assert mail.enqueue(django, Mail(address="a", body={"x": [1, "é"]}))
        assert addresses(server) == []
    with transaction.atomic():
        mail.enqueue(connections["default"], addressed("b"))
        transaction.set_rollback(True)
    with transaction.atomic():
        mail.enqueue(django, addressed("c"))
        with transaction.atomic():
            mail.enqueue_many(django, [addressed("d")])
            transaction.set_rollback(True)
    mail.enqueue(django, addressed("e"))
    assert addresses(server) == ["a", "c", "e"]
    (first, *_) = mail.claim(django, 3)
    assert first.payload == Mail(address="a", body={"x": [1, "é"]})


def test_a_transaction_of_django_that_is_spoilt_takes_no_job(server: Server, django: Any) -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            mail.enqueue(django, addressed("a"))
    assert addresses(server) == []


def test_values_go_through_whatever_cursors_a_connection_makes(server: Server) -> None:
    """Django's put parameters into the statement, where what is binary would not be."""
    with psycopg.connect(
        conninfo(server), autocommit=True, cursor_factory=psycopg.ClientCursor, row_factory=psycopg.rows.dict_row
    ) as connection:
        assert mail.enqueue(connection, Mail(address="a", body=[1]))
        (job,) = mail.claim(connection)
        assert job.payload.body == [1]
        assert mail.acknowledge(connection, [job]) == []
