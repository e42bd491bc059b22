"""The extension where its library is not preloaded: every function says so, and nothing crashes or is lost."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.server.embedded import throwaway_cluster
from tests.server.running import EXAMPLES, Server, compile_for, module_of


@pytest.fixture(scope="module")
def server(pg: Pg, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the extension installed and created, and no preload."""
    artifact = compile_for(pg, module_of(EXAMPLES / "my_worker.py"), tmp_path_factory.mktemp("tree"))
    with throwaway_cluster(pg) as cluster:
        cluster.install(artifact)
        yield Server(cluster)


def test_create_extension_warns(server: Server) -> None:
    """CREATE EXTENSION works, for pg_restore's sake, and says what to add."""
    notices: list[tuple[str | None, str | None, str | None]] = []
    with server.connect() as connection:
        connection.add_notice_handler(lambda n: notices.append((n.severity, n.message_primary, n.message_hint)))
        connection.execute("CREATE EXTENSION my_worker")
    severity, message, hint = notices[-1]
    assert severity == "WARNING"
    assert message == 'the workers of "my_worker" will not run: the library is not preloaded'
    assert "shared_preload_libraries" in (hint or "")


@pytest.mark.parametrize(
    "function",
    [
        "my_worker_request_shutdown()", "my_worker_resume()", "get_worker_stats()", "my_worker_workers()",
        "launch_dynamic_worker(1)",
    ],
)  # fmt: skip
def test_every_function_names_the_line_to_add(server: Server, function: str) -> None:
    """A clean error with SQLSTATE 55000 and the setting, in one session after the other."""
    for _ in range(2):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="must be loaded via") as caught:
            server.rows(f"SELECT * FROM {function}")
        assert "'my_worker'" in (caught.value.diag.message_hint or "")


def test_enqueueing_works(server: Server) -> None:
    """Jobs are kept until there are workers."""
    server.rows("INSERT INTO my_queue (payload) VALUES ('{}')")
    assert server.rows("SELECT status FROM my_queue_jobs") == [("ready",)]


def test_settings_that_need_no_preload_exist(server: Server) -> None:
    """The library in one session: postmaster settings are not defined there, the session lives on."""
    with server.connect() as connection:
        connection.execute("LOAD 'my_worker'")
        assert connection.execute("SHOW my_worker.naptime").fetchall() == [("10s",)]
        with pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute("SHOW my_worker.database")
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
