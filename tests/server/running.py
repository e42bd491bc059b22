"""A server with an extension in it: what most server tests begin with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pgbgw.build.pgconfig import Pg
from pgbgw.build.pgxs import Artifact, build
from pgbgw.check import Target, check
from pgbgw.codegen.emit import emit
from pgbgw.declare.load import load
from pgbgw.faults.server import Server
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower
from pgbgw.server.embedded import throwaway_cluster

__all__ = ["EXAMPLES", "Server", "compile_for", "module_of", "serving"]

EXAMPLES = Path(__file__).parents[2] / "examples"


def module_of(declaration: Path) -> ModuleIR:
    """The middle form of a declaration."""
    extension = load(declaration)
    assert extension is not None
    return lower(check(extension, Target(max_worker_processes=64)))


def compile_for(pg: Pg, module: ModuleIR, folder: Path) -> Artifact:
    """The extension, compiled for a server."""
    return build(emit(module), pg, folder / f"{module.name}-{pg.major}")


@contextmanager
def serving(
    pg: Pg,
    module: ModuleIR,
    setup: str = "",
    *,
    settings: Mapping[str, str] | None = None,
    create: bool = True,
    initdb_options: Sequence[str] = (),
) -> Iterator[Server]:
    """A throw-away server with the extension preloaded, its user's objects made, and the extension created."""
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-tree-"))
    try:
        artifact = compile_for(pg, module, folder)
        told = {"log_min_messages": "info", **(settings or {})}
        with throwaway_cluster(pg, settings=told, initdb_options=initdb_options) as cluster:
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
