"""The fault suite on real servers, for the first scenario."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults import Check, Stage
from tests.server.faulting import every_check, passes, prepared
from tests.server.running import EXAMPLES


@pytest.fixture(scope="module")
def stage(pg: Pg) -> Iterator[Stage]:
    """The extension with probes, on a throw-away cluster."""
    with prepared(pg, EXAMPLES / "my_worker.py") as running:
        yield running


@every_check
def test_check(stage: Stage, check: Check) -> None:
    """Each check is a test of its name."""
    passes(stage, check)
