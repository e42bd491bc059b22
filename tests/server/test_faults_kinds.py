"""The fault suite on real servers, for a declaration with a worker of each kind and option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults import Check, Stage
from tests.server.faulting import every_check, passes, prepared


@pytest.fixture(scope="module")
def stage(pg: Pg) -> Iterator[Stage]:
    """The extension with probes, on a throw-away cluster."""
    with prepared(pg, Path(__file__).parent / "declarations" / "kinds.py") as running:
        yield running


@every_check
def test_check(stage: Stage, check: Check) -> None:
    """Each check is a test of its name."""
    passes(stage, check)
