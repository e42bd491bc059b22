"""The connection of psycopg that is meant: the caller's own, one of a pool, or the one below a library's.

Neither SQLAlchemy nor Django is imported: who passes an object of theirs has done so. They are known by the names of
their classes, and asked by what they document:

- SQLAlchemy, "Working with the DBAPI cursor directly": ``Connection.connection.driver_connection``, and
  ``AsyncConnection.get_raw_connection()``. ``Session.connection()`` joins the transaction of the session.
- Django, "Performing raw SQL queries": ``django.db.connection``, whose ``connection`` is that of the driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeAlias, TypeGuard

import psycopg

from pgbgw.client.errors import NotAConnection

try:
    from psycopg_pool import AsyncConnectionPool, ConnectionPool
except ImportError:  # an option of psycopg's
    AsyncConnectionPool = ConnectionPool = None  # type: ignore[assignment,misc]

__all__ = ["AnyAsync", "AnySync", "is_asynchronous", "is_pool", "taken", "taken_async"]


class Raw(Protocol):
    """What a pool of SQLAlchemy gives out: ``PoolProxiedConnection``."""

    @property
    def driver_connection(self) -> Any:
        """That of the driver."""


class SqlConnection(Protocol):
    """``sqlalchemy.Connection``."""

    @property
    def connection(self) -> Raw:
        """That of its pool."""

    def close(self) -> None:
        """Not awaited: so an ``AsyncConnection``, whose ``connection`` is typed to return never, is none of these."""


class SqlSession(Protocol):
    """``sqlalchemy.orm.Session``, or a ``scoped_session``."""

    def connection(self) -> SqlConnection:
        """That of its transaction."""

    def close(self) -> None:
        """As of ``SqlConnection``."""


class AsyncSqlConnection(Protocol):
    """``sqlalchemy.ext.asyncio.AsyncConnection``."""

    def get_raw_connection(self) -> Coroutine[Any, Any, Raw]:
        """That of its pool."""


class AsyncSqlSession(Protocol):
    """``sqlalchemy.ext.asyncio.AsyncSession``, or an ``async_scoped_session``."""

    def connection(self) -> Coroutine[Any, Any, AsyncSqlConnection]:
        """That of its transaction."""


class DjangoConnection(Protocol):
    """``django.db.connection``, or one of ``django.db.connections``."""

    connection: Any

    def ensure_connection(self) -> None:
        """Connect, unless it is."""


AnySync: TypeAlias = (
    "psycopg.Connection[Any] | ConnectionPool[Any] | SqlSession | SqlConnection | Raw | DjangoConnection"
)
"""A connection or a session, or a pool of which one is taken for each call and in a transaction of its own."""

AnyAsync: TypeAlias = "psycopg.AsyncConnection[Any] | AsyncConnectionPool[Any] | AsyncSqlSession | AsyncSqlConnection"
"""The same for asyncio."""


def is_asynchronous(given: object) -> TypeGuard[AnyAsync]:
    """Whether what is done with it is awaited.

    Raises:
        NotAConnection: it is nothing that has a connection of psycopg 3.
    """
    if isinstance(given, psycopg.AsyncConnection):
        return True
    if isinstance(given, psycopg.Connection):
        return False
    if AsyncConnectionPool is not None and isinstance(given, AsyncConnectionPool):
        return True
    if ConnectionPool is not None and isinstance(given, ConnectionPool):
        return False
    if _is(given, "sqlalchemy", "AsyncSession", "async_scoped_session", "AsyncConnection"):
        return True
    if _is(given, "sqlalchemy", "Session", "scoped_session", "Connection", "PoolProxiedConnection"):
        return False
    if _is(given, "django", "BaseDatabaseWrapper", "ConnectionProxy"):
        return False
    raise _not_a_connection(given)


def is_pool(given: object) -> bool:
    """Whether a connection is taken for each call."""
    return ConnectionPool is not None and isinstance(given, ConnectionPool | AsyncConnectionPool)


@contextmanager
def taken(given: Any) -> Iterator[psycopg.Connection[Any]]:
    """The connection for a call, where ``is_asynchronous`` is false; one of a pool goes back after it.

    Raises:
        NotAConnection: the driver below it is not psycopg 3.
    """
    if isinstance(given, psycopg.Connection):
        yield given
    elif ConnectionPool is not None and isinstance(given, ConnectionPool):
        with given.connection() as connection:
            yield connection
    else:
        found = _of_django(given) if _is(given, "django") else _of_sqlalchemy(given)
        if not isinstance(found, psycopg.Connection):
            raise _other_driver(given, found)
        yield found


@asynccontextmanager
async def taken_async(given: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The same, where ``is_asynchronous`` is true."""
    if isinstance(given, psycopg.AsyncConnection):
        yield given
    elif AsyncConnectionPool is not None and isinstance(given, AsyncConnectionPool):
        async with given.connection() as connection:
            yield connection
    else:
        if not _is(given, "sqlalchemy", "AsyncConnection"):
            given = await given.connection()
        # as a statement does; else commit() would see nothing to commit
        if not given.in_transaction():
            await given.begin()
        found = (await given.get_raw_connection()).driver_connection
        if not isinstance(found, psycopg.AsyncConnection):
            raise _other_driver(given, found)
        yield found


def _of_sqlalchemy(given: Any) -> object:
    if _is(given, "sqlalchemy", "Session", "scoped_session"):
        given = given.connection()
    if _is(given, "sqlalchemy", "Connection"):
        # as a statement does; else commit() would see nothing to commit
        if not given.in_transaction():
            given.begin()
        given = given.connection
    return given.driver_connection


def _of_django(given: Any) -> object:
    given.ensure_connection()
    # what Django does before a statement of its own: an error before it has spoilt the transaction
    given.validate_no_broken_transaction()
    return given.connection


def _is(given: object, library: str, *names: str) -> bool:
    """Whether it is an object of a library, of a class of one of these names or derived from it."""
    return any(
        each.__module__.partition(".")[0] == library and (not names or each.__name__ in names)
        for each in type(given).__mro__
    )


_BY_SQL = "enqueuing is plain SQL in any driver: SELECT shop.mail_enqueue(...), see docs/integrations.md"


def _other_driver(given: object, found: object) -> NotAConnection:
    """There is a connection, and it is none that the client can use."""
    if isinstance(found, psycopg.AsyncConnection):
        return NotAConnection(
            f"a {type(given).__name__} of SQLAlchemy over an asynchronous connection, which can't be awaited here",
            hint="Pass the AsyncSession or the AsyncConnection itself, outside run_sync(), and await the answer.",
        )
    driver = type(found).__module__.partition(".")[0]
    if _is(given, "django"):
        way = (
            'pip install "psycopg[binary]", which Django prefers to psycopg2, and ENGINE django.db.backends.postgresql'
        )
    else:
        way = "create the engine for postgresql+psycopg://"
    return NotAConnection(
        f"the connection is one of {driver}, and not of psycopg 3", hint=f"{way[0].upper()}{way[1:]}; or {_BY_SQL}."
    )


def _not_a_connection(given: object) -> NotAConnection:
    kind, module = type(given).__name__, type(given).__module__.partition(".")[0]
    if _is(given, "sqlalchemy", "Engine"):
        hint = "With SQLAlchemy, pass a Session, or a Connection: with engine.begin() as connection."
    elif _is(given, "sqlalchemy", "AsyncEngine"):
        hint = "With SQLAlchemy, pass an AsyncSession, or an AsyncConnection: async with engine.begin() as connection."
    elif _is(given, "sqlalchemy", "sessionmaker", "async_sessionmaker"):
        hint = "Call it, and pass the session."
    elif _is(given, "django", "ConnectionHandler"):
        hint = 'Pass django.db.connection, or one of them: connections["default"].'
    elif isinstance(given, str):
        hint = "Connect: with psycopg.connect(...) as connection."
    elif module in ("asyncpg", "psycopg2", "pg8000", "aiopg"):
        hint = f"Connect by psycopg 3; or {_BY_SQL}."
    else:
        hint = "Pass a connection or a pool of psycopg 3, a session of SQLAlchemy, or django.db.connection."
    named = kind if module in ("builtins", "__main__") else f"{module}'s {kind}"
    return NotAConnection(f"not a connection of psycopg 3, nor a pool: {named}", hint=hint)
