"""A server with an extension in it: what most server tests begin with."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from pgbgw.build.pgconfig import Pg
from pgbgw.build.pgxs import Artifact, build
from pgbgw.check import Target, check
from pgbgw.codegen.emit import emit
from pgbgw.declare.load import load
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower
from pgbgw.server.cluster import Cluster
from pgbgw.server.embedded import throwaway_cluster
from tests.server.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


def module_of(declaration: Path) -> ModuleIR:
    """The middle form of a declaration."""
    extension = load(declaration)
    assert extension is not None
    return lower(check(extension, Target(max_worker_processes=64)))


def compile_for(pg: Pg, module: ModuleIR, folder: Path) -> Artifact:
    """The extension, compiled for a server."""
    return build(emit(module), pg, folder / f"{module.name}-{pg.major}")


class Server:
    """A running cluster, and short ways to ask it things."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def connect(self, dbname: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A session in autocommit."""
        return psycopg.connect(self.cluster.conninfo(dbname), autocommit=True, **options)

    def rows(self, sql: str, parameters: Sequence[Any] = (), dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """What a statement returns, in a session of its own."""
        with self.connect(dbname) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, parameters: Sequence[Any] = (), dbname: str = "postgres") -> Any:
        """The first column of the first row."""
        return self.rows(sql, parameters, dbname)[0][0]

    def pid(self, backend_type: str) -> int | None:
        """The pid of a worker that is connected, by what pg_stat_activity calls it."""
        found = self.rows("SELECT pid FROM pg_stat_activity WHERE backend_type = %s", [backend_type])
        return found[0][0] if found else None

    def log(self, pattern: str, since: int = 0) -> list[str]:
        """Lines of the server log that match."""
        return [line for line in self.cluster.log_lines(since).lines if re.search(pattern, line)]

    def mark(self) -> int:
        """Where the log ends now."""
        return self.cluster.log_lines().offset

    def set(self, **settings: str) -> None:
        """ALTER SYSTEM and reload; a double underscore stands for the dot."""
        with self.connect() as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name.replace('__', '.')} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")

    def reset(self) -> None:
        """Undo every set()."""
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def serving(
    pg: Pg,
    module: ModuleIR,
    setup: str = "",
    *,
    settings: Mapping[str, str] | None = None,
    create: bool = True,
) -> Iterator[Server]:
    """A throw-away server with the extension preloaded, its user's objects made, and the extension created."""
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-tree-"))
    try:
        artifact = compile_for(pg, module, folder)
        with throwaway_cluster(pg, settings={"log_min_messages": "info", **(settings or {})}) as cluster:
            cluster.install(artifact)
            server = Server(cluster)
            if setup:
                server.rows(setup)
            cluster.preload(module.name)
            cluster.restart()
            if create:
                server.rows(f"CREATE EXTENSION {module.name}")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def crash_recovered(server: Server, since: int) -> bool:
    """Whether the server has come back from a crash after a point of its log."""
    if not server.log("all server processes terminated; reinitializing", since):
        return False
    try:
        return server.value("SELECT NOT pg_is_in_recovery()") is True
    except psycopg.OperationalError:
        return False


def wait_for_crash_recovery(server: Server, since: int) -> None:
    """Wait until the server is back."""
    eventually(lambda: crash_recovered(server, since), within=30, what="crash recovery")
