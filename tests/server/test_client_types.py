"""Types that the core has no reader for, and those that a database has made: text goes in, and text comes out."""

from __future__ import annotations

import asyncio
import importlib
import pickle
from collections.abc import Iterator
from typing import Any

import psycopg
import psycopg_pool
import pyarrow
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, Mismatch, connect
from pgbgw.declare.load import load
from tests.server.declarations import kept as declared
from tests.server.posts import FOLDER, conninfo
from tests.server.running import Server, module_of, serving

# The package has a function of that name.
STREAM = importlib.import_module("pgbgw.client.stream")

OWN = declared.Own(state="so, so", states=["so", "so, so"], size=7, near="far", more=["near"])


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    setup = (FOLDER / "kept.sql").read_text()
    with serving(pg, module_of(FOLDER / "kept.py"), setup) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    for table in ("own", "own_running", "written", "written_running"):
        running.rows(f"DELETE FROM kept.{table}")


# names


@pytest.mark.parametrize("path", ['"$user", public', "", 'kept, aside, "Out of Sight"', "public, pg_catalog"])
def test_types_are_told_by_their_schema_whatever_is_searched(server: Server, path: str) -> None:
    with server.connect() as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [path])
        declared.own.verify(connection)
        declared.written.verify(connection)
        declared.own.enqueue(connection, OWN)
        assert declared.own.enqueue_many(connection, [OWN]) == 1
        jobs = declared.own.claim(connection, 5)
        assert [job.payload for job in jobs] == [OWN, OWN]
        assert declared.own.acknowledge(connection, jobs) == []


def test_a_type_of_the_same_name_in_another_schema_is_another(server: Server, tmp_path: Any) -> None:
    source = (FOLDER / "kept.py").read_text().replace('list[str] | None, "mood[]"', 'list[str] | None, "public.mood[]"')
    (tmp_path / "kept.py").write_text(source)
    extension = load(tmp_path / "kept.py")
    assert extension is not None
    with server.connect() as connection:
        with pytest.raises(Mismatch) as raised:
            extension.queues[0].verify(connection)
        assert str(raised.value).count("column ") == 1
        assert "column more is declared as public.mood[] and installed as kept.mood[]" in str(raised.value)


def test_a_queue_of_types_of_its_own_is_consumed(server: Server) -> None:
    seen: list[Any] = []
    with server.connect() as connection:
        declared.own.enqueue(connection, OWN)
    declared.own.consume(conninfo(server), seen.append, until_empty=True)
    assert seen == [OWN]


# values

VALUES: dict[str, Any] = {
    "moods": ["good", None, 'so, "so"', "bäd"],
    "labels": ["a", "", "{,}"],
    "favourites": ["bäd"],
    "pair": '(7,"a b")',
    "pairs": ['(1,"x, y")', "(,)"],
    "card": "08:00:2b:01:02:03",
    "cards": ["08:00:2b:01:02:03"],
    "span": "[1,5)",
    "spans": ["[1,5)", "empty"],
    "bits": "10110",
    "price": "$1,234.50",
    "prices": ["$0.07", "-$1.00"],
    "place": "(1,2.5)",
    "places": ["(0,0)", "(-1,1e+20)"],
    "numbers": [1, None, 2**62],
    "number": 99,
    "favourite": 'so, "so"',
    "raw": b"\\x\0\xff",
    "raws": [b"", b"\0"],
}
NONE = VALUES | {"moods": [], "favourites": [], "numbers": [], "pairs": [], "favourite": None}
JOBS = [declared.Written(**VALUES), declared.Written(**NONE)]
ROWS = [VALUES, NONE]

FORMS = ("jobs", "tuples", "columns")


def put(connection: psycopg.Connection[Any]) -> None:
    """A job by each way in."""
    connection.execute("SET lc_monetary TO 'C'")
    declared.written.enqueue(connection, JOBS[0])
    assert declared.written.enqueue_many(connection, JOBS[1:]) == 1


def read(form: str, pieces: list[Any]) -> list[dict[str, Any]]:
    """The payloads of what was read in some form."""
    if form == "jobs":
        return [vars(job.payload) for piece in pieces for job in piece]
    if form == "tuples":
        return [dict(zip(VALUES, row[1:], strict=False)) for piece in pieces for row in piece]
    found = pyarrow.Table.from_batches([pyarrow.record_batch(piece) for piece in pieces])
    return [{name: row[name] for name in VALUES} for row in found.to_pylist()]


def test_what_goes_in_as_text_is_claimed_as_text(server: Server) -> None:
    with server.connect() as connection:
        put(connection)
        # prepared by then, and looked up before
        for _ in range(2):
            jobs = declared.written.claim(connection, 5)
            assert [vars(job.payload) for job in jobs] == ROWS
            assert jobs[0].raw("card") == b"08:00:2b:01:02:03"
            assert [job.payload for job in pickle.loads(pickle.dumps(jobs))] == JOBS
            assert declared.written.release(connection, jobs) == []
        # and goes in again as it came
        assert declared.written.enqueue_many(connection, [job.payload for job in jobs]) == 2
        for job in jobs:
            declared.written.enqueue(connection, job.payload)
        jobs = declared.written.claim(connection, 10)
        assert [vars(job.payload) for job in jobs] == ROWS * 3
        assert declared.written.acknowledge(connection, jobs) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tapped", [True, False])
@pytest.mark.parametrize("exclusive", [True, False])
def test_what_goes_in_as_text_is_read_as_text(
    server: Server, form: Any, tapped: bool, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tapped:
        monkeypatch.setattr(STREAM, "can_tap", lambda connection: False)
    with server.connect() as connection:
        put(connection)
        pieces = list(declared.written.stream(connection, form=form, exclusive=exclusive))
        assert read(form, pieces) == ROWS
        # all columns, in the order of the table
        names = [row[0] for row in server.rows(_NAMES)]
        if form == "tuples":
            assert [len(row) for row in pieces[0]] == [len(names)] * 2
        if form == "columns":
            assert list(pieces[0].names) == names
        jobs = declared.written.claim(connection, 5)
        assert read(form, list(declared.written.stream(connection, "running", form=form))) == ROWS
        assert declared.written.acknowledge(connection, jobs) == []


_NAMES = """
SELECT attname FROM pg_attribute
WHERE attrelid = 'kept.written'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["autocommit", "transaction", "pool"])
def test_asynchronous_connections_get_text_as_well(server: Server, kind: str, form: Any) -> None:
    with server.connect() as connection:
        put(connection)

    async def use(given: Any) -> list[Any]:
        pieces = [piece async for piece in declared.written.stream(given, form=form, size=1)]
        assert [len(piece) for piece in pieces] == [1, 1]
        jobs = await declared.written.claim(given, 5)
        assert [vars(job.payload) for job in jobs] == ROWS
        assert await declared.written.acknowledge(given, jobs) == []
        return pieces

    async def go() -> list[Any]:
        if kind == "pool":
            async with psycopg_pool.AsyncConnectionPool(conninfo(server), min_size=1, open=False) as pool:
                return await use(pool)
        made = psycopg.AsyncConnection.connect(conninfo(server), autocommit=kind == "autocommit")
        async with await made as connection:
            return await use(connection)

    assert read(form, asyncio.run(go())) == ROWS


def test_a_queue_by_name_gives_text_as_well(server: Server) -> None:
    with connect(conninfo(server)) as database:
        database.connection.execute("SET lc_monetary TO 'C'")
        queue = database.queue("written")
        queue.enqueue(VALUES)
        assert queue.enqueue_many([NONE]) == 1
        assert [job.payload for piece in queue.stream() for job in piece] == ROWS
        jobs = queue.claim(5)
        assert [job.payload for job in jobs] == ROWS
        assert queue.acknowledge(jobs) == []


def test_a_queue_of_such_values_is_consumed(server: Server) -> None:
    seen: list[Any] = []
    with server.connect() as connection:
        put(connection)
    declared.written.consume(conninfo(server), seen.append, until_empty=True)
    assert seen == JOBS


def test_columns_are_looked_up_in_a_pipeline_and_for_a_role_that_may_claim(server: Server) -> None:
    with server.connect() as connection:
        put(connection)
        with connection.pipeline():
            jobs = declared.written.claim(connection, 5)
        assert [vars(job.payload) for job in jobs] == ROWS
        assert declared.written.release(connection, jobs) == []
    with server.connect() as connection:
        connection.execute("SET ROLE nobody_much")
        with pytest.raises(ClientError, match="is not for this role"):
            declared.own.claim(connection)
        assert [vars(job.payload) for job in declared.written.claim(connection, 5)] == ROWS


def test_columns_are_looked_up_once_for_claims(server: Server) -> None:
    with server.connect() as connection:
        put(connection)
        connection.execute("SET log_statement TO 'all'")
        mark = server.mark()
        for _ in range(3):
            declared.written.release(connection, declared.written.claim(connection))
        connection.execute("SELECT 'the end'")
        server.told("the end", mark)
        assert len(server.log("WITH RECURSIVE seen", mark)) == 1
