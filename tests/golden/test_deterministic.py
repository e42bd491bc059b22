"""The same bytes from every process, wherever it runs and however it hashes, and nothing of the place in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden import emitted

ROOT = Path(__file__).parents[2]

# Prints the digest of every file of every case.
SCRIPT = """
import hashlib, json, sys
from tests.golden import emitted
from pgbgw.ir.dump import dump
print(json.dumps([
    [case, path, hashlib.sha256(text.encode()).hexdigest()]
    for case in emitted.CASES
    for path, text in [*emitted.tree(case).files.items(), ("ir.txt", dump(emitted.module(case)))]
]))
"""


def digests(seed: str, folder: Path) -> list[list[str]]:
    """Case, path and digest of everything, from a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: list[list[str]] = json.loads(ran.stdout)
    return found


def test_two_processes_agree(tmp_path: Path) -> None:
    """The order too: the rows stand in the order of emission."""
    first, second = digests("1", tmp_path), digests("4711", Path("/"))
    assert first == second
    assert [case for case in emitted.CASES if not any(row[0] == case for row in first)] == []


def test_this_process_agrees(tmp_path: Path) -> None:
    """Emitting many trees in one process leaves nothing behind that the next one shows."""
    here = {
        (case, path): hashlib.sha256(text.encode()).hexdigest()
        for case in reversed(emitted.CASES)
        for path, text in emitted.tree(case).files.items()
    }
    there = {(case, path): digest for case, path, digest in digests("2", tmp_path) if path != "ir.txt"}
    assert here == there


@pytest.mark.parametrize("case", emitted.CASES)
def test_no_trace_of_the_place(case: str) -> None:
    """No absolute path, no user, no year of a timestamp."""
    traces = [str(ROOT), str(Path.home()), str(emitted.folder(case)), "declaration.py"]
    for path, text in emitted.tree(case).files.items():
        assert not Path(path).is_absolute()
        assert [trace for trace in traces if len(trace) > 1 and trace in text] == [], path
        assert not re.search(r"\b20[2-9][0-9]-[01][0-9]-[0-3][0-9]\b|__DATE__|__TIME__", text), path


@pytest.mark.parametrize("case", emitted.CASES)
def test_text_files_are_tidy(case: str) -> None:
    """Lines end in newlines, without blanks before them, and no mark of the generator is left."""
    tree = emitted.tree(case)
    for path, text in tree.files.items():
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", text), path
        assert "@{" not in text, path
        assert "//%" not in text, path
        if not path.endswith(".out"):
            assert [n for n, line in enumerate(text.split("\n"), 1) if line != line.rstrip()] == [], path
