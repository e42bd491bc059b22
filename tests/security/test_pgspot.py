"""What is emitted as SQL, against pgspot, which looks for names that somebody else could take.

``scripts/setup-pgspot.sh`` puts it into a cache: it needs an older pglast than pgbgw does. No code of its is ignored.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pgbgw.ir.model import QueueIR
from tests.golden.emitted import CASES, module, tree

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup-pgspot.sh"

Spot = Callable[[str], list[str]]


@pytest.fixture(scope="session")
def folder() -> Path:
    """Where pgspot is."""
    made = subprocess.run([str(SCRIPT)], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


@pytest.fixture
def spot(folder: Path, tmp_path: Path) -> Spot:
    """What pgspot finds in SQL; fails where it could not read it."""

    def run(sql: str) -> list[str]:
        path = tmp_path / "script.sql"
        path.write_text(sql, encoding="utf-8")
        # -S: without the packages of this interpreter
        command = [sys.executable, "-S", "-m", "pgspot", str(path)]
        ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True)
        found = re.findall(r"^PS\d{3}: .*$", ran.stdout, re.MULTILINE)
        counted = re.search(r"Errors: (\d+) Warnings: (\d+) Unknown: (\d+)", ran.stdout)
        assert counted is not None, ran.stdout + ran.stderr
        assert (ran.returncode == 0) == (counted.groups() == ("0", "0", "0")), ran.stdout + ran.stderr
        assert (ran.returncode == 0) == (found == []), ran.stdout + ran.stderr
        return found

    return run


def script(case: str) -> str:
    """The script of CREATE EXTENSION."""
    emitted = module(case)
    return tree(case).files[f"{emitted.name}--{emitted.version}.sql"]


@pytest.mark.parametrize("case", CASES)
def test_scripts(case: str, spot: Spot) -> None:
    assert spot(script(case)) == []


def statements(queue: QueueIR) -> str:
    """What a worker runs by itself, one statement after the other."""
    # to these C hands jobs over as relations without a schema
    texts = {name: "\n".join(lines) for name, lines in queue.statements if name not in ("lease", "keep_done")}
    return ";\n".join(texts.values())


@pytest.mark.parametrize("case", [case for case in CASES if module(case).queues])
def test_statements_of_workers(case: str, spot: Spot) -> None:
    """They would be safe with any search_path, though it is pinned."""
    for queue in module(case).queues:
        assert spot(statements(queue)) == []


# What each code is about, put into a script: pgspot must tell of it, or it tells of nothing.
FAULTS = {
    "PS001": ("OPERATOR(pg_catalog.=)", "="),
    "PS002": ("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
    "PS012": ("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"),
    "PS016": ("SELECT pg_catalog.pg_extension_config_dump", "SELECT pg_extension_config_dump"),
}


@pytest.mark.parametrize("code", FAULTS)
def test_it_would_tell(code: str, spot: Spot) -> None:
    old, new = FAULTS[code]
    sound = script("everything")
    assert old in sound
    found = spot(sound.replace(old, new))
    assert any(each.startswith(code) for each in found), found
