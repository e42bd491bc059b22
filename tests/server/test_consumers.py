"""Consumers on a real server: every kind of handler, how they hear of jobs, and how they end."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, Consumer, GiveUp, Job, handle_of
from pgbgw.faults.waiting import eventually
from tests.server.posts import (
    SEEN,
    Mail,
    clear,
    conninfo,
    consuming,
    declared,
    left,
    mail,
    note,
    pid_of,
    post_server,
    put,
)
from tests.server.running import Server


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_jobs_are_consumed_once(server: Server, concurrency: int) -> None:
    put(server, 3000)
    consumed = mail.consume(conninfo(server), note, concurrency=concurrency, until_empty=True)
    assert (consumed.done, consumed.failed, consumed.released, consumed.lost) == (3000, 0, 0, 0)
    assert sorted(SEEN, key=int) == [str(n) for n in range(3000)]
    assert left(server) == {"done": 3000}


def test_coroutines_run_side_by_side(server: Server) -> None:
    together = most = 0

    async def handle(payload: Any, job: Job[Any]) -> None:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.001)
        assert job.attempt == 1
        together -= 1

    put(server, 200)
    assert mail.consume(conninfo(server), handle, concurrency=20, until_empty=True).done == 200
    assert 1 < most <= 20


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_runs_handlers(server: Server, kind: str) -> None:
    with server.connect() as connection:
        mail.enqueue_many(connection, (Mail(address=str(n), body=conninfo(server)) for n in range(20)))
    executor = ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    with server.connect() as listener, executor:
        listener.execute("LISTEN pids")
        consumed = mail.consume(conninfo(server), pid_of, executor=executor, concurrency=2, until_empty=True)
        pids = {n.payload for n in listener.notifies(timeout=5, stop_after=20)}
    assert consumed.done == 20
    assert (str(os.getpid()) in pids) == (kind == "threads")


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_runs_handlers(server: Server) -> None:
    """Two processes that Dask has started; its executor is one of ``concurrent.futures``. Equal jobs are two jobs."""
    dask: Any = importlib.import_module("distributed")
    with server.connect() as connection:
        mail.enqueue_many(connection, (Mail(address=str(n // 10), body=conninfo(server)) for n in range(30)))
    with (
        dask.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        dask.Client(cluster) as client,
        server.connect() as listener,
    ):
        listener.execute("LISTEN pids")
        consumed = mail.consume(
            conninfo(server), pid_of, executor=client.get_executor(), concurrency=4, until_empty=True
        )
        pids = [n.payload for n in listener.notifies(timeout=5, stop_after=30)]
    assert (consumed.done, consumed.failed, len(pids)) == (30, 0, 30)
    assert len(set(pids)) == 2
    assert str(os.getpid()) not in pids


def test_failures_are_told_and_tried_again(server: Server) -> None:
    def handle(payload: Any, job: Job[Any]) -> None:
        if payload.address == "0":
            raise ValueError("bad\0 address")
        if payload.address == "1":
            raise GiveUp("no such user")
        if payload.address == "2" and job.attempt == 1:
            with psycopg.connect(conninfo(server)) as connection:
                connection.execute("SELECT 1 / 0")

    put(server, 5)
    consumer = Consumer(handle_of(mail), handle, conninfo(server))
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        eventually(lambda: left(server) == {"failed": 2, "done": 3}, what="answers for all")
    finally:
        consumer.stop()
        thread.join()
    rows = server.rows("SELECT address, attempts, error, sqlstate, context FROM post.mail_failed ORDER BY address")
    assert [row[:4] for row in rows] == [
        ("0", 2, "ValueError: bad\ufffd address", "38000"),
        ("1", 1, "no such user", "38000"),
    ]
    assert "in handle" in rows[0][4]
    assert (consumer.consumed.done, consumer.consumed.failed) == (3, 4)


def test_a_consumer_is_told_of_jobs(server: Server) -> None:
    """It looks by itself once an hour, so it is the notification that it hears."""
    consumer, thread = consuming(server, note, poll=timedelta(hours=1))
    try:
        for number in range(1, 4):
            put(server, 1)
            eventually(lambda number=number: len(SEEN) == number, what="a job")  # type: ignore[misc]
    finally:
        consumer.stop()
        thread.join()


def until_blocked(count: int) -> tuple[Callable[[Any], None], threading.Event, threading.Event]:
    """A handler that is quick so many times and then lasts, the event of that, and one that ends it."""
    begun, go_on = threading.Event(), threading.Event()
    quick = iter(range(count))

    def handle(payload: Any) -> None:
        if next(quick, None) is None:
            begun.set()
            go_on.wait()

    return handle, begun, go_on


def test_what_was_not_begun_goes_back(server: Server) -> None:
    handle, begun, go_on = until_blocked(200)
    put(server, 1000)
    consumer, thread = consuming(server, handle)
    begun.wait()
    consumer.stop()
    eventually(lambda: left(server) == {"ready": 799, "running": 1, "done": 200}, what="nothing more that is begun")
    go_on.set()
    thread.join()
    assert consumer.consumed.done == 201
    assert consumer.consumed.released > 0
    assert left(server) == {"ready": 799, "done": 201}
    assert server.value("SELECT max(attempt) FROM post.mail") == 0


def test_jobs_that_handlers_do_not_begin_soon_are_for_others(server: Server) -> None:
    """The first consumer has claimed many ahead when a job takes long; the second has nothing else to do."""
    handle, begun, go_on = until_blocked(200)
    put(server, 1000)
    first, first_thread = consuming(server, handle)
    begun.wait()
    second, second_thread = consuming(server, note)
    try:
        eventually(lambda: left(server) == {"running": 1, "done": 999}, 20, "all jobs but one, done by the second")
    finally:
        go_on.set()
        for consumer, thread in ((first, first_thread), (second, second_thread)):
            consumer.stop()
            thread.join()
    assert (first.consumed.done, second.consumed.done) == (201, 799)
    assert first.consumed.released > 0


@pytest.mark.parametrize("way", ["threads", "executor", "tasks"])
def test_two_consumers_share_two_jobs_that_take_long(server: Server, way: str) -> None:
    go_on = threading.Event()

    def wait(payload: Any) -> None:
        SEEN.append(payload.address)
        go_on.wait()

    async def wait_in_a_task(payload: Any) -> None:
        await asyncio.to_thread(wait, payload)

    put(server, 2)
    with ThreadPoolExecutor(2) as executor:
        options: dict[str, Any] = {"executor": executor} if way == "executor" else {}
        handler = wait_in_a_task if way == "tasks" else wait
        consumers = [consuming(server, handler, **options) for _ in range(2)]
        try:
            eventually(lambda: len(SEEN) == 2, 20, "both jobs, begun")
        finally:
            go_on.set()
            eventually(lambda: left(server) == {"done": 2}, 20, "both jobs, done")
            for consumer, thread in consumers:
                consumer.stop()
                thread.join()
    assert [(consumer.consumed.done, consumer.consumed.released) for consumer, _ in consumers] == [(1, 0), (1, 0)]


def test_leases_are_renewed_while_handlers_work(server: Server) -> None:
    go_on = threading.Event()
    put(server, 1)
    consumer, thread = consuming(server, lambda payload: go_on.wait(), lease=timedelta(milliseconds=600))
    try:
        row = eventually(lambda: server.rows("SELECT lease_end FROM post.mail_running"), what="a lease")
        later = "SELECT lease_end > %s FROM post.mail_running"
        eventually(lambda: server.rows(later, [row[0][0] + timedelta(seconds=1)]) == [(True,)], what="renewals")
    finally:
        go_on.set()
        consumer.stop()
        thread.join()
    assert (consumer.consumed.done, consumer.consumed.lost) == (1, 0)


def test_a_job_that_was_cancelled_is_lost(server: Server) -> None:
    begun, go_on = threading.Event(), threading.Event()
    held: list[Job[Any]] = []

    def handle(payload: Any, job: Job[Any]) -> None:
        held.append(job)
        begun.set()
        go_on.wait()

    put(server, 1)
    consumer, thread = consuming(server, handle, lease=timedelta(milliseconds=300))
    begun.wait()
    server.rows("SELECT post.mail_cancel(%s)", [held[0].id])
    eventually(lambda: held[0].lost, what="a renewal that is refused")
    go_on.set()
    consumer.stop()
    thread.join()
    assert (consumer.consumed.done, consumer.consumed.lost) == (0, 1)


def test_a_server_that_is_away_is_waited_for(server: Server) -> None:
    """Its answers are kept meanwhile; nothing is done twice."""
    put(server, 50)
    stopped, go_on = threading.Event(), threading.Event()

    def handle(payload: Any) -> None:
        if len(SEEN) == 20:
            stopped.set()
            go_on.wait()
        SEEN.append(payload.address)

    consumer, thread = consuming(server, handle)
    stopped.wait()
    server.cluster.stop("immediate")
    go_on.set()
    server.cluster.start()
    try:
        eventually(lambda: left(server) == {"done": 50}, 30, "answers for all")
        put(server, 5)
        eventually(lambda: left(server) == {"done": 55}, what="jobs that came after it")
    finally:
        consumer.stop()
        thread.join()
    assert len(SEEN) == 55


def test_connections_that_are_ended_are_made_again(server: Server) -> None:
    consumer, thread = consuming(server, note, who="to be ended")
    try:
        for number in range(1, 4):
            put(server, 1)
            eventually(lambda number=number: left(server)["done"] == number, what="a job")  # type: ignore[misc]
            ended = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'to be ended'"
            )
            assert server.value(ended) >= 1
    finally:
        consumer.stop()
        thread.join()


def test_a_queue_without_leases_is_refused(server: Server) -> None:
    with pytest.raises(ClientError, match=r"Declare the queue with lease=seconds\(60\)"):
        declared.inside.consume(conninfo(server), note)


def test_a_signal_stops_it(server: Server, tmp_path: Path) -> None:
    """SIGTERM in the middle of a job: it is finished, and the others are there for others."""
    script = tmp_path / "consumer.py"
    script.write_text(
        "import sys, time\n"
        "from tests.server.declarations.post import mail\n"
        "def handle(payload):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(0.5)\n"
        "print(mail.consume(sys.argv[1], handle), flush=True)\n"
    )
    put(server, 5)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, str(script), conninfo(server)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        told = process.stdout.read()
        assert process.wait() == 0
    assert "Consumed(done=1, failed=0, released=" in told
    assert time.monotonic() - began < 10
    assert left(server) == {"ready": 4, "done": 1}
