"""Processes are killed at random moments, for as long as PGBGW_KILLS_S says: each job is done exactly once.

A ledger in the database is written by the handlers; producers keep account of what they know to be committed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.running import Server, module_of, serving

FOLDER = Path(__file__).parent / "declarations"
SECONDS = float(os.environ.get("PGBGW_KILLS_S", "600"))
QUEUES = ("told", "quick")

# Producers wait where more jobs than that lie in their queue: after hours they could not be done in minutes.
MOST = 20_000


@pytest.fixture
def server(pg: Pg) -> Iterator[Server]:
    with serving(pg, module_of(FOLDER / "claims.py"), (FOLDER / "claims.sql").read_text()) as running:
        yield running


def produce(server: Server, number: int, stop: threading.Event) -> set[str]:
    """Enqueue until it is time to stop; the notes whose commit was acknowledged."""
    known: set[str] = set()
    turn = 0
    while not stop.is_set():
        with contextlib.suppress(psycopg.OperationalError), server.connect() as connection:
            while not stop.is_set():
                turn += 1
                notes = [f"{number} {turn} {row}" for row in range(random.randint(1, 30))]
                queue = random.choice(QUEUES)
                if turn % 50 == 0 and crowded(connection, queue):
                    stop.wait(0.1)
                    continue
                connection.execute(f"INSERT INTO claims.{queue} (note) SELECT unnest(%s::text[])".encode(), [notes])
                known.update(notes)
        stop.wait(0.02)
    return known


def crowded(connection: psycopg.Connection[tuple[int]], queue: str) -> bool:
    row = connection.execute(f"SELECT count(*) FROM (SELECT FROM claims.{queue} LIMIT {MOST}) AS q".encode()).fetchone()
    return row is not None and row[0] == MOST


def kill_one(server: Server) -> bool:
    """Kill a process at random: mostly a worker, sometimes a producer's backend; whether there was one."""
    try:
        wanted = "LIKE 'claims %%'" if random.random() < 0.8 else "= 'client backend'"
        query = f"SELECT pid FROM pg_stat_activity WHERE backend_type {wanted} AND pid <> pg_backend_pid()"
        pids = [row[0] for row in server.rows(query, [])]
    except psycopg.OperationalError:
        return False
    with contextlib.suppress(ProcessLookupError):
        if pids:
            os.kill(random.choice(pids), signal.SIGKILL)
    return bool(pids)


def noted(server: Server) -> int:
    with contextlib.suppress(psycopg.OperationalError):
        return int(server.value("SELECT count(*) FROM noted"))
    return -1


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 600)
def test_each_effect_happens_once(server: Server) -> None:
    stop, kills, deadline = threading.Event(), 0, time.monotonic() + SECONDS
    with ThreadPoolExecutor(3) as pool:
        producers = [pool.submit(produce, server, number, stop) for number in range(3)]
        try:
            while time.monotonic() < deadline:
                stop.wait(random.uniform(0.05, 1.5))
                kills += kill_one(server)
        finally:
            stop.set()
        known = set().union(*(each.result() for each in producers))

    def drained() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            waiting = (f"EXISTS (SELECT FROM claims.{queue}{part})" for queue in QUEUES for part in ("", "_later"))
            return server.rows(f"SELECT {', '.join(waiting)}") == [(False,) * 4]
        return False

    # as long as it takes, if only it goes on
    before = -1
    while not drained():

        def further(before: int = before) -> bool:
            return drained() or noted(server) > before

        eventually(further, 120, "another job done, or empty queues")
        before = noted(server)
    assert kills > SECONDS / 10
    done = [row[0] for row in server.rows("SELECT note FROM noted")]
    assert len(done) == len(set(done)), "a job was done twice"
    lost = known - set(done)
    assert not lost, f"{len(lost)} of {len(known)} jobs lost after {kills} kills"
    for queue in QUEUES:
        assert server.value(f"SELECT count(*) FROM claims.{queue}_failed") == 0
