"""``pgbgw consume --processes``: several processes on a real server that are looked after."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import Red, eventually
from tests.server.posts import FOLDER, Mail, clear, conninfo, left, mail, post_server
from tests.server.running import Server
from tests.server.test_cli_queues import ROOT, pgbgw

HANDLERS = """
import asyncio, os, pathlib, sys, time
import psycopg

def note(mail):
    with psycopg.connect(mail.body, autocommit=True) as connection:
        connection.execute("INSERT INTO seen VALUES (%s, %s)", [os.getpid(), mail.address])

def block(mail):
    note(mail)
    while not pathlib.Path(mail.address).exists():
        time.sleep(0.01)

async def asleep(mail):
    note(mail)
    await asyncio.to_thread(time.sleep, 600)

async def later(mail):
    note(mail)

def die(mail):
    os._exit(3)

def none():
    pass
"""


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        server.rows("CREATE TABLE seen (pid int, address text)")
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)
    running.rows("DELETE FROM seen")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "mails.py").write_text((FOLDER / "post.py").read_text())
    return tmp_path


@contextlib.contextmanager
def consuming(
    server: Server, folder: Path, handler: str, *options: str, own_session: bool = False
) -> Iterator[subprocess.Popen[str]]:
    with (folder / "log").open("w") as log, subprocess.Popen(
        [sys.executable, "-m", "pgbgw", "consume", "mails:mail", f"handlers:{handler}", "--dsn", conninfo(server),
         "--json", *options],
        stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder, start_new_session=own_session,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        try:
            yield process
        except BaseException:
            print((folder / "log").read_text())
            raise
        finally:
            process.kill()


def put(server: Server, *names: str) -> None:
    with server.connect() as connection:
        mail.enqueue_many(connection, [Mail(address=name, body=conninfo(server)) for name in names])


def pids(server: Server) -> set[int]:
    return {row[0] for row in server.rows("SELECT pid FROM seen")}


def both(server: Server, folder: Path) -> list[int]:
    """The pids of two processes that have one of six jobs each; each lasts until its file is there."""
    put(server, *(str(folder / name) for name in "abcdef"))
    return sorted(eventually(lambda: pids(server) if len(pids(server)) == 2 else None, 30, "two processes") or [])


def let_go(folder: Path) -> None:
    """All jobs of ``both`` end."""
    for name in "abcdef":
        (folder / name).touch()


def told(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return json.loads(out)


def gone(*pids: int) -> bool:
    """Whether processes have ended; those that nobody has waited for yet have."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                return False
    return True


def claiming(server: Server) -> Any:
    """How many connections claim jobs."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%mail_claim%' AND pid <> pg_backend_pid()"
    return server.value(query)


def test_a_process_that_is_killed_is_started_again(server: Server, folder: Path) -> None:
    with consuming(server, folder, "block", "--processes", "2", "--lease", "1") as process:
        first, second = both(server, folder)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: pids(server) - {first, second}, 30, "a third process, which has the job of the first")
        assert f"process {first} has ended by SIGKILL; another one is started in 0.5 s" in (folder / "log").read_text()
        let_go(folder)
        eventually(lambda: left(server) == {"done": 6}, 30, "all jobs, done")
        process.send_signal(signal.SIGTERM)
        assert told(process) == {"done": 6, "failed": 0, "released": 0, "lost": 0, "restarted": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_of_them_and_no_job_is_lost(server: Server, folder: Path, number: signal.Signals) -> None:
    with consuming(server, folder, "block", "--processes", "2") as process:
        both(server, folder)
        process.send_signal(number)
        eventually(lambda: claiming(server) == 0, 30, "the end of all claims")
        let_go(folder)
        assert told(process) == {"done": 2, "failed": 0, "released": 0, "lost": 0, "restarted": 0}
    assert left(server) == {"done": 2, "ready": 4}


def test_a_second_signal_ends_the_time_of_handlers(server: Server, folder: Path) -> None:
    with consuming(server, folder, "block", "--processes", "2", "--grace", "1000") as process:
        both(server, folder)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: claiming(server) == 0, 30, "the end of all claims")
        process.send_signal(signal.SIGTERM)
        assert told(process)["done"] == 0
    assert left(server) == {"running": 2, "ready": 4}


def test_a_signal_for_every_process_is_one(server: Server, folder: Path) -> None:
    """As systemd sends it: those that are looked after get it twice, and handlers have their time all the same."""
    with consuming(server, folder, "block", "--processes", "2", "--grace", "1000") as process:
        first, second = both(server, folder)
        for pid in (first, second):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: claiming(server) == 0, 30, "the end of all claims")
        for pid in (first, second, process.pid):
            os.kill(pid, signal.SIGTERM)
        # nothing tells that they have heard it and go on, but that they are there
        with pytest.raises(Red):
            eventually(lambda: gone(first) or gone(second), 3, "a process that has ended")
        let_go(folder)
        assert told(process)["done"] == 2
    assert left(server) == {"done": 2, "ready": 4}


def test_a_terminal_that_interrupts_processes_which_begin_is_not_told_of_it(server: Server, folder: Path) -> None:
    with consuming(server, folder, "note", "--processes", "2", own_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        # the first one is of multiprocessing itself
        eventually(lambda: len(children.read_text().split()) >= 2, 30, "a process that begins")
        os.killpg(process.pid, signal.SIGINT)
        assert told(process)["done"] == 0
        assert "Traceback" not in (folder / "log").read_text()


@pytest.mark.parametrize("options", [(), ("--processes", "1")])
def test_what_a_handler_runs_in_a_thread_does_not_outlive_its_time(
    server: Server, folder: Path, options: tuple[str, ...]
) -> None:
    put(server, "a")
    with consuming(server, folder, "asleep", "--grace", "0.1", *options) as process:
        eventually(lambda: pids(server), 30, "a handler")
        process.send_signal(signal.SIGTERM)
        assert told(process)["done"] == 0
        assert "killed" not in (folder / "log").read_text()


def test_the_death_of_the_parent_ends_the_others(server: Server, folder: Path) -> None:
    with consuming(server, folder, "block", "--processes", "2") as process:
        first, second = both(server, folder)
        process.kill()
        process.wait()
        eventually(lambda: claiming(server) == 0, 30, "the end of all claims")
        let_go(folder)
        eventually(lambda: gone(first, second), 30, "the end of both")
        assert "Traceback" not in (folder / "log").read_text()
    assert left(server) == {"done": 2, "ready": 4}


def test_coroutines_are_consumed_by_processes_until_there_are_no_more(server: Server, folder: Path) -> None:
    put(server, *(str(n) for n in range(50)))
    with consuming(server, folder, "later", "--processes", "2", "--concurrency", "4", "--until-empty") as process:
        assert told(process)["done"] == 50
    assert left(server) == {"done": 50}


def test_a_process_that_dies_at_once_is_started_more_and_more_slowly(server: Server, folder: Path) -> None:
    with consuming(server, folder, "die", "--processes", "1", "--lease", "1") as process:
        put(server, "a")
        eventually(lambda: "with status 3; another one is started in 1.0 s" in (folder / "log").read_text(), 30)
        process.send_signal(signal.SIGTERM)
        assert told(process)["restarted"] >= 2


@pytest.mark.parametrize(
    ("handler", "wrong"),
    [
        ("handlers:nothing", "module handlers has no nothing"),
        ("handlers:none", "can't be called"),
        ("handlers:HANDLERS", "has no HANDLERS"),
        ("nowhere:f", "the handler can't be imported"),
        ("os:sep", "the handler is not a function"),
    ],
)
def test_a_wrong_handler_is_found_before_any_is_started(server: Server, folder: Path, handler: str, wrong: str) -> None:
    _, err = pgbgw(server, "consume", "mails:mail", handler, "--processes", "2", code=2, cwd=folder)
    assert wrong in err
    assert "has ended" not in err


def test_a_queue_that_is_not_there_is_found_before_any_is_started(server: Server, folder: Path) -> None:
    source = (FOLDER / "post.py").read_text().replace('Extension("post"', 'Extension("parcels"')
    (folder / "parcels.py").write_text(source)
    _, err = pgbgw(server, "consume", "parcels:mail", "handlers:note", "--processes", "2", code=4, cwd=folder)
    assert "Run CREATE EXTENSION parcels there." in err
    assert "has ended" not in err
