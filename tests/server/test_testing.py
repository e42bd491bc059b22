"""The plugin for pytest, as the tests of the example use it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_jobs_that_are_not_done_in_time_are_told(tmp_path: Path) -> None:
    for name in ("shop.py", "shop.sql", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / "examples" / "shop" / name).read_text())
    (tmp_path / "test_it.py").write_text(
        "from datetime import timedelta\n"
        "from shop import Order, orders\n"
        "def test_it(pgbgw_database):\n"
        "    pgbgw_database.connection.execute('SELECT shop.orders_pause()')\n"
        "    orders.enqueue(pgbgw_database.connection, Order(customer='a', amount=1))\n"
        "    pgbgw_database.run_due(timedelta(seconds=0.2))\n"
    )
    ran = run(tmp_path)
    assert ran.returncode == 1
    assert "StillWaiting: due, and not done within 0.2 s: 1 of queue orders" in ran.stdout
