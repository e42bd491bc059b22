"""The plugin for pytest, as the tests of the example use it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgbgw.faults.waiting import eventually
from tests.server.conftest import server_15

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


def test_the_tests_of_the_example_pass() -> None:
    ran = run(ROOT / "examples" / "shop")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^4 passed in", ran.stdout, re.MULTILINE)


def test_what_is_to_be_said_is_told(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(pgbgw_database): pass\n")
    ran = run(tmp_path)
    assert ran.returncode == 1
    assert 'say pgbgw_declaration = "shop.py" in [tool.pytest.ini_options]' in ran.stdout


def project(folder: Path, tests: str, **ini: str) -> None:
    """The declaration of the example with other tests."""
    for name in ("shop.py", "shop.sql", "handlers.py"):
        (folder / name).write_text((ROOT / "examples" / "shop" / name).read_text())
    told = {"pgbgw_declaration": "shop.py", "pgbgw_setup": "shop.sql"} | ini
    lines = "".join(f'{name} = "{value}"\n' for name, value in told.items())
    (folder / "pyproject.toml").write_text(f'[tool.pytest.ini_options]\npythonpath = ["."]\n{lines}')
    (folder / "test_it.py").write_text(tests)


NIGHTLY = """
from datetime import timedelta
import psycopg
import pytest
from pgbgw.testing import StillWaiting
from shop import nightly

def reports(database):
    return database.connection.execute("SELECT by, count(*) FROM reports GROUP BY by ORDER BY by").fetchall()

def test_a_day_passes(pgbgw_database):
    pgbgw_database.run_due()
    assert reports(pgbgw_database) == []
    pgbgw_database.advance(timedelta(days=3))
    pgbgw_database.run_due()
    assert reports(pgbgw_database) == [("bill", 2), ("nightly", 1)]

def test_it_can_be_run_now_and_begins_anew_in_each_test(pgbgw_database):
    pgbgw_database.connection.execute("TRUNCATE reports; SELECT shop.pause_schedule('bill')")
    pgbgw_database.connection.execute("SELECT shop.run_schedule('nightly')")
    pgbgw_database.advance(timedelta(hours=1))
    pgbgw_database.run_due()
    assert reports(pgbgw_database)[-1][0] == "nightly"

def test_a_run_is_told_of_when_it_has_ended(pgbgw_database):
    pgbgw_database.connection.execute("TRUNCATE reports")
    nightly.pause(pgbgw_database.connection)
    first, second = pgbgw_database.run_now(nightly), pgbgw_database.run_now(nightly)
    assert (first.outcome, second.outcome, first.id < second.id) == ("done", "done", True)
    assert reports(pgbgw_database) == [("nightly", 2)]
    pgbgw_database.connection.execute("ALTER TABLE reports RENAME TO hidden")
    failed = pgbgw_database.run_now(nightly)
    pgbgw_database.connection.execute("ALTER TABLE hidden RENAME TO reports")
    assert (failed.outcome, failed.sqlstate) == ("failed", "42P01")

def test_a_run_that_lasts_is_not_waited_for_for_ever(pgbgw_database):
    with psycopg.connect(pgbgw_database.conninfo) as other:
        other.execute("LOCK reports")
        with pytest.raises(StillWaiting, match='the run of schedule "nightly" has not ended within 0.1 s'):
            pgbgw_database.run_now(nightly, within=timedelta(seconds=0.1))

def test_what_is_paused_by_a_test_goes_on_in_the_next(pgbgw_database):
    pgbgw_database.connection.execute("TRUNCATE reports")
    pgbgw_database.advance(timedelta(days=1))
    pgbgw_database.run_due()
    assert reports(pgbgw_database) == [("bill", 1), ("nightly", 1)]
"""

SHOP = """
from pgbgw import Extension, catch_up, sql
shop = Extension("shop", database="postgres")
write = "INSERT INTO public.reports VALUES ('{}')"
nightly = shop.cron_worker("nightly", "30 2 * * *", run=sql(write.format("nightly")))
shop.cron_worker("bill", "0 0 * * *", missed=catch_up(2), run=sql(write.format("bill")))
"""


def test_schedules_go_by_a_clock_of_the_test(tmp_path: Path) -> None:
    project(tmp_path, NIGHTLY)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "shop.sql").write_text("CREATE TABLE public.reports (by text);")
    ran = run(tmp_path)
    assert re.search(r"^5 passed in", ran.stdout, re.MULTILINE), ran.stdout + ran.stderr


USING = """
import asyncio
from datetime import timedelta
import pytest
from shop import Mail, mails, orders, Order

def test_jobs_can_be_looked_at(pgbgw_database):
    for name in ("a@example.org", "nobody"):
        mails.enqueue(pgbgw_database.connection, Mail(address=name, body=""))
    assert [job.payload.address for job in pgbgw_database.jobs(mails)] == ["a@example.org", "nobody"]
    with pytest.raises(LookupError, match="of nobody"):
        pgbgw_database.consume(mails, refuse, propagate=True)
    assert [job.payload.address for job in pgbgw_database.jobs(mails, "later")] == ["nobody"]
    pgbgw_database.advance(timedelta(hours=1))
    with pytest.raises(LookupError, match="of nobody"):
        pgbgw_database.consume(mails, refuse_later, propagate=True)
    pgbgw_database.advance(timedelta(hours=1))
    assert pgbgw_database.consume(mails, refuse).failed == 1

def refuse(mail, job):
    if mail.address == "nobody":
        raise LookupError("of nobody")

async def refuse_later(mail, job):
    refuse(mail, job)

def test_keys_get_older(pgbgw_database):
    def enqueue():
        return mails.enqueue(pgbgw_database.connection, Mail(address="a@example.org", body=""), unique_key="k",
                             unique_for=timedelta(days=1))
    assert enqueue()
    pgbgw_database.consume(mails, lambda mail: None)
    pgbgw_database.advance(timedelta(hours=23))
    assert enqueue() is None
    pgbgw_database.advance(timedelta(hours=2))
    assert enqueue()

def test_a_server_that_is_stopped(pgbgw_database):
    pgbgw_database.cluster.stop("immediate")

def test_is_started_again(pgbgw_database):
    orders.enqueue(pgbgw_database.connection, Order(customer="a", amount=1))
    pgbgw_database.run_due()

def test_the_server_is_the_one_that_was_asked_for(pgbgw_database):
    assert pgbgw_database.connection.info.server_version // 10000 == MAJOR
"""


@pytest.mark.parametrize("name", ["pg15", "pg18"])
def test_what_tests_can_do(tmp_path: Path, name: str) -> None:
    ini = {"pgbgw_pg_config": str(server_15().pg_config)} if name == "pg15" else {}
    project(tmp_path, USING.replace("MAJOR", name.removeprefix("pg")), **ini)
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^5 passed in", ran.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("faulty", "told"),
    [
        ({"pgbgw_setup": "nowhere.sql"}, "pgbgw_setup in [tool.pytest.ini_options] names no file"),
        ({"pgbgw_declaration": "handlers.py"}, "error[BGW004]"),
        ({"pgbgw_declaration": "nowhere.py"}, "declaration can't be read: nowhere.py"),
        ({"pgbgw_setup": "faulty.sql"}, "faulty.sql:2: syntax error at or near"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, faulty: dict[str, str], told: str) -> None:
    project(tmp_path, "def test_it(pgbgw_database): pass\n", **faulty)
    (tmp_path / "faulty.sql").write_text("SELECT 1;\nSELEKT 2;\n")
    ran = run(tmp_path)
    assert ran.returncode == 1
    assert told in ran.stdout
    assert "Traceback" not in ran.stdout


LEFT_OPEN = """
import psycopg
import pytest
from shop import Mail, Order, mails, orders

LEFT = []

def leave_open(database, *statements):
    LEFT.append(psycopg.connect(database.conninfo, application_name="forgetful"))
    for statement in statements:
        LEFT[-1].execute(statement)

def test_a_transaction_is_left_open(pgbgw_database):
    leave_open(pgbgw_database, "INSERT INTO shop.mails (address, body) VALUES ('a', 'b')")

def test_the_next_one_is_clean(pgbgw_database):
    assert pgbgw_database.jobs(mails) == []
    with pytest.raises(psycopg.OperationalError):
        LEFT[0].execute("SELECT 1")

def test_a_worker_is_kept_waiting(pgbgw_database):
    leave_open(pgbgw_database, "LOCK TABLE public.bookings")
    orders.enqueue(pgbgw_database.connection, Order(customer="a", amount=1))
    while pgbgw_database.connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is None:
        pass

def test_the_one_after_it_is_clean_as_well(pgbgw_database):
    pgbgw_database.run_due()
"""


def test_a_transaction_that_was_left_open_is_ended_and_told(tmp_path: Path) -> None:
    project(tmp_path, LEFT_OPEN)
    ran = run(tmp_path)
    assert re.search(r"^4 passed, 2 warnings in", ran.stdout, re.MULTILINE), ran.stdout + ran.stderr
    assert 'its session "forgetful" was ended, whose last statement was: INSERT INTO shop.mails' in ran.stdout
    assert 'its session "forgetful" was ended, whose last statement was: LOCK TABLE public.bookings' in ran.stdout


KILLED = """
from pathlib import Path
import time

def test_it(pgbgw_database):
    told = f"{pgbgw_database.cluster.status().pid} {pgbgw_database.cluster.directory.parent}"
    Path("told.new").write_text(told)
    Path("told.new").rename("told")
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_pytest_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    project(tmp_path, KILLED)
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")},
    )  # fmt: skip
    try:
        eventually(lambda: (tmp_path / "told").exists(), within=120)
    finally:
        process.send_signal(number)
        process.wait()
    pid, folder = (tmp_path / "told").read_text().split(" ", 1)
    eventually(lambda: not Path(folder).exists(), within=120)
    eventually(lambda: not list((tmp_path / "tmp").glob("pgbgw-*")), within=120)
    # nobody may be there who takes note of its end
    state = subprocess.run(["ps", "-p", pid, "-o", "state="], capture_output=True, text=True).stdout.strip()
    assert state in ("", "Z")


def test_jobs_that_are_not_done_in_time_are_told(tmp_path: Path) -> None:
    project(
        tmp_path,
        "from datetime import timedelta\n"
        "from shop import Order, orders\n"
        "def test_it(pgbgw_database):\n"
        "    pgbgw_database.connection.execute('SELECT shop.orders_pause()')\n"
        "    orders.enqueue(pgbgw_database.connection, Order(customer='a', amount=1))\n"
        "    pgbgw_database.run_due(timedelta(seconds=0.2))\n",
    )
    ran = run(tmp_path)
    assert ran.returncode == 1
    assert "StillWaiting: due, and not done within 0.2 s: 1 of queue orders" in ran.stdout
