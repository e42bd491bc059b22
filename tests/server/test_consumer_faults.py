"""What consumers survive, and how they end when they can't: each fault is caused on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgbgw
from pgbgw.build.pgconfig import Pg
from pgbgw.client import ClientError, Consumer, Job, connect, handle_of
from pgbgw.faults.waiting import eventually
from tests.server.posts import FOLDER, SEEN, Mail, clear, conninfo, consuming, left, mail, note, post_server, put
from tests.server.running import Server, module_of, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


# the server


class Between:
    """A socket in front of the server's; it loses the answer to a statement, and with it the connection."""

    def __init__(self, server: Server, folder: str) -> None:
        given = conninfo_to_dict(conninfo(server))
        self.conninfo = make_conninfo(conninfo(server), host=folder, port=5432)
        self.lost = 0
        self.lose = b""
        self._server = f"{given['host']}/.s.PGSQL.{given['port']}"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(f"{folder}/.s.PGSQL.5432")
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        # where one end has gone meanwhile, the other one goes as well
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(ConnectionError):
            server.connect(self._server)
            while True:
                readable, _, _ = select.select([client, server], [], [])
                for end, other in ((client, server), (server, client)):
                    if end in readable:
                        data = end.recv(65536)
                        if not data:
                            return
                        other.sendall(data)
                        if end is client and self.lose and self.lose in data:
                            self.lose = b""
                            server.recv(65536)
                            self.lost += 1
                            return


@pytest.fixture
def between(server: Server) -> Iterator[Between]:
    with tempfile.TemporaryDirectory(prefix="pgbgw-between-", dir="/tmp") as folder:
        made = Between(server, folder)
        yield made
        made.close()


@pytest.mark.parametrize("what", ["acknowledge", "fail"])
def test_an_answer_that_was_accepted_and_not_heard_of_is_no_loss(server: Server, between: Between, what: str) -> None:
    def handle(payload: Any, job: Job[Any]) -> None:
        if what == "fail" and job.attempt == 1:
            raise ValueError("no")

    put(server, 1)
    between.lose = f"mail_{what}".encode()
    consumer = Consumer(handle_of(mail), handle, between.conninfo)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        eventually(lambda: left(server) == {"done": 1}, what="the job, done")
    finally:
        consumer.stop()
        thread.join()
    assert between.lost == 1
    found = consumer.consumed
    assert (found.done, found.failed, found.lost) == (1, int(what == "fail"), 0)


@contextlib.contextmanager
def silent(server: Server, who: str) -> Iterator[None]:
    """The server's processes for a consumer do not answer."""
    pids = [row[0] for row in server.rows("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [who])]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_is_silent_does_not_keep_it_from_ending(server: Server) -> None:
    """Both of its connections wait for an answer that does not come."""
    begun, go_on = threading.Event(), threading.Event()

    def handle(payload: Any) -> None:
        if payload.address == "1":
            begun.set()
            go_on.wait()

    put(server, 2)
    consumer, thread = consuming(server, handle, who="unheard", grace=timedelta(seconds=1), poll=timedelta(0))
    begun.wait()
    eventually(lambda: left(server)["done"] == 1, what="an answer for the first")
    with silent(server, "unheard"):
        go_on.set()
        consumer.stop()
        thread.join(30)
        assert not thread.is_alive()
    assert consumer.consumed.done == 1


CONSUMER = """
import logging, sys
from tests.server.declarations.post import mail
logging.basicConfig(stream=sys.stdout, format="%(message)s")
print("begun", flush=True)
print(mail.consume(sys.argv[1], lambda payload: None), flush=True)
"""


def test_a_signal_while_it_waits_for_a_server_ends_it(server: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", CONSUMER, conninfo(server)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%mail_claim%%' AND pid <> pg_backend_pid()"
        eventually(lambda: server.value(listens) >= 1, what="a claim")
        server.cluster.stop("immediate")
        try:
            assert "the server is away, trying again" in process.stdout.readline()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            told = process.stdout.read()
            assert process.wait() == 0
        finally:
            server.cluster.start()
    assert "Consumed(done=0, failed=0, released=0, lost=0)" in told
    assert time.monotonic() - began < 10


def test_a_lease_that_ends_while_the_server_is_away_is_lost(server: Server) -> None:
    """The handler knows of it before the server is back; nobody answers for the job then."""
    begun: list[Job[Any]] = []

    def handle(payload: Any, job: Job[Any]) -> None:
        begun.append(job)
        if len(begun) == 1:
            eventually(lambda: job.lost, 20, "what became of the lease")

    put(server, 1)
    consumer, thread = consuming(server, handle, lease=timedelta(milliseconds=700))
    eventually(lambda: begun, what="a job")
    server.cluster.stop("immediate")
    try:
        eventually(lambda: begun[0].lost, what="a job that is lost")
    finally:
        server.cluster.start()
    try:
        eventually(lambda: left(server) == {"done": 1}, 20, "the second attempt")
    finally:
        consumer.stop()
        thread.join()
    assert [job.attempt for job in begun] == [1, 2]
    assert (consumer.consumed.done, consumer.consumed.lost) == (1, 1)


def test_a_server_that_only_reads_is_waited_for(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """As the old primary is after a failover."""
    consumer, thread = consuming(server, note, who="reader")
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'reader'"
    try:
        put(server, 1)
        eventually(lambda: left(server)["done"] == 1, what="a job")
        server.set(default_transaction_read_only="on")
        assert eventually(lambda: server.value(ended)) >= 1
        eventually(lambda: server.value("SHOW default_transaction_read_only") == "on")
        with server.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            mail.enqueue(connection, Mail(address="a", body=None))
        eventually(lambda: "in a read-only transaction" in caplog.text, what="a claim that is refused")
        server.reset()
        eventually(lambda: left(server)["done"] == 2, 20, "the job that waited")
    finally:
        server.reset()
        consumer.stop()
        thread.join()


def test_what_the_server_refuses_is_told_as_that(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """What has taken too long is an error of the class of lost connections, and is tried again as well."""
    slow = make_conninfo(conninfo(server), options="-c statement_timeout=3s")
    consumer = Consumer(handle_of(mail), note, slow, poll=0.05)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        put(server, 1)
        eventually(lambda: left(server) == {"done": 1}, 30, "a job")
        with server.connect() as connection, connection.transaction():
            connection.execute("LOCK TABLE post.mail")
            eventually(lambda: "the server has refused, trying again" in caplog.text, 30, "a claim that was cancelled")
        put(server, 1)
        eventually(lambda: left(server) == {"done": 2}, 30, "the job after it")
    finally:
        consumer.stop()
        thread.join()
    assert "is away" not in caplog.text


def test_a_role_that_may_not_renew_any_more_ends_it(server: Server) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def handle(payload: Any) -> None:
        begun.set()
        go_on.wait()

    put(server, 1)
    as_carrier = make_conninfo(conninfo(server), user="carrier")
    consumer = Consumer(handle_of(mail), handle, as_carrier, lease=timedelta(seconds=1), grace=timedelta(0))
    name = "FUNCTION post.mail_extend(bigint[], bigint[], interval)"
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(consumer.run)
        begun.wait()
        server.rows(f"REVOKE EXECUTE ON {name} FROM carrier")
        try:
            with pytest.raises(ClientError, match="is not for this role: permission denied for function mail_extend"):
                ran.result(20)
        finally:
            server.rows(f"GRANT EXECUTE ON {name} TO carrier")
            go_on.set()


def test_a_queue_by_name_is_kept_by_the_leases_that_the_server_gives(server: Server) -> None:
    """Nothing says how long they are but the jobs themselves."""
    begun, go_on = threading.Event(), threading.Event()

    def handle(payload: Any) -> None:
        begun.set()
        go_on.wait()

    with connect(conninfo(server)) as database:
        queue = database.queue("brief")
        queue.enqueue({"address": "a"})
        consumer: Consumer[Any] = Consumer(queue.handle, handle, conninfo(server))
        thread = threading.Thread(target=consumer.run)
        thread.start()
        try:
            begun.wait()
            first = server.value("SELECT lease_end FROM post.brief_running")
            later = "SELECT lease_end > %s FROM post.brief_running"
            wanted = first + timedelta(seconds=1)
            eventually(lambda: server.rows(later, [wanted]) == [(True,)], what="renewals")
        finally:
            go_on.set()
            consumer.stop()
            thread.join()
    assert (consumer.consumed.done, consumer.consumed.lost) == (1, 0)


# handlers


def test_a_handler_that_never_ends_is_left_alone(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def handle(payload: Any) -> None:
        begun.set()
        go_on.wait()
        ended.set()

    put(server, 3)
    consumer, thread = consuming(server, handle, grace=timedelta(milliseconds=200))
    begun.wait()
    with caplog.at_level(logging.WARNING, "pgbgw.client"):
        consumer.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert "queue mail: 1 job is left to the end of its lease" in caplog.messages
    assert left(server) == {"running": 1, "ready": 2}
    # what comes after the end is nobody's
    go_on.set()
    assert ended.wait(10)
    consumer.stop()
    assert left(server) == {"running": 1, "ready": 2}


def test_a_coroutine_that_never_ends_is_cancelled(server: Server) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def handle(payload: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    put(server, 1)
    consumer, thread = consuming(server, handle, concurrency=3, grace=timedelta(milliseconds=200))
    begun.wait()
    consumer.stop()
    thread.join(10)
    assert (thread.is_alive(), ended.is_set()) == (False, True)
    assert left(server) == {"running": 1}


def test_a_handler_that_exits_has_failed(server: Server) -> None:
    """sys.exit() is for the program that calls it, and not for all jobs of a consumer; so are cancelled tasks."""

    def leave(payload: Any) -> None:
        if payload.address == "0":
            sys.exit("usage: ...")

    async def cancelled(payload: Any) -> None:
        if payload.address == "0":
            task = asyncio.create_task(asyncio.Event().wait())
            task.cancel()
            await task

    for handler, told in ((leave, "SystemExit: usage: ..."), (cancelled, "CancelledError: ")):
        put(server, 2)
        consumer, thread = consuming(server, handler)
        try:
            eventually(lambda: left(server) == {"failed": 1, "done": 1}, what="both jobs, answered")
        finally:
            consumer.stop()
            thread.join()
        assert server.rows("SELECT error FROM post.mail_failed") == [(told,)]
        assert (consumer.consumed.done, consumer.consumed.failed) == (1, 2)
        clear(server)


class Returning:
    """Handlers whose work nobody does: they return it."""

    @staticmethod
    async def send(payload: Any) -> None:
        note(payload)

    @staticmethod
    async def pieces(payload: Any) -> Any:
        yield payload

    coroutine = staticmethod(lambda payload: Returning.send(payload))
    generator = staticmethod(lambda payload: (str(each) for each in [payload]))
    asynchronous_generator = staticmethod(lambda payload: Returning.pieces(payload))

    @staticmethod
    async def not_awaited(payload: Any) -> Any:
        return Returning.send(payload)


def generator_in_a_process(payload: Any) -> Any:
    return (each for each in [payload])


def given_up(server: Server, handler: Any, count: int, **options: Any) -> list[str]:
    """The errors of so many jobs, each of which is given up after two attempts."""
    consumer, thread = consuming(server, handler, **options)
    try:
        eventually(lambda: left(server) == {"failed": count}, 30, "jobs that were given up")
    finally:
        consumer.stop()
        thread.join()
    assert (consumer.consumed.done, consumer.consumed.failed) == (0, 2 * count)
    return [row[0] for row in server.rows("SELECT error FROM post.mail_failed ORDER BY id")]


# no executor runs coroutine functions, which the last one is
@pytest.mark.parametrize(
    ("way", "kind"),
    [
        *product(("threads", "executor"), ("coroutine", "generator", "asynchronous_generator")),
        ("threads", "not_awaited"),
    ],
)
def test_work_that_a_handler_returns_is_not_done(server: Server, kind: str, way: str) -> None:
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {}
        if way == "executor":
            options["executor"] = stack.enter_context(ThreadPoolExecutor(1))
        put(server, 2)
        for error in given_up(server, getattr(Returning, kind), 2, **options):
            assert "returned a coroutine" in error or "returned a generator" in error
    assert SEEN == []


def test_work_that_a_process_can_not_send_back_is_not_done(server: Server) -> None:
    put(server, 1)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        (error,) = given_up(server, generator_in_a_process, 1, executor=executor)
    assert "generator" in error


def test_handlers_whose_body_never_runs_are_refused(server: Server) -> None:
    class Deliver:
        def __call__(self, payload: Any) -> Iterator[Any]:
            yield payload

    def plain(payload: Any) -> Iterator[Any]:
        yield payload

    for handler in (plain, functools.partial(plain), Returning.pieces, Deliver()):
        with pytest.raises(TypeError, match="is a generator function, whose body never runs"):
            Consumer(handle_of(mail), handler, conninfo(server))


def test_a_handler_that_can_not_be_sent_to_processes_is_refused(server: Server) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor,
        pytest.raises(TypeError, match="can't be sent to the processes of the executor"),
    ):
        Consumer(handle_of(mail), lambda payload: None, conninfo(server), executor=executor)


async def _leave(error: type[BaseException]) -> None:
    raise error


async def _cancel_itself(payload: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _cancel_all(payload: Any) -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


async def _exit_below(payload: Any) -> None:
    await asyncio.create_task(_leave(SystemExit))


async def _interrupt_below(payload: Any) -> None:
    await asyncio.create_task(_leave(KeyboardInterrupt))


async def _exit(payload: Any) -> None:
    await asyncio.sleep(0)
    sys.exit()


async def _stop_the_loop(payload: Any) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    raise ValueError("stopped")


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize(
    ("leave", "error"),
    [
        (_cancel_itself, "CancelledError: "),
        (_cancel_all, "CancelledError: "),
        (_exit_below, "SystemExit: "),
        (_interrupt_below, "KeyboardInterrupt: "),
        (_exit, "SystemExit: "),
        (_stop_the_loop, "ValueError: stopped"),
    ],
)
def test_one_job_does_not_end_the_event_loop(server: Server, leave: Any, error: str, concurrency: int) -> None:
    async def handle(payload: Any) -> None:
        if payload.address == "1":
            await leave(payload)

    put(server, 4)
    consumer, thread = consuming(server, handle, concurrency=concurrency)
    try:
        eventually(lambda: left(server) == {"failed": 1, "done": 3}, 30, "all jobs, answered")
        assert thread.is_alive()
    finally:
        consumer.stop()
        thread.join()
    assert server.rows("SELECT error FROM post.mail_failed") == [(error,)]


def test_who_cancels_a_task_later_does_nothing_to_other_jobs(server: Server) -> None:
    async def handle(payload: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.01, task.cancel)
        await asyncio.sleep(0)

    put(server, 50)
    assert mail.consume(conninfo(server), handle, until_empty=True).done == 50


def test_a_request_to_cancel_that_was_not_heard_is_for_nobody_else(server: Server) -> None:
    async def handle(payload: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if int(payload.address) % 2:
            await asyncio.sleep(0)
        else:
            task.cancel()

    put(server, 50)
    assert mail.consume(conninfo(server), handle, until_empty=True).done == 50


class Unspeakable(Exception):
    """Nothing can be told of it."""

    @property
    def sqlstate(self) -> str:
        raise SystemExit

    def __str__(self) -> str:
        raise KeyboardInterrupt


def raise_unspeakable(payload: Any) -> None:
    raise Unspeakable


@pytest.mark.parametrize("way", ["threads", "executor", "tasks"])
def test_an_error_of_which_nothing_can_be_told_is_a_failed_attempt(server: Server, way: str) -> None:
    async def later(payload: Any) -> None:
        raise Unspeakable

    put(server, 3)
    with ThreadPoolExecutor(1) as executor:
        options: dict[str, Any] = {"executor": executor} if way == "executor" else {}
        handler = later if way == "tasks" else raise_unspeakable
        assert given_up(server, handler, 3, **options) == ["Unspeakable, which can't be told"] * 3


def test_objects_with_an_asynchronous_call_are_handlers(server: Server) -> None:
    class Deliver:
        async def __call__(self, payload: Any) -> None:
            await asyncio.sleep(0)
            note(payload)

    put(server, 3)
    assert mail.consume(conninfo(server), Deliver(), until_empty=True).done == 3
    assert len(SEEN) == 3
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="an executor runs plain functions"):
        mail.consume(conninfo(server), Deliver(), executor=executor)


def test_errors_that_can_not_be_told_or_have_another_below_are_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever encoding the environment asks for."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def handle(payload: Any) -> None:
        if payload.address == "0":
            raise Mute
        if payload.address == "1":
            raise RuntimeError("wrapped") from psycopg.errors.UniqueViolation("below")
        raise ValueError("costs 5 €")

    put(server, 3)
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    consumer, thread = consuming(server, handle)
    try:
        eventually(lambda: left(server)["failed"] == 3, what="jobs that were given up")
    finally:
        consumer.stop()
        thread.join()
    monkeypatch.delenv("PGCLIENTENCODING")
    assert server.rows("SELECT error, sqlstate FROM post.mail_failed ORDER BY address") == [
        ("Mute, which can't be told", "38000"),
        ("RuntimeError: wrapped", "23505"),
        ("ValueError: costs 5 €", "38000"),
    ]


def test_failures_are_told_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def handle(payload: Any) -> None:
        raise ValueError("no \x1b[31m such\nuser")

    put(server, 1)
    with caplog.at_level(logging.WARNING, "pgbgw.client"):
        consumer, thread = consuming(server, handle)
        try:
            eventually(lambda: left(server)["failed"] == 1, what="a job that was given up")
            put(server, 500)
            eventually(lambda: left(server)["failed"] == 501, 30, what="jobs that were given up")
        finally:
            consumer.stop()
            thread.join()
    told = [message for message in caplog.messages if "failed" in message]
    one = r"queue mail: (?:(\d+) jobs have failed, the first: )?job \d+ has failed: ValueError: no \\x1b\[31m such"
    counts = [re.fullmatch(one, message) for message in told]
    assert all(counts), told
    assert sum(int(found[1] or 1) for found in counts if found) == 1002
    assert len(told) < 100


def test_an_error_that_the_database_can_not_store_is_told_in_ascii(pg: Pg) -> None:
    def handle(payload: Any) -> None:
        raise ValueError(f"costs 5 € in {payload.address}")

    setup = (FOLDER / "post.sql").read_text()
    options = ["--encoding=LATIN1", "--locale=C", *(["--builtin-locale=C"] if pg.major >= 17 else [])]
    with serving(pg, module_of(FOLDER / "post.py"), setup, initdb_options=options) as server:
        with server.connect() as connection:
            connection.execute("SET client_encoding = 'UTF8'")
            mail.enqueue(connection, Mail(address="Köln", body=None))
        consumer, thread = consuming(server, handle)
        try:
            eventually(lambda: left(server)["failed"] == 1, what="a job that was given up")
        finally:
            consumer.stop()
            thread.join()
        assert server.rows("SELECT error FROM post.mail_failed") == [(r"ValueError: costs 5 \u20ac in K\xf6ln",)]


# executors


def die(payload: Any) -> None:
    """As a process does that the kernel kills for want of memory."""
    if payload.address == "0":
        os._exit(1)


def test_an_executor_that_breaks_ends_it_and_the_others_go_back(server: Server) -> None:
    put(server, 20)
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor,
        pytest.raises(BrokenProcessPool),
    ):
        mail.consume(conninfo(server), die, executor=executor)
    assert left(server)["later"] + left(server)["failed"] == 1
    assert left(server)["ready"] == 19
    assert server.value("SELECT max(attempt) FROM post.mail") == 0


def test_what_an_executor_cancels_goes_back(server: Server) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def handle(payload: Any) -> None:
        begun.set()
        go_on.wait()

    put(server, 6)
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(1) as pool:
        consumer = Consumer(handle_of(mail), handle, conninfo(server), executor=executor, concurrency=4)
        ran = pool.submit(consumer.run)
        begun.wait()
        eventually(lambda: consumer._in_hand.waiting <= 2, what="three more that were handed over")
        executor.shutdown(wait=False, cancel_futures=True)
        go_on.set()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            ran.result(20)
    assert left(server) == {"done": 1, "ready": 5}
    assert server.value("SELECT max(attempt) FROM post.mail") == 0


# arguments


def test_lengths_of_time_are_given_in_any_form(server: Server) -> None:
    for given in (5, 5.0, timedelta(seconds=5), pgbgw.seconds(5)):
        put(server, 1)
        consumed = mail.consume(conninfo(server), note, lease=given, poll=given, grace=given, until_empty=True)
        assert consumed.done == 1
    # longer than poll() and Event.wait() can wait
    consumer, thread = consuming(server, note, poll=timedelta(days=100_000), lease=timedelta(days=10_000))
    try:
        eventually(lambda: left(server) == {"done": 4})
        put(server, 1)
        eventually(lambda: left(server) == {"done": 5}, 30, "a job that it was told of")
    finally:
        consumer.stop()
        thread.join()
    for name in ("lease", "poll", "grace"):
        with pytest.raises(TypeError, match=f"{name} is a str, not a length of time: give seconds"):
            mail.consume(conninfo(server), note, **{name: "5 s"})  # type: ignore[arg-type]
        for wrong in (-1, float("nan"), float("inf"), timedelta(seconds=-1)):
            with pytest.raises(ValueError, match=f"{name} can't be used as a length of time"):
                mail.consume(conninfo(server), note, **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lease is 0"):
        mail.consume(conninfo(server), note, lease=0)


def test_a_connection_is_not_where_the_server_is(server: Server) -> None:
    with server.connect() as connection, pytest.raises(TypeError, match="makes connections of its own"):
        mail.consume(connection, note)  # type: ignore[arg-type]


def test_a_consumer_runs_once(server: Server) -> None:
    consumer = Consumer(handle_of(mail), note, conninfo(server), until_empty=True)
    consumer.run()
    with pytest.raises(RuntimeError, match="a consumer runs once"):
        consumer.run()


# this process


def test_a_program_with_many_files_open_can_consume(server: Server) -> None:
    """More than select() can watch."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        for _ in range(1100):
            stack.enter_context(open(os.devnull))
        put(server, 1)
        assert mail.consume(conninfo(server), note, until_empty=True).done == 1
