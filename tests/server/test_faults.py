"""The fault suite on real servers: the first scenario, and a declaration with a worker of each kind and option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults import CHECKS, Check, Stage, run_checks, staged
from pgbgw.server import Cluster
from pgbgw.server.load import connect
from tests.server.running import EXAMPLES, module_of

KINDS = Path(__file__).parent / "declarations" / "kinds.py"


@pytest.fixture(scope="module", params=[EXAMPLES / "my_worker.py", KINDS], ids=["my_worker", "kinds"])
def stage(request: pytest.FixtureRequest, pg: Pg) -> Iterator[Stage]:
    """The extension with probes, on a throw-away cluster."""
    script = request.param.with_suffix(".sql").read_bytes()

    def prepare(cluster: Cluster, database: str) -> None:
        # Not by run_setup(), whose psql a server may lack.
        with connect(cluster.conninfo(database)) as connection:
            connection.execute(script)

    with staged(pg, module_of(request.param), prepare=prepare) as running:
        yield running


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.name)
def test_check(stage: Stage, check: Check) -> None:
    """What the check says; one that does not apply to the declaration has a reason."""
    (row,) = run_checks(stage, [check])
    assert row.outcome != "failed", "\n".join([row.seen, *row.log])
    assert row.seen
