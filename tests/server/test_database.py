"""Statements that want the workers' own database for themselves: none of them waits for a worker."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import EXAMPLES, Server, module_of, serving

WORKER = "my_custom_worker"


@pytest.fixture(scope="module")
def server(pg: Pg) -> Iterator[Server]:
    """A server whose worker serves a database of its own, for a restart of one second."""
    with tempfile.TemporaryDirectory() as folder:
        declaration = Path(folder, "my_worker.py")
        text = (EXAMPLES / "my_worker.py").read_text()
        declaration.write_text(text.replace("restart=seconds(10)", "restart=seconds(1)"))
        module = module_of(declaration)
    with serving(pg, module, settings={"my_worker.database": "served"}, create=False) as running:
        yield running


@pytest.fixture
def served(server: Server) -> Server:
    """The server with its database, and the worker at work in it."""
    if not server.rows("SELECT 1 FROM pg_database WHERE datname = 'served'"):
        server.rows("CREATE DATABASE served")
    server.rows((EXAMPLES / "my_worker.sql").read_text(), dbname="served")
    server.rows("CREATE EXTENSION IF NOT EXISTS my_worker", dbname="served")
    eventually(lambda: works(server), within=30, what="the worker in its database")
    return server


def works(server: Server) -> bool:
    """Whether a job is done."""
    if server.pid(WORKER) is None:
        return False
    before = server.value("SELECT count(*) FROM processed", dbname="served")
    server.rows("INSERT INTO my_queue (payload) VALUES ('{}')", dbname="served")
    eventually(lambda: server.value("SELECT count(*) FROM processed", dbname="served") > before)
    return True


def timed(server: Server, statement: str) -> float:
    """How long a statement takes, in seconds; without the workers' leave it would be five."""
    began = time.monotonic()
    server.rows(statement)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("statement", "undo"),
    [
        ("CREATE DATABASE copy TEMPLATE served", "DROP DATABASE copy"),
        ("ALTER DATABASE served RENAME TO away", "ALTER DATABASE away RENAME TO served"),
        ("DROP DATABASE served", ""),
    ],
    ids=["template", "rename", "drop"],
)
def test_workers_make_way(served: Server, statement: str, undo: str) -> None:
    """The statement succeeds well before the five seconds that PostgreSQL would wait, and work goes on after it."""
    pid = served.pid(WORKER)
    assert timed(served, statement) < 4
    eventually(lambda: served.pid(WORKER) != pid)
    if undo:
        served.rows(undo)
        eventually(lambda: works(served), within=30, what="the worker back in its database")


def test_a_tablespace_is_changed(served: Server) -> None:
    """ALTER DATABASE ... SET TABLESPACE finds the database free as well."""
    folder = served.cluster.directory / "space"
    folder.mkdir()
    os.chown(folder, served.cluster.user.uid, served.cluster.user.gid)
    served.rows(f"CREATE TABLESPACE space LOCATION '{folder}'")
    try:
        assert timed(served, "ALTER DATABASE served SET TABLESPACE space") < 4
        eventually(lambda: works(served), within=30)
    finally:
        timed(served, "ALTER DATABASE served SET TABLESPACE pg_default")
        served.rows("DROP TABLESPACE space")


def test_who_may_not_drop_stops_no_worker(served: Server) -> None:
    """Trying it without the right leaves the workers where they are."""
    pid = served.pid(WORKER)
    served.rows("DO $$BEGIN IF to_regrole('nobody_much') IS NULL THEN CREATE ROLE nobody_much LOGIN; END IF; END$$")
    with served.connect(user="nobody_much") as connection:
        for statement in ("DROP DATABASE served", "ALTER DATABASE served RENAME TO x"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    assert served.pid(WORKER) == pid


def test_a_statement_that_fails_lets_workers_back(served: Server) -> None:
    """After DROP DATABASE has failed on another session, the workers connect again."""
    with served.connect("served"), pytest.raises(psycopg.errors.ObjectInUse):
        served.rows("DROP DATABASE served")
    eventually(lambda: works(served), within=30)


def test_nobody_needs_to_be_connected_before(served: Server) -> None:
    """A worker that finds no database at server start says so once, though no session has opened the catalogs yet."""
    served.rows("DROP DATABASE served")
    served.cluster.stop("fast")
    mark = served.cluster.log_lines().offset
    served.cluster.start()
    eventually(lambda: served.log('waits: database "served" does not exist', mark), within=20)
    assert len(served.log("FATAL", mark)) == 1


def test_statements_that_can_not_succeed_stop_no_worker(served: Server) -> None:
    """In its own database, or in a transaction block, DROP DATABASE fails before any worker is asked to leave."""
    pid = served.pid(WORKER)
    with pytest.raises(psycopg.errors.ObjectInUse):
        served.rows("DROP DATABASE served", dbname="served")
    with served.connect() as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            connection.execute("DROP DATABASE served")
    assert served.pid(WORKER) == pid
