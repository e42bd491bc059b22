"""pg_dump and restore: the jobs of a queue, waiting and given up, and its sequence come along."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.conftest import client_for
from tests.server.running import EXAMPLES, module_of, serving


def _run(program: Path, *arguments: str, given: str = "") -> str:
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dump_and_restore(pg: Pg) -> None:
    """Every job of every state is in the restored database, and new ids go on from where they were."""
    setup = (EXAMPLES / "my_worker.sql").read_text()
    with serving(pg, module_of(EXAMPLES / "my_worker.py"), setup) as server:
        server.set(my_worker__enabled="off")
        eventually(lambda: server.value("SELECT state FROM my_worker_workers() LIMIT 1") == "paused")
        server.rows("""
            INSERT INTO my_queue (payload) SELECT jsonb_build_object('n', g) FROM generate_series(1, 5) AS g;
            INSERT INTO my_queue_later (id, payload, attempt, created_at, run_at, error, sqlstate)
                VALUES (100, NULL, 1, now(), now() + interval '1 day', 'e', 'P0001');
            INSERT INTO my_queue_failed (id, payload, attempts, created_at, error, sqlstate)
                VALUES (101, '{}', 3, now(), 'f', 'P0002')""")
        jobs = "SELECT * FROM my_queue_jobs ORDER BY id"
        before = server.rows(jobs)
        assert len(before) == 7
        server.rows("CREATE DATABASE restored")
        dump = _run(pg.program("pg_dump"), "-d", server.cluster.conninfo())
        psql = client_for(pg).program("psql")
        _run(psql, "-v", "ON_ERROR_STOP=1", "-q", "-d", server.cluster.conninfo("restored"), given=dump)
        assert server.rows(jobs, dbname="restored") == before
        new = server.value("INSERT INTO my_queue (payload) VALUES ('{}') RETURNING id", dbname="restored")
        assert new == 6
