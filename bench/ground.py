"""The server that the subjects of one benchmark share: PostgreSQL 18 of the embedded wheel, with our extension in it.

Durability is what PostgreSQL has by default. What differs from its defaults is in ``SETTINGS``, printed with the
results, and the same for all subjects.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgbgw.build.pgconfig import Pg, embedded_pg_config, find_server
from pgbgw.build.pgxs import build
from pgbgw.check import Target, check
from pgbgw.codegen.emit import emit
from pgbgw.declare.load import load
from pgbgw.faults.server import Server
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower
from pgbgw.server.cluster import Cluster
from pgbgw.server.embedded import throwaway_cluster

__all__ = ["PAYLOAD", "SETTINGS", "Ground", "Wal", "ground"]

DECLARATIONS = Path(__file__).parent / "declarations"

# A throw-away cluster of the tests does without these two; a benchmark must not.
_DURABLE = {"fsync": "on", "full_page_writes": "on"}

# Checkpoints and vacuum are asked for between measurements; in the middle of one they would hit one subject at random.
_STEADY = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}

SETTINGS: Mapping[str, str] = {
    **_DURABLE,
    **_STEADY,
    "shared_buffers": "512MB",
    "max_worker_processes": "32",
    "max_connections": "60",
}

# Where this cluster lies says nothing about a figure.
_PLACES = ("dynamic_library_path", "extension_control_path", "unix_socket_directories")

# The payload of every job of every subject; g is its number.
PAYLOAD = "jsonb_build_object('n', g, 'kind', 'noop', 'to', 'user@example.com')"

# Handlers that subjects share: what is compared is how jobs get to them.
_SHARED = """
CREATE EXTENSION pg_walinspect;
CREATE SCHEMA bench;
CREATE TABLE bench.written (id bigint, n integer);
CREATE FUNCTION bench.handle(job bigint, payload jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE FUNCTION bench.handle_all(job bigint[], payload jsonb[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN NULL; END';
"""


@dataclass(frozen=True, slots=True)
class Wal:
    """Bytes of WAL: of records with their headers and padding, and of the full-page images in them, which are apart."""

    records: float
    images: float


class Ground(Server):
    """The running cluster, with short ways to bring it into the state in which a measurement begins."""

    def __init__(self, cluster: Cluster, extension: str) -> None:
        super().__init__(cluster)
        self.extension = extension

    def described(self) -> dict[str, Any]:
        """The version, the settings that matter here, and all that were configured or chosen by initdb."""
        durable = ("fsync", "full_page_writes", "synchronous_commit", "wal_sync_method", "wal_level", "data_checksums")
        configured = (
            "SELECT name, current_setting(name) FROM pg_settings WHERE source = 'configuration file' ORDER BY 1"
        )
        return {
            "version": self.value("SHOW server_version"),
            "build": self.value("SELECT version()"),
            "settings": {name: self.value(f"SHOW {name}") for name in dict.fromkeys((*durable, *SETTINGS))},
            "configured": {name: value for name, value in self.rows(configured) if name not in _PLACES},
        }

    def settle(self, *tables: str) -> None:
        """Vacuum and analyze the tables, then write everything out, so that no subject pays for the one before it."""
        with self.connect() as connection:
            for table in tables:
                connection.execute(f"VACUUM (ANALYZE) {table}".encode())
            connection.execute("CHECKPOINT")

    def everywhere(self, name: str, value: str | None) -> None:
        """Set a server's setting for all sessions and workers, or take it back, and wait until new sessions have it."""
        action = "RESET {0}" if value is None else "SET {0} = '{1}'"
        self.rows(f"ALTER SYSTEM {action.format(name, value)}")
        self.rows("SELECT pg_reload_conf()")
        if value is not None:
            eventually(lambda: self.value("SELECT current_setting(%s)", [name]) == value, what=f"{name} = {value}")

    def position(self) -> str:
        """Where the next record of WAL will stand."""
        return str(self.value("SELECT pg_current_wal_insert_lsn()"))

    def wal(self, since: str) -> Wal:
        """What was written since a position; the images are counted by pg_walinspect."""
        until = self.position()
        # pg_walinspect reads what is flushed, and asynchronous commits may not be yet: the last argument is to flush.
        self.rows("SELECT pg_logical_emit_message(false, 'bench', '', true)")
        total, images = self.rows(
            "SELECT pg_wal_lsn_diff(%s, %s)::float8, coalesce(sum(fpi_size), 0)::float8 FROM pg_get_wal_stats(%s, %s)",
            [until, since, since, until],
        )[0]
        return Wal(total - images, images)


def _module(declaration: str) -> ModuleIR:
    extension = load(DECLARATIONS / f"{declaration}.py")
    assert extension is not None
    return lower(check(extension, Target(max_worker_processes=int(SETTINGS["max_worker_processes"]))))


@contextlib.contextmanager
def ground(
    declaration: str, setup: str = "", *, pg: Pg | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Ground]:
    """A server with the extension of ``declarations/<declaration>.py`` built, preloaded, created and running.

    ``setup`` is SQL for objects that the declaration expects besides the shared ones. ``pg`` is another server than
    the embedded one, ``settings`` are some of its own.

    Raises:
        StageError: the extension can't be built, or the server not be made.
    """
    module = _module(declaration)
    pg = pg or find_server(str(embedded_pg_config() or "pg_config"))
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-bench-"))
    try:
        artifact = build(emit(module), pg, folder / module.name)
        with throwaway_cluster(pg, settings={**SETTINGS, **(settings or {})}) as cluster:
            cluster.install(artifact)
            server = Ground(cluster, module.name)
            server.rows(_SHARED + setup)
            cluster.preload(module.name)
            cluster.restart()
            server.rows(f"CREATE EXTENSION {module.name}")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
