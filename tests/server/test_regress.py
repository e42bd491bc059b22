"""``make installcheck``, as a packager runs it: the emitted regression test passes on a server with the extension."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.build.pgxs import make_environment
from pgbgw.server.embedded import throwaway_cluster
from tests.golden import emitted
from tests.server.conftest import client_for
from tests.server.running import Server, compile_for

# What the extension wants of its server before it can be created there.
SETUP = {"roles_and_databases": 'CREATE ROLE clerk; CREATE ROLE "O\'Hara"'}


@pytest.mark.parametrize(
    "case",
    ["my_worker", "everything", "settings_all_kinds", "shared_all_fields", "custom_names", "roles_and_databases"],
)
def test_installcheck(case: str, pg: Pg, tmp_path: Path) -> None:
    """pg_regress compares what psql prints with what was emitted as expected."""
    module = emitted.module(case)
    artifact = compile_for(pg, module, tmp_path)
    # more slots than PostgreSQL's default, for the many workers of some cases
    with throwaway_cluster(pg, settings={"max_worker_processes": "20"}) as cluster:
        cluster.install(artifact)
        server = Server(cluster)
        if case in SETUP:
            server.rows(SETUP[case])
        cluster.preload(module.name)
        cluster.restart()
        with server.connect() as connection:
            info = connection.info
            where = {"PGHOST": info.host, "PGPORT": str(info.port), "PGUSER": info.user, "PGDATABASE": "postgres"}
        command = ["make", "--no-print-directory", f"PG_CONFIG={client_for(pg).pg_config}", "installcheck"]
        ran = subprocess.run(
            command, cwd=artifact.directory, env={**make_environment(), **where}, capture_output=True, text=True
        )
    differences = artifact.directory / "regression.diffs"
    shown = differences.read_text() if differences.exists() else ""
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}{shown}"
    assert os.path.exists(artifact.directory / "results" / f"{module.name}.out")


def test_names_and_comments_reach_the_catalog(pg: Pg, tmp_path: Path) -> None:
    """What CREATE EXTENSION would replace is kept, and so is what is not ASCII, also in a database of Latin-1."""
    module = emitted.module("custom_names")
    artifact = compile_for(pg, module, tmp_path)
    with throwaway_cluster(pg) as cluster:
        cluster.install(artifact)
        server = Server(cluster)
        server.rows("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
        server.rows("CREATE EXTENSION odd", dbname="latin")
        views = server.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = %s::regnamespace ORDER BY relname",
            ['"The ""Schema"""'],
            "latin",
        )
        assert views == [('100% "view"',), ("The @extschema@ jobs?",)]
        comments = server.rows("SELECT description FROM pg_description WHERE description LIKE '%%macro%%'", (), "latin")
        assert comments == [("A macro of C; neither @extowner@ nor MODULE_PATHNAME is one.",)]
        launch = server.rows("SELECT proname, probin FROM pg_proc WHERE prosrc = 'odd_launch_int'", (), "latin")
        assert launch == [("Läunch", "$libdir/odd")]
        comment = "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'odd'"
        assert server.value(comment, (), "latin") == module.comment
