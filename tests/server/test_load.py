"""Loading into a running server: what it creates, what it waits for, and each reason that it gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build import Pg, build
from pgbgw.check import check_file
from pgbgw.codegen.emit import emit
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower
from pgbgw.observe import Subject, observe, processes
from pgbgw.server import Cluster, Installation, throwaway_cluster
from pgbgw.server.load import LoadError, connect, load

DECLARATION = """\
from pgbgw import Extension, Payload, SharedStats, Counter, seconds, sql

loaded = Extension("loaded", version="1.0")
database = loaded.string_setting("database", "postgres", context="postmaster", comment="Database.")
role = loaded.string_setting("role", "postgres", context="postmaster", comment="Role.")
faulty = loaded.bool_setting("faulty", False, comment="Whether the rounds fail.")


class Job(Payload):
    task: str


class Stats(SharedStats):
    done = Counter("Jobs done.")


stats = loaded.shared_stats("job", Stats)
jobs = loaded.queue("jobs", Job)
loaded.queue_worker(
    "worker", jobs, workers=2, database=database, role=role, run=sql("SELECT :task"), on_done=stats.done.add(1),
)
loaded.interval_worker(
    "failing", every=seconds(1), database=database, when=faulty, run=sql("SELECT public.missing()"),
)
loaded.dynamic_worker("once", run=sql("SELECT 1"))
# its runners are there when they are wanted
loaded.schedule_table("plans", runs=2, database=database)
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleIR:
    path = tmp_path_factory.mktemp("declaration") / "loaded.py"
    path.write_text(DECLARATION)
    checked, found = check_file(path)
    assert checked is not None, found
    return lower(checked)


@pytest.fixture(scope="module")
def shared(pg: Pg) -> Iterator[Cluster]:
    with throwaway_cluster(pg) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installation(shared: Cluster, module: ModuleIR, pg: Pg, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return shared.install(build(emit(module), pg, tmp_path_factory.mktemp("build") / "loaded"))


@pytest.fixture
def cluster(shared: Cluster, installation: Installation) -> Iterator[Cluster]:
    """The library installed and preloaded, the extension in no database."""
    with_settings(shared, shared_preload_libraries="loaded")
    yield shared
    with connect(shared.conninfo()) as connection:
        connection.execute("DROP EXTENSION IF EXISTS loaded")
        connection.execute("ALTER SYSTEM RESET ALL")


def with_settings(cluster: Cluster, **settings: str) -> None:
    hasty = {name: value for name, value in cluster.settings.items() if name in ("fsync", "full_page_writes")}
    cluster.set({**dict.fromkeys(cluster.settings), **hasty, **{k.replace("__", "."): v for k, v in settings.items()}})
    cluster.restart()


def refusal(cluster: Cluster, module: ModuleIR, dbname: str = "postgres", timeout: float = 0.5) -> LoadError:
    with connect(cluster.conninfo(dbname)) as connection, pytest.raises(LoadError) as caught:
        load(connection, module, timeout=timeout)
    return caught.value


def ask(cluster: Cluster, query: str, dbname: str = "postgres") -> Any:
    with connect(cluster.conninfo(dbname)) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_it_creates_the_extension_once_and_sees_every_process(cluster: Cluster, module: ModuleIR) -> None:
    with connect(cluster.conninfo()) as connection:
        first = load(connection, module)
        second = load(connection, module)
        pids = {row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL")}
    assert (first.created, second.created) == (True, False)
    assert (first.version, first.database, first.elsewhere, first.warnings) == ("1.0", "postgres", (), ())
    static = [("worker", 1), ("worker", 2), ("failing", 1), ("plans", 1)]
    assert [(each.worker, each.process) for each in first.processes] == static
    assert {each.pid for each in second.processes} <= pids


def test_a_snapshot_shows_what_runs(cluster: Cluster, module: ModuleIR) -> None:
    subject = Subject.of(module)
    with connect(cluster.conninfo()) as connection:
        before = observe(connection, subject)
        load(connection, module)
        connection.execute("INSERT INTO loaded.jobs (task) SELECT 'x' FROM generate_series(1, 10)")
        after = eventually(lambda: (seen := observe(connection, subject)).states[0].values == (("done", 10),) and seen)
    assert (before.version, before.preloaded, before.processes, before.queues) == (None, False, (), ())
    assert after
    assert (after.version, after.preloaded) == ("1.0", True)
    assert [each.worker for each in after.processes][-4:] == ["once", "plans", "plans_runner", "plans_runner"]
    assert (after.queues[0].ready, after.queues[0].later, after.queues[0].failed) == (0, 0, 0)
    assert [each.name for each in after.settings] == ["loaded.database", "loaded.role", "loaded.faulty"]


def test_files_that_are_missing_come_before_everything_else(cluster: Cluster, module: ModuleIR) -> None:
    error = refusal(cluster, replace(module, name="absent"))
    assert error.reason == "not installed"
    assert "pgbgw install" in (error.hint or "")
    other = refusal(cluster, replace(module, version="2.0"))
    assert other.reason == "not installed"
    assert "It has version 1.0 only." in (other.detail or "")


def test_not_preloaded_keeps_what_is_there_and_notices_a_pending_restart(cluster: Cluster, module: ModuleIR) -> None:
    with_settings(cluster, shared_preload_libraries="plpgsql")
    error = refusal(cluster, module)
    assert error.reason == "not preloaded"
    statement = "ALTER SYSTEM SET shared_preload_libraries = 'plpgsql', 'loaded';"
    assert statement in (error.hint or "")
    assert f"pg_ctl restart -D {cluster.data}" in (error.hint or "")
    assert ask(cluster, "SELECT count(*) FROM pg_extension WHERE extname = 'loaded'") == 0
    with connect(cluster.conninfo()) as connection:
        connection.execute(statement.encode())
    pending = refusal(cluster, module)
    assert pending.message == 'library "loaded" is not preloaded yet'
    assert "ALTER SYSTEM" not in (pending.hint or "")
    cluster.restart()
    with connect(cluster.conninfo()) as connection:
        assert load(connection, module).created
        subject = Subject.of(module)
        connection.execute("ALTER SYSTEM RESET shared_preload_libraries")
        with_settings(cluster)
    with connect(cluster.conninfo()) as connection:
        seen = observe(connection, subject)
    assert (seen.version, seen.preloaded, seen.processes) == ("1.0", False, ())


def test_the_wrong_database_is_left_alone(cluster: Cluster, module: ModuleIR) -> None:
    error = refusal(cluster, module, "template1")
    assert error.reason == "database"
    assert '"postgres"' in (error.detail or "")
    assert "loaded.database = 'template1'" in (error.hint or "")
    assert ask(cluster, "SELECT count(*) FROM pg_extension WHERE extname = 'loaded'", "template1") == 0


def test_another_version_in_the_database_is_told(
    cluster: Cluster, module: ModuleIR, installation: Installation
) -> None:
    script = next(path for path in installation.files if path.suffix == ".sql")
    newer = script.with_name("loaded--1.1.sql")
    shutil.copy(script, newer)
    try:
        with connect(cluster.conninfo()) as connection:
            load(connection, module)
        error = refusal(cluster, replace(module, version="1.1"))
    finally:
        newer.unlink()
    assert error.reason == "version"
    assert 'has version 1.0 in database "postgres"' in error.message


def test_no_slot_is_told_with_a_number_that_helps(cluster: Cluster, module: ModuleIR) -> None:
    with_settings(cluster, shared_preload_libraries="loaded", max_worker_processes="2")
    error = refusal(cluster, module)
    assert error.reason == "slots"
    statement = next(line for line in (error.hint or "").splitlines() if "ALTER SYSTEM" in line)
    with_settings(cluster, shared_preload_libraries="loaded", max_worker_processes=statement.split()[-1].strip(';"'))
    with connect(cluster.conninfo()) as connection:
        assert len(load(connection, module).processes) == 4


def test_a_role_that_is_missing_is_told(cluster: Cluster, module: ModuleIR) -> None:
    with_settings(cluster, shared_preload_libraries="loaded", loaded__role="ghost")
    error = refusal(cluster, module)
    assert error.reason == "role"
    assert 'role "ghost" does not exist' in error.message
    assert "setting loaded.role" in (error.detail or "")


def test_a_worker_that_fails_is_no_running_worker(cluster: Cluster, module: ModuleIR) -> None:
    subject = Subject.of(module)
    with connect(cluster.conninfo()) as connection:
        load(connection, module)
        connection.execute("ALTER SYSTEM SET loaded.faulty = on")
        connection.execute("SELECT pg_reload_conf()")
        eventually(lambda: any(each.state == "backing off" for each in processes(connection, subject)))
    error = refusal(cluster, module)
    assert error.reason == "failing"
    assert "server log" in (error.hint or "")


def test_a_role_that_may_not_create_is_told_in_the_words_of_the_server(cluster: Cluster, module: ModuleIR) -> None:
    with connect(cluster.conninfo()) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
    as_plain = cluster.conninfo().replace("user='postgres'", "user='plain'")
    try:
        with connect(as_plain) as connection, pytest.raises(LoadError) as caught:
            load(connection, module)
    finally:
        with connect(cluster.conninfo()) as connection:
            connection.execute("DROP ROLE plain")
    assert caught.value.reason == "refused"
    assert "Permission denied to create extension" in (caught.value.detail or "")
    assert "superuser" in (caught.value.hint or "")


def test_a_connection_in_a_transaction_is_a_mistake_of_the_program(cluster: Cluster, module: ModuleIR) -> None:
    with psycopg.connect(cluster.conninfo()) as connection, pytest.raises(ValueError, match="autocommit"):
        load(connection, module)


@pytest.mark.parametrize("dsn", ["host=/nonexistent", "no=such option", "postgresql://["])
def test_connecting_fails_with_a_reason_and_a_way_out(dsn: str) -> None:
    with pytest.raises(LoadError) as caught:
        connect(dsn)
    assert caught.value.detail
    assert caught.value.hint


def test_the_folder_of_the_server_is_its_own(cluster: Cluster, installation: Installation, pg: Pg) -> None:
    assert not any(Path(pg.sharedir) in path.parents for path in installation.files)
