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
from pgbgw.faults.waiting import eventually
from tests.server.posts import FOLDER, Mail, clear, conninfo, left, mail, post_server
from tests.server.running import Server
from tests.server.test_cli_queues import ROOT, pgbgw

HANDLERS = """
import os, pathlib, sys, time
import psycopg

def note(mail):
    with psycopg.connect(mail.body, autocommit=True) as connection:
        connection.execute("INSERT INTO seen VALUES (%s, %s)", [os.getpid(), mail.address])

def block(mail):
    note(mail)
    while not pathlib.Path(mail.address).exists():
        time.sleep(0.01)

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
def consuming(server: Server, folder: Path, handler: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    with (folder / "log").open("w") as log, subprocess.Popen(
        [sys.executable, "-m", "pgbgw", "consume", "mails:mail", f"handlers:{handler}", "--dsn", conninfo(server),
         "--json", *options],
        stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
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
    """The pids of two processes that have six jobs, more than one of them takes; each lasts until its file is there."""
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


def test_a_signal_ends_all_of_them_and_no_job_is_lost(server: Server, folder: Path) -> None:
    with consuming(server, folder, "block", "--processes", "2") as process:
        both(server, folder)
        process.send_signal(signal.SIGINT)
        eventually(lambda: left(server) == {"running": 2, "ready": 4}, 30, "what was not begun, given back")
        let_go(folder)
        assert told(process) == {"done": 2, "failed": 0, "released": 4, "lost": 0, "restarted": 0}
    assert left(server) == {"done": 2, "ready": 4}


def test_a_second_signal_ends_the_time_of_handlers(server: Server, folder: Path) -> None:
    with consuming(server, folder, "block", "--processes", "2", "--grace", "1000") as process:
        both(server, folder)
        process.send_signal(signal.SIGTERM)
        listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%mail_claim%' AND pid <> pg_backend_pid()"
        eventually(lambda: server.value(listens) == 0, 30, "the end of all claims")
        process.send_signal(signal.SIGTERM)
        assert told(process)["done"] == 0
    assert left(server) == {"running": 2, "ready": 4}


def test_the_death_of_the_parent_ends_the_others(server: Server, folder: Path) -> None:
    with consuming(server, folder, "block", "--processes", "2") as process:
        first, second = both(server, folder)
        process.kill()
        process.wait()
        eventually(lambda: left(server) == {"running": 2, "ready": 4}, 30, "what was not begun, given back")
        let_go(folder)
        eventually(lambda: gone(first, second), 30, "the end of both")
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
