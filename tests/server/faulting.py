"""The fault suite under pytest: a declaration on a stage, and each check a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults import CHECKS, Check, Stage, run_checks, staged
from pgbgw.server import Cluster
from pgbgw.server.load import connect
from tests.server.running import module_of

__all__ = ["every_check", "passes", "prepared"]


@contextmanager
def prepared(pg: Pg, declaration: Path) -> Iterator[Stage]:
    """The extension of a declaration with probes, on a throw-away cluster."""
    script = declaration.with_suffix(".sql").read_bytes()

    def prepare(cluster: Cluster, database: str) -> None:
        # Not by run_setup(), whose psql a server may lack.
        with connect(cluster.conninfo(database)) as connection:
            connection.execute(script)

    with staged(pg, module_of(declaration), prepare=prepare) as running:
        yield running


def passes(stage: Stage, check: Check) -> None:
    """What the check says; one that does not apply to the declaration has a reason."""
    (row,) = run_checks(stage, [check])
    assert row.outcome != "failed", "\n".join([row.seen, *row.log])
    assert row.seen


every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
