"""Reading rows through COPY BINARY, and what a connection is good for afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pgbgw._core import CopyError
from pgbgw.build import Pg
from pgbgw.client import copy_rows
from pgbgw.server import throwaway_cluster


@pytest.fixture(scope="module")
def conninfo(pg: Pg) -> Iterator[str]:
    with throwaway_cluster(pg) as cluster:
        yield cluster.conninfo()


@pytest.fixture
def connection(conninfo: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo) as made:
        yield made


def usable(connection: psycopg.Connection) -> bool:
    """In the same transaction, which an error of the server would have ended."""
    return connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


@pytest.fixture(autouse=True)
def in_transaction(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute("CREATE TEMPORARY TABLE kept AS SELECT 1")
    yield
    connection.rollback()


def test_rows_are_decoded(connection: psycopg.Connection) -> None:
    query = "SELECT i::int8, 'row ' || i, i % 2 = 0, NULL::int4 FROM generate_series(1, 50000) AS i"
    batches = list(copy_rows(connection, query, ["int8", "text", "bool", "int4"]))
    rows = [row for batch in batches for row in batch]
    assert rows == [(i, f"row {i}", i % 2 == 0, None) for i in range(1, 50001)]
    assert all(batches)
    assert usable(connection)


def test_a_row_of_another_type_leaves_the_transaction_as_it_was(connection: psycopg.Connection) -> None:
    query = "SELECT i::int4 FROM generate_series(1, 100000) AS i"
    with pytest.raises(CopyError):
        list(copy_rows(connection, query, ["int8"]))
    assert usable(connection)


def test_an_iterator_that_is_closed_early_frees_the_connection(connection: psycopg.Connection) -> None:
    connection.commit()
    rows = copy_rows(connection, "SELECT i::int8 FROM generate_series(1, 10000000) AS i", ["int8"])
    assert next(rows)[0] == (1,)
    rows.close()  # type: ignore[attr-defined]
    connection.rollback()
    assert usable(connection)
    connection.execute("DROP TABLE kept")


def test_what_the_server_refuses_is_its_own_error(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        list(copy_rows(connection, "SELECT 1 FROM nowhere", ["int4"]))
