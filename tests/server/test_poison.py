"""A job that crashes the server is found, and set aside; the cluster lives on and the others are done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.mutants.mutant import Mutant, mutated
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"

SETUP = """
CREATE TABLE public.handled (job bigint);
CREATE FUNCTION public.dereference() RETURNS integer LANGUAGE c AS '$libdir/poison', 'dereference';
CREATE FUNCTION public.handle(id bigint, deadly boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF handle.deadly THEN
        PERFORM public.dereference();
    END IF;
    INSERT INTO public.handled (job) VALUES (handle.id);
END
$$;
"""


@pytest.fixture
def server(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "poison.py"), settings={"restart_after_crash": "on"}) as running:
        running.rows(SETUP)
        yield running


# So soon others go on beside a job that was noted; it is five seconds otherwise.
SHORT_TURNS = Mutant(
    "short_turns", (), "Turns are short.", "careful.c.in", "#define TURN_TIME\t\t5000", "#define TURN_TIME\t\t200", (),
)  # fmt: skip


def settled(server: Server, query: str, expected: object, within: float = 60.0) -> None:
    """Wait for the answer to a query, through crashes."""

    def there() -> bool:
        try:
            return bool(server.value(query) == expected)
        except psycopg.OperationalError:
            return False

    eventually(there, within, f"{query} is {expected}")


def crashed(server: Server, times: int) -> None:
    """Wait until the server has recovered so many times."""
    eventually(lambda: len(server.log("all server processes terminated; reinitializing")) >= times, 30)
    eventually(lambda: len(server.log("database system is ready to accept connections")) >= times + 2, 30)


def stand_still(server: Server) -> None:
    """Ask the workers to, and wait until no round that has begun before can take a job."""
    server.rows("SELECT poison.request_shutdown()")
    restless = "SELECT count(*) FROM poison.workers() WHERE state <> 'paused'"
    eventually(lambda: server.value(restless) == 0, what="workers that stand still")


def let_go(server: Server, insert: str) -> None:
    """Put jobs in while the workers stand still; then let them go, which may be the end of this connection."""
    stand_still(server)
    server.rows(insert)
    with contextlib.suppress(psycopg.OperationalError):
        server.rows("SELECT poison.resume()")


def test_a_job_that_crashes_the_server_is_set_aside(server: Server) -> None:
    """After three crashes; its neighbours, and those of another queue, are done once and blamed for nothing."""
    let_go(
        server,
        "INSERT INTO poison.others (deadly) SELECT false FROM generate_series(1, 3);"
        "INSERT INTO poison.jobs (deadly) SELECT g = 3 FROM generate_series(1, 12) AS g",
    )
    crashed(server, 3)
    settled(server, "SELECT count(*) FROM poison.jobs_failed", 1)
    rows = server.rows("SELECT id, deadly, error, sqlstate FROM poison.jobs_failed")
    assert rows == [(3, True, "the server crashed while this job ran, 3 times", "57P02")]
    settled(server, "SELECT count(*) FROM handled", 11 + 3)
    assert server.value("SELECT count(*) FROM poison.jobs_jobs") == 1
    assert server.value("SELECT count(*) FROM poison.jobs_suspects") == 0
    assert server.value("SELECT count(*) FROM poison.others_jobs") == 0
    assert len(server.log("was terminated by signal 11")) == 3
    assert server.value("SELECT given_up FROM poison.jobs_status") == 1
    # and batches are batches again
    server.rows("TRUNCATE handled; INSERT INTO poison.jobs (deadly) SELECT false FROM generate_series(1, 50)")
    settled(server, "SELECT count(*) FROM handled", 50)


def test_a_crash_that_no_job_has_caused_blames_none(server: Server) -> None:
    """The server crashes again and again while jobs wait; all of them are done."""
    for turn in range(1, 4):
        stand_still(server)
        server.rows("INSERT INTO poison.jobs (deadly) SELECT false FROM generate_series(1, 5)")
        with contextlib.suppress(psycopg.OperationalError):
            server.rows("SELECT poison.resume(); SELECT public.dereference()")
        crashed(server, turn)
        settled(server, "SELECT count(*) FROM handled", 5 * turn)
    assert server.value("SELECT count(*) FROM poison.jobs_jobs") == 0
    assert server.value("SELECT count(*) FROM poison.jobs_suspects") == 0


def test_a_job_that_fails_while_it_runs_alone(server: Server) -> None:
    """An error is no crash: it counts as an attempt, and the note is cleared."""
    server.rows("ALTER TABLE handled ADD CHECK (job <> 2) NOT VALID")
    let_go(server, "INSERT INTO poison.jobs (deadly) SELECT g = 1 FROM generate_series(1, 3) AS g")
    crashed(server, 3)
    settled(server, "SELECT count(*) FROM poison.jobs_failed", 2)
    rows = server.rows("SELECT id, attempts, sqlstate FROM poison.jobs_failed ORDER BY id")
    assert rows == [(1, 1, "57P02"), (2, 2, "23514")]
    settled(server, "SELECT count(*) FROM handled", 1)
    assert server.value("SELECT count(*) FROM poison.jobs_suspects") == 0


def test_errors_of_the_worker_are_no_crashes(server: Server) -> None:
    """Jobs that are run alone wait for their handler, and are blamed for nothing however long that takes."""
    source = server.value("SELECT pg_get_functiondef('public.handle'::regproc)")
    stand_still(server)
    server.rows("INSERT INTO poison.jobs (deadly) SELECT false FROM generate_series(1, 3)")
    server.rows("DROP FUNCTION public.handle")
    with contextlib.suppress(psycopg.OperationalError):
        server.rows("SELECT poison.resume(); SELECT public.dereference()")
    crashed(server, 1)
    for failures in range(1, 5):
        settled(server, f"SELECT max(failures) >= {failures} FROM poison.workers() WHERE worker = 'taker'", True)
        server.rows("SELECT pg_reload_conf()")
    server.rows(source)
    server.rows("SELECT pg_reload_conf()")
    settled(server, "SELECT count(*) FROM handled", 3)
    assert server.value("SELECT count(*) FROM poison.jobs_jobs") == 0


def test_a_job_that_takes_long_is_not_blamed_for_another(pg: Pg) -> None:
    """It does not keep the other queue waiting, so both run when the server crashes; the deadly one is found."""
    with (
        mutated(SHORT_TURNS),
        serving(pg, module_of(FOLDER / "poison.py"), settings={"restart_after_crash": "on"}) as server,
    ):
        server.rows(SETUP)
        server.rows(
            "CREATE OR REPLACE FUNCTION public.handle(id bigint, deadly boolean) RETURNS void LANGUAGE plpgsql AS $$"
            "BEGIN PERFORM pg_sleep(CASE WHEN deadly THEN 0.3 ELSE 1.5 END);"
            " IF handle.deadly THEN PERFORM public.dereference(); END IF;"
            " INSERT INTO public.handled (job) VALUES (handle.id); END$$"
        )
        let_go(
            server, "INSERT INTO poison.jobs (deadly) VALUES (false); INSERT INTO poison.others (deadly) VALUES (true)"
        )
        settled(server, "SELECT count(*) FROM poison.others_failed", 1, 90)
        settled(server, "SELECT count(*) FROM handled", 1)
        assert server.value("SELECT count(*) FROM poison.jobs_failed") == 0
        assert server.log("was terminated by signal 11")


def test_what_was_noted_before_a_stop_in_order(server: Server) -> None:
    """It is forgotten: the next crash blames nobody for it."""
    server.rows("INSERT INTO poison.jobs_suspects (id, crashes, life, alone) VALUES (1, 2, now(), true)")
    server.cluster.restart()
    settled(server, "SELECT count(*) FROM poison.jobs_suspects", 0)


def test_jobs_that_waited_and_jobs_that_come_meanwhile(server: Server) -> None:
    """A deadly job that was due is found among others that are, while new ones come that would go before it."""
    stand_still(server)
    server.rows(
        "INSERT INTO poison.jobs_later (id, deadly, run_at)"
        " SELECT nextval('poison.jobs_id_seq'), g = 2, now() FROM generate_series(1, 4) AS g"
    )
    with contextlib.suppress(psycopg.OperationalError):
        server.rows("SELECT poison.resume()")
    added = 0
    while len(server.log("all server processes terminated; reinitializing")) < 3:
        with contextlib.suppress(psycopg.OperationalError):
            server.rows("INSERT INTO poison.jobs (deadly, priority) VALUES (false, 0)")
            added += 1
    crashed(server, 3)
    settled(server, "SELECT count(*) FROM poison.jobs_failed", 1)
    assert server.rows("SELECT deadly, sqlstate FROM poison.jobs_failed") == [(True, "57P02")]
    settled(server, "SELECT count(*) >= 3 FROM handled", True)
    settled(server, "SELECT EXISTS (SELECT FROM poison.jobs) OR EXISTS (SELECT FROM poison.jobs_later)", False)
    assert len(server.log("was terminated by signal 11")) == 3
