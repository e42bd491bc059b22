"""What a program does with schedules, by their declaration and by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgbgw
from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, NotAConnection, ScheduleMissing
from pgbgw.declare.extension import Extension
from pgbgw.declare.schedules import CronWorker
from pgbgw.faults.waiting import eventually
from tests.server.declarations import rota as declared
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"

NIGHTLY, SKIP = (
    worker for worker in declared.rota.workers if isinstance(worker, CronWorker) and worker.name in ("nightly", "skip")
)


@pytest.fixture(scope="module")
def server(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "rota.py"), (FOLDER / "rota.sql").read_text()) as made:
        eventually(lambda: made.value("SELECT count(*) FROM rota.schedules WHERE next_run IS NOT NULL") == 5)
        yield made


@pytest.fixture
def connection(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with server.connect() as made:
        yield made


def test_a_schedule_is_run_and_looked_at(server: Server, connection: psycopg.Connection[Any]) -> None:
    before = NIGHTLY.status(connection)
    assert (before.name, before.expression, before.time_zone) == ("nightly", "30 2 * * *", "Europe/Paris")
    assert (before.changed, before.paused, before.outcome, before.duration) == (False, False, None, None)
    assert before.next_run is not None
    assert (before.next_run.hour, before.next_run.minute, str(before.next_run.tzinfo)) == (2, 30, "Europe/Paris")
    assert NIGHTLY.runs(connection) == []
    NIGHTLY.run_now(connection)
    (ran,) = eventually(lambda: [each for each in NIGHTLY.runs(connection) if each.outcome == "done"])
    assert ran.duration is not None
    assert timedelta(0) < ran.duration < timedelta(minutes=1)
    after = NIGHTLY.status(connection)
    assert (after.outcome, after.started_at, after.ended_at) == ("done", ran.started_at, ran.ended_at)
    assert (after.last_due, after.next_run) == (ran.due, before.next_run)
    server.rows("UPDATE orders SET failing = true")
    NIGHTLY.run_now(connection)
    eventually(lambda: NIGHTLY.status(connection).outcome == "failed")
    latest, earlier = NIGHTLY.runs(connection, 2)
    assert (latest.outcome, latest.error, latest.sqlstate, earlier) == ("failed", "told to fail", "P0007", ran)
    server.rows("UPDATE orders SET failing = false")


def test_a_schedule_is_paused_and_changed(connection: psycopg.Connection[Any]) -> None:
    assert [SKIP.pause(connection), SKIP.pause(connection)] == [True, False]
    assert (SKIP.status(connection).paused, SKIP.status(connection).next_run) == (True, None)
    assert [SKIP.resume(connection), SKIP.resume(connection)] == [True, False]
    SKIP.change(connection, "0 3 * * *", "Asia/Kolkata")
    status = SKIP.status(connection)
    assert (status.expression, status.time_zone, status.changed) == ("0 3 * * *", "Asia/Kolkata", True)
    assert status.next_run is not None
    assert status.next_run.isoformat().endswith("T03:00:00+05:30")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not a schedule"):
        SKIP.change(connection, "nonsense")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match='time zone "Paris" not recognized'):
        SKIP.change(connection, time_zone="Paris")
    assert SKIP.status(connection) == status
    SKIP.change(connection)
    assert SKIP.status(connection).changed is False


def test_what_is_rolled_back_was_never_asked_for(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(force_rollback=True):
        assert SKIP.pause(connection)
        assert SKIP.status(connection).paused
    assert not SKIP.status(connection).paused


def test_it_is_awaited_where_the_connection_is_asynchronous(server: Server) -> None:
    async def steer() -> None:
        conninfo = server.cluster.conninfo("postgres")
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            assert (await SKIP.pause(connection), await SKIP.resume(connection)) == (True, True)
            await SKIP.change(connection, "@daily")
            assert (await SKIP.status(connection)).changed
            await SKIP.change(connection)
            before = len(await SKIP.runs(connection))
            await SKIP.run_now(connection)
            assert before < 20
        eventually(
            lambda: server.value("SELECT count(*) FROM rota.schedule_runs WHERE schedule = 'skip'") == before + 1
        )

    asyncio.run(steer())


def test_by_name(server: Server) -> None:
    with pgbgw.connect(server.cluster.conninfo("postgres")) as database:
        assert repr(database.schedules()[0]) == "<schedule rota.last>"
        schedule = database.schedule("rota.vacuum")
        assert [schedule.pause(), schedule.status().paused, schedule.resume()] == [True, True, True]
        schedule.change("@monthly", "Asia/Tokyo")
        assert schedule.status().time_zone == "Asia/Tokyo"
        schedule.change()
        schedule.run_now()
        eventually(lambda: [each.outcome for each in schedule.runs()] == ["done"])
        with pytest.raises(ScheduleMissing, match="Did you mean vacuum"):
            database.schedule("vacum")


def test_what_is_not_there(server: Server, connection: psycopg.Connection[Any]) -> None:
    """A worker that is not installed, an extension that is not, and a role that may not."""
    other = Extension("rota", database="postgres").cron_worker("other", "@daily", run=pgbgw.sql("SELECT 1"))
    for call in (other.run_now, other.pause, other.resume, other.change, other.status):
        with pytest.raises(ScheduleMissing, match='there is no schedule "other" in extension rota'):
            call(connection)
    assert other.runs(connection) == []
    absent = Extension("absent", database="postgres").cron_worker("other", "@daily", run=pgbgw.sql("SELECT 1"))
    with pytest.raises(ScheduleMissing, match="Run CREATE EXTENSION absent there") as caught:
        absent.run_now(connection)
    assert "verify" not in str(caught.value)
    connection.execute("SET SESSION AUTHORIZATION rota_stranger")
    with pytest.raises(ClientError, match='schedule "skip" is not for this role: permission denied'):
        SKIP.pause(connection)
    with pytest.raises(NotAConnection):
        SKIP.pause("dbname=postgres")  # type: ignore[call-overload]
