"""The compiled core against servers: what they send is what was meant, and they take what is written."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Address
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pgbgw._core import (
    CopyDecoder,
    CopyEncoder,
    CopyError,
    JobDecoder,
    Layout,
    encode_copy,
    result_columns,
    result_jobs,
    result_layout,
    result_tuples,
)
from pgbgw.build import Pg
from pgbgw.server import throwaway_cluster
from tests.pgresults import Slow

SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'glücklich');
CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);
CREATE DOMAIN tags AS text[];
"""
# Declared type, the type that the core is told, and values.
TYPES: dict[str, tuple[str, list[Any]]] = {
    "int2": ("int2", [0, -(2**15), 2**15 - 1]),
    "int4": ("int4", [0, -(2**31), 2**31 - 1]),
    "int8": ("int8", [0, -(2**63), 2**63 - 1]),
    "oid": ("oid", [0, 2**32 - 1]),
    "bool": ("bool", [True, False]),
    "float4": ("float4", [0.5, -0.0, float("inf")]),
    "float8": ("float8", [0.1, -1e300, float("-inf")]),
    "numeric": (
        "numeric",
        [Decimal(text) for text in ("0", "0.000", "-1.50", "123456789012345678901234567890.123", "1000000", "0.00001")]
        + [Decimal("1" * 5000), Decimal("Infinity"), Decimal("-Infinity")]
        # as many digits as there can be, before the point and behind it
        + [Decimal((1, (9,) * (131072 + 16383), -16383)), Decimal("1E+131071"), Decimal("1E-16383")],
    ),
    "text": ("text", ["", "a", "grüße €", "x" * 100_000]),
    "varchar(20)": ("varchar", ["", "ä"]),
    "char(3)": ("bpchar", ["a  ", "äöü"]),
    '"char"': ("char", ["a"]),
    "name": ("name", ["pg_class"]),
    "bytea": ("bytea", [b"", bytes(range(256)), b"x" * 100_000]),
    "json": ("json", ['{"a":  1}', "null"]),
    "jsonb": ("jsonb", ['{"a": [1, null, "é"]}', "null", '"x"']),
    "uuid": ("uuid", [UUID(int=0), UUID("12345678-1234-5678-1234-567812345678")]),
    "date": ("date", [date.min, date.max, date(2000, 2, 29), date(1900, 3, 1)]),
    "time": ("time", [time.min, time.max, time(12, 30)]),
    "timetz": ("timetz", [time(12, 30, 0, 5, timezone(timedelta(hours=-3, minutes=-30))), time(0, tzinfo=UTC)]),
    "timestamp": ("timestamp", [datetime.min, datetime.max, datetime(2000, 1, 1), datetime(1969, 12, 31, 23, 59, 59)]),
    "timestamptz": (
        "timestamptz",
        [datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2024, 2, 29, 1, 2, 3, 4, UTC)],
    ),
    "interval": ("interval", [timedelta(0), timedelta(-1, 5, 7), timedelta(999, 86399, 999999)]),
    "inet": ("inet", [IPv4Interface("10.1.2.3/8"), IPv6Address("fe80::1")]),
    "cidr": ("cidr", [IPv4Network("10.0.0.0/8")]),
    "mood": ("text", ["sad", "glücklich"]),
    "positive": ("int4", [1]),
    "tags": ("text[]", [["a", None], []]),
    # The elements are told to be text and int4; array_recv goes by the column where its type is of this database.
    "mood[]": ("text[]", [["sad", None, "glücklich"], []]),
    "positive[]": ("int4[]", [[1, 2], [[3], [4]]]),
}
OF_THIS_DATABASE = {"mood", "positive", "tags", "mood[]", "positive[]"}
ARRAYS: dict[str, tuple[str, list[Any]]] = {
    f"{kind}[]": (f"{told}[]", [[], [*values, None], [[values[0]], [None]]])
    for kind, (told, values) in TYPES.items()
    if kind not in OF_THIS_DATABASE
}
ALL = TYPES | ARRAYS


@pytest.fixture(scope="module")
def conninfo(pg: Pg) -> Iterator[str]:
    with throwaway_cluster(pg) as cluster:
        conninfo = cluster.conninfo()
        with psycopg.connect(conninfo, autocommit=True) as made:
            made.execute(SETUP)
        yield conninfo


@pytest.fixture
def connection(conninfo: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo) as made:
        yield made
        made.rollback()


def copied(connection: psycopg.Connection, query: str) -> list[bytes]:
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy:
        return [bytes(piece) for piece in copy]


def result_of(connection: psycopg.Connection, query: str) -> Any:
    return connection.cursor(binary=True).execute(query.encode()).pgresult


@pytest.mark.parametrize("kind", ALL)
def test_values_go_in_and_come_back(connection: psycopg.Connection, kind: str) -> None:
    """By the encoder into a table, as text and back by the server itself, and out by every way of reading."""
    told, values = ALL[kind]
    rows = [(number, value, 5) for number, value in enumerate([None, *values])]
    connection.execute(f"CREATE TEMPORARY TABLE t (id int8, v {kind}, priority int2)".encode())
    types = ["int8", told, "int2"]
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        copy.write(encode_copy(rows, types))
    query = "SELECT * FROM t ORDER BY id"
    decoder = CopyDecoder(types)
    assert [row for piece in copied(connection, query) for row in decoder.feed(piece)] == rows
    decoder.close()

    result = result_of(connection, query)
    assert result_tuples(result, Layout(None, types)) == rows
    assert result_tuples(Slow(result), Layout(None, types)) == rows
    layout = Layout(["id", "v", "priority"], types)
    for jobs in (result_jobs(result, layout), result_jobs(Slow(result), layout)):
        assert [(job.id, job["v"], job.priority) for job in jobs] == rows


def test_what_the_server_makes_of_what_was_written(connection: psycopg.Connection) -> None:
    """As text: an encoder and a decoder that are wrong in the same way would agree in the test above."""
    values = [
        *(-5, Decimal("-1234.5600"), "ü", '{"a":1}', date(2024, 2, 29), time(1, 2, 3, 4)),
        *(datetime(2024, 2, 29, 12, 0, tzinfo=timezone(timedelta(hours=2))), timedelta(1, 2, 3)),
        *(IPv4Interface("10.1.2.3/8"), IPv4Network("10.0.0.0/8"), [[1, None], [3, 4]], True, b"\0\xff", 1.5),
    ]
    types = ["int4", "numeric", "text", "jsonb", "date", "time", "timestamptz", "interval", "inet", "cidr", "int8[]"]
    types += ["bool", "bytea", "float4"]
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(types))
    connection.execute("SET timezone TO UTC")
    connection.execute(f"CREATE TEMPORARY TABLE t ({columns})".encode())
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        copy.write(encode_copy([values], types))
    shown = connection.execute(
        ("SELECT " + ", ".join(f"c{number}::text" for number in range(len(types))) + " FROM t").encode()
    ).fetchone()
    assert shown == (
        *("-5", "-1234.5600", "ü", '{"a": 1}', "2024-02-29", "01:02:03.000004", "2024-02-29 10:00:00+00"),
        *("1 day 00:00:02.000003", "10.1.2.3/8", "10.0.0.0/8", "{{1,NULL},{3,4}}", "true", "\\x00ff", "1.5"),
    )


class Mood(enum.StrEnum):
    SAD = "sad"


def test_members_of_an_enum_of_python(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE t (a mood, b mood[])")
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        copy.write(encode_copy([(Mood.SAD, [Mood.SAD])], ["text", "text[]"]))
    assert connection.execute("SELECT a::text, b::text FROM t").fetchall() == [("sad", "{sad}")]


def test_the_widest_zones_that_the_server_takes(connection: psycopg.Connection) -> None:
    zone = timedelta(hours=15, minutes=59, seconds=59)
    rows = [(time(12, tzinfo=timezone(offset)),) for offset in (zone, -zone)]
    connection.execute("CREATE TEMPORARY TABLE t (a timetz)")
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        copy.write(encode_copy(rows, ["timetz"]))
    assert connection.execute("SELECT a::text FROM t").fetchall() == [("12:00:00+15:59:59",), ("12:00:00-15:59:59",)]


def test_arrays_go_into_arrow(connection: psycopg.Connection) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    query = "SELECT ARRAY[1, NULL, 3] AS a, '{}'::text[] AS b, '{sad}'::mood[] AS c, NULL::int8[] AS d"
    layout = Layout(["a", "b", "c", "d"], ["int4[]", "text[]", "text[]", "int8[]"])
    table = pyarrow.table(result_columns(result_of(connection, query), layout))
    table.validate(full=True)
    assert table.to_pylist() == [{"a": [1, None, 3], "b": [], "c": ["sad"], "d": None}]


def test_lower_bounds_are_left_out(connection: psycopg.Connection) -> None:
    result = result_of(connection, "SELECT '[-1:0][5:6]={{1,2},{3,NULL}}'::int4[]")
    assert result_tuples(result) == [([[1, 2], [3, None]],)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("'infinity'::timestamptz", "infinite"),
        ("'-infinity'::timestamp", "infinite"),
        ("'4713-01-01 BC'::timestamptz", "year"),
        ("'10000-01-01'::timestamptz", "year"),
        ("'infinity'::date", "infinite"),
        ("'5874897-12-31'::date", "year"),
        ("'4713-01-01 BC'::date", "year"),
        ("'24:00'::time", "24:00"),
        ("'178000000 years'::interval", "beyond timedelta"),
    ],
)
def test_what_python_does_not_hold(connection: psycopg.Connection, value: str, reason: str) -> None:
    query = f"SELECT 1::int8 AS id, {value} AS v, 1::int2 AS priority"
    result = result_of(connection, query)
    with pytest.raises(CopyError, match=f"row 1, column 2.*{reason}") as caught:
        result_tuples(result)
    assert "as text" in str(caught.value.hint)
    (job,) = result_jobs(result, result_layout(result))
    assert job.id == 1
    with pytest.raises(CopyError, match=reason):
        job.payload()
    if "timestamp" in value:
        assert isinstance(job.microseconds("v"), int)


def test_the_layout_of_a_result_with_types_of_its_own(connection: psycopg.Connection) -> None:
    names = "SELECT oid::int8, typarray::int8 FROM pg_type WHERE typname = 'mood'"
    oid, array = connection.execute(names.encode()).fetchone()  # type: ignore[misc]
    result = result_of(
        connection,
        "SELECT 1::int8 AS id, 'sad'::mood AS mood, '{sad}'::mood[] AS moods, 3::positive AS n, 5::int2 AS priority",
    )
    layout = result_layout(result, known={oid: "text", array: "text[]"}, queue="moods")
    (job,) = result_jobs(result, layout)
    assert job.payload() == {"mood": "sad", "moods": ["sad"], "n": 3}
    # Nobody has told: the bytes that were sent.
    (plain,) = result_jobs(result, result_layout(result))
    assert plain["mood"] == b"sad"


def test_jobs_of_a_large_copy(connection: psycopg.Connection) -> None:
    decoder = JobDecoder(Layout(["id", "body", "priority"], ["int8", "text", "int2"], queue="q"))
    query = "SELECT i::int8, repeat('x', i % 300), 1::int2 FROM generate_series(1, 20000) AS i"
    jobs = [job for piece in copied(connection, query) for job in decoder.feed(piece)]
    decoder.close()
    assert [(job.id, len(job["body"])) for job in jobs] == [(number, number % 300) for number in range(1, 20001)]
    joined = b"".join(copied(connection, query))
    again = JobDecoder(jobs[0].layout)
    pieces = [joined[place : place + 65536] for place in range(0, len(joined), 65536)]
    assert [job["body"] for piece in pieces for job in again.feed(piece)] == [job["body"] for job in jobs]


def test_blocks_into_a_table(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE t (a int8, b timestamptz)")
    rows = [(number, datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=number)) for number in range(10_000)]
    encoder = CopyEncoder(["int8", "timestamptz"])
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        for block in encoder.blocks(rows):
            copy.write(block)
        copy.write(encoder.close())
    assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == rows
