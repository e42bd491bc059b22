"""A standby: what runs in recovery, what begins with the promotion, and what was under way on the primary by then."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from pgbgw.server.embedded import throwaway_cluster
from tests.server.running import Server, module_of, serving
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


@contextlib.contextmanager
def following(primary: Server) -> Iterator[Server]:
    """A standby that streams from a primary."""
    here = primary.cluster
    with throwaway_cluster(here.pg, start=False) as cluster:
        shutil.rmtree(cluster.data)
        cluster.data.mkdir()
        cluster.user.own(cluster.data)
        shutil.copytree(here.extension_dir(), cluster.extension_dir(), dirs_exist_ok=True)
        command: list[str | Path] = [
            here.pg.program("pg_basebackup"),
            "-D",
            cluster.data,
            "-d",
            here.conninfo(),
            "-c",
            "fast",
            "-R",
        ]
        made = here.user.run(command, cwd=cluster.directory)
        assert made.returncode == 0, made.stdout
        cluster.set(here.settings)
        cluster.start()
        yield Server(cluster)


def test_schedules_around_promotion(pg: Pg) -> None:
    """The primary is killed in the middle of runs: one is begun anew, one is lost, and nothing ran before."""
    setup = (DECLARATIONS / "rota.sql").read_text()
    with serving(pg, module_of(DECLARATIONS / "rota.py"), setup) as primary, following(primary) as standby:
        states = "SELECT DISTINCT state, pid FROM rota.workers()"
        # others come by the clock in the middle of the test
        runs = "rota.schedule_runs WHERE schedule IN ('nightly', 'vacuum')"
        under_way = f"SELECT schedule, due FROM {runs} AND outcome = 'running'"
        primary.rows("UPDATE orders SET held = true")
        connection = primary.connect()
        connection.execute("BEGIN; LOCK TABLE noted IN SHARE UPDATE EXCLUSIVE MODE")
        primary.rows("SELECT rota.run_schedule('nightly'), rota.run_schedule('vacuum')")
        eventually(lambda: len(primary.rows(under_way)) == 2, what="both runs")
        begun = primary.rows(f"{under_way} ORDER BY id")
        eventually(lambda: standby.rows(f"{under_way} ORDER BY id") == begun, what="the runs on the standby")
        assert standby.rows(states) == [("stopped", None)]
        # the session with the lock may end before the worker that waits for it, which would be done then
        vacuum = primary.pid("rota vacuum")
        assert vacuum is not None
        os.kill(vacuum, signal.SIGSTOP)
        os.kill(primary.cluster.status().pid or 0, signal.SIGKILL)
        os.kill(vacuum, signal.SIGKILL)
        connection.close()
        assert standby.value("SELECT count(*) FROM noted WHERE by = 'nightly'") == 0
        standby.rows("SELECT pg_promote()")
        busy = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rota nightly' AND wait_event = 'PgSleep'"
        eventually(lambda: standby.rows(busy), 20, "the run on the new primary")
        standby.rows("UPDATE orders SET held = false")
        outcomes = f"SELECT schedule, due, outcome FROM {runs} ORDER BY id"
        ended = {"nightly": "done", "vacuum": "lost"}
        wanted = [(name, due, ended[name]) for name, due in begun]
        eventually(lambda: standby.rows(outcomes) == wanted, 20, "the ends of both")
        assert standby.value("SELECT count(*) FROM noted WHERE by = 'nightly'") == 1
        # no time came twice, before or after
        twice = "SELECT due FROM rota.schedule_runs WHERE schedule = 'often' GROUP BY due HAVING count(*) > 1"
        last = standby.value("SELECT max(due) FROM rota.schedule_runs WHERE schedule = 'often'")
        eventually(lambda: standby.value("SELECT max(due) FROM rota.schedule_runs WHERE schedule = 'often'") > last)
        assert standby.rows(twice) == []


def test_a_table_of_schedules_around_promotion(pg: Pg) -> None:
    """The same for runs of a table: its scheduler knows of what the primary has begun."""
    setup = (DECLARATIONS / "crontab.sql").read_text()
    with serving(pg, module_of(DECLARATIONS / "crontab.py"), setup) as primary, following(primary) as standby:
        primary.rows("INSERT INTO held VALUES ('cut'), ('halves')")
        with primary.connect() as connection:
            connection.execute("SET ROLE alice")
            query = "SELECT crontab.jobs_schedule(%s, '0 0 1 1 *', %s, transaction => %s), crontab.jobs_run(%s)"
            connection.execute(query, ["cut", "SELECT public.hold('cut')", True, "cut"])
            connection.execute(query, ["halves", "CALL public.by_halves('halves')", False, "halves"])
        # both sleep, and the first half of one is there
        sleeping = "SELECT FROM pg_stat_activity WHERE backend_type = 'crontab jobs runner' AND wait_event = 'PgSleep'"
        eventually(lambda: len(primary.rows(sleeping)) == 2, what="both runs")
        halves = "SELECT what FROM noted ORDER BY id"
        eventually(lambda: standby.rows(halves) == [("halves one",)], what="the first half on the standby")
        assert standby.rows(sleeping) == []
        os.kill(primary.cluster.status().pid or 0, signal.SIGKILL)
        standby.rows("SELECT pg_promote()")
        eventually(lambda: len(standby.rows(sleeping)) == 1, 20, "the run that is begun anew")
        standby.rows("DELETE FROM held")
        outcomes = (
            "SELECT name, outcome, attempts FROM crontab.jobs_runs AS r JOIN crontab.jobs AS s ON s.id = schedule"
            " ORDER BY name"
        )
        wanted = [("cut", "done", 2), ("halves", "lost", 1)]
        eventually(lambda: standby.rows(outcomes) == wanted, 20, "the ends of both")
        assert standby.rows(halves) == [("halves one",), ("cut",)]
