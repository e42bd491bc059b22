"""Start times on a standby: what runs in recovery, and what begins with the promotion."""

from __future__ import annotations

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import module_of, serving
from tests.server.test_kinds import DECLARATIONS, pids, state


def test_start_times_around_promotion(pg: Pg) -> None:
    """In recovery: workers from postmaster start and from consistency. After promotion: all, and jobs are done."""
    setup = (DECLARATIONS / "kinds.sql").read_text()
    with serving(pg, module_of(DECLARATIONS / "kinds.py"), setup, settings={"max_worker_processes": "24"}) as server:
        eventually(lambda: state(server, "taker") == ["idle", "idle"])
        cluster = server.cluster
        cluster.stop("fast")
        (cluster.data / "standby.signal").touch()
        mark = server.mark()
        cluster.start()
        assert server.value("SELECT pg_is_in_recovery()")
        eventually(lambda: state(server, "reader") == ["idle"] and server.log('"kinds sampler" started', mark))
        assert pids(server, "taker") == [None, None]
        assert pids(server, "tick") == [None]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="during recovery"):
            server.rows("SELECT kinds.launch_quiet(1)")
        server.rows("SELECT pg_promote()")
        eventually(lambda: state(server, "taker") == ["idle", "idle"], within=20, what="the takers")
        server.rows("INSERT INTO kinds.letters (subject, size) VALUES ('promoted', 1)")
        eventually(lambda: server.value("SELECT count(*) FROM taken WHERE line LIKE '%promoted%'") == 1)
