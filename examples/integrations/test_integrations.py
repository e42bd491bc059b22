"""Each of them puts an order and its mail in, or neither; on a server that pgbgw makes for the tests."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import asyncpg_shop
import httpx
import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from shop import Mail, mail
from sqlalchemy.orm import Session

from pgbgw.testing import TestDatabase


@pytest.fixture
def database(pgbgw_database: TestDatabase) -> TestDatabase:
    pgbgw_database.connection.execute("TRUNCATE orders RESTART IDENTITY")
    return pgbgw_database


def orders(database: TestDatabase) -> list[tuple[str, int]]:
    return database.connection.execute("SELECT customer, amount FROM orders ORDER BY id").fetchall()


def sent(database: TestDatabase) -> list[Mail]:
    found: list[Mail] = []
    database.consume(mail, found.append)
    return found


THANKS = Mail(address="a@example.org", body="Thank you for 7.")


def test_sqlalchemy(database: TestDatabase) -> None:
    from sqlalchemy_shop import place_order

    engine = sqlalchemy.create_engine("postgresql+psycopg://", connect_args=conninfo_to_dict(database.conninfo))
    with Session(engine) as session:
        place_order(session, "b@example.org", 5)
        session.rollback()
        place_order(session, "a@example.org", 7)
        session.commit()
    engine.dispose()
    assert (orders(database), sent(database)) == ([("a@example.org", 7)], [THANKS])


@pytest.fixture
def django_client(database: TestDatabase) -> Iterator[Any]:
    import django
    from django.conf import settings
    from django.db import connection
    from django.test import Client

    given = conninfo_to_dict(database.conninfo)
    at = {"NAME": given["dbname"], "USER": given["user"], "HOST": given["host"], "PORT": given["port"]}
    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **at}},
            ROOT_URLCONF="django_shop",
            SECRET_KEY="only for the tests",
            ALLOWED_HOSTS=["testserver"],
        )
        django.setup()
    yield Client(raise_request_exception=False)
    connection.close()


def test_django(database: TestDatabase, django_client: Any) -> None:
    def post(customer: str, amount: int) -> int:
        wanted = {"customer": customer, "amount": amount}
        return int(django_client.post("/orders", wanted, content_type="application/json").status_code)

    assert post("a@example.org", 7) == 201
    assert post("b@example.org", 0) == 500
    assert (orders(database), sent(database)) == ([("a@example.org", 7)], [THANKS])


def test_fastapi(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi_shop import app

    async def post() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as web,
        ):
            answer = await web.post("/orders", json={"customer": "a@example.org", "amount": 7})
            assert (answer.status_code, answer.json()) == (201, {"order": 1})
            answer = await web.post("/orders", json={"customer": "b@example.org", "amount": 0})
            assert answer.status_code == 500
            (job,) = mail.claim(database.connection)
            mail.fail(database.connection, [job], "no such user", retry=False)
            assert (await web.get("/mails/failed")).json() == ["a@example.org"]

    monkeypatch.setenv("SHOP_DSN", database.conninfo)
    asyncio.run(post())
    assert orders(database) == [("a@example.org", 7)]


def test_asyncpg(database: TestDatabase) -> None:
    async def go() -> None:
        given = conninfo_to_dict(database.conninfo)
        connection = await asyncpg.connect(
            host=given["host"], port=given["port"], user=given["user"], database=given["dbname"]
        )
        try:
            await asyncpg_shop.place_order(connection, "a@example.org", 7)
            with pytest.raises(asyncpg.CheckViolationError):
                await asyncpg_shop.place_order(connection, "b@example.org", 0)
            await asyncpg_shop.announce(connection, ["c@example.org", "d@example.org"], "news")
        finally:
            await connection.close()

    asyncio.run(go())
    news = [Mail(address=f"{name}@example.org", body="news") for name in "cd"]
    assert (orders(database), sent(database)) == ([("a@example.org", 7)], [THANKS, *news])
