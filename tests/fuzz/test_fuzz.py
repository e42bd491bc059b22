"""The fuzzers run, find nothing in the core, and tell of what there is to be found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris has no wheel for this machine")

ROOT = Path(__file__).parents[2]
TARGETS = ["decoder", "results", "encoder", "receiver", "schedule"]


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the fuzzers as somebody types it."""
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    """Some thousand inputs, the same ones each time as long as neither core nor target change; fewer on a machine that
    is held up.
    """
    ran = fuzz(target, "--runs", "2000", "--seconds", "120", "--seed", "1", "--folder", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf"^{target}: no finding in \d{{3,}} new inputs", ran.stdout)
    assert any((tmp_path / "corpus" / target).iterdir())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_ten_minutes(target: str) -> None:
    """From where runs before have ended."""
    ran = fuzz(target, "--seconds", "600")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("jobs", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_no_memory_is_lost(jobs: int) -> None:
    """In a process of its own, since others keep what they like."""
    command = [sys.executable, "-m", "tests.fuzz.leaks", str(jobs)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = re.fullmatch(r"(-?\d+) blocks, (-?\d+) kB, 0 slabs\n", ran.stdout)
    assert found is not None, ran.stdout
    # Of 4000 jobs at the least, so that a block for every twentieth shows.
    assert int(found[1]) < 200
    assert int(found[2]) < 256


@pytest.mark.parametrize(
    ("begins", "told"), [("M", "AddressSanitizer: heap-buffer-overflow"), ("E", "CopyError: the stream")]
)
def test_what_is_wrong_is_told(begins: str, told: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus" / "planted"
    corpus.mkdir(parents=True)
    (corpus / "seed").write_text(begins)
    ran = fuzz("planted", "--runs", "100", "--folder", str(tmp_path))
    assert ran.returncode == 1
    assert told in ran.stdout
    (found,) = (tmp_path / "findings").iterdir()
    assert found.read_text().startswith(begins)
    assert f"--replay {found}" in ran.stdout
    again = fuzz("planted", "--replay", str(found))
    assert again.returncode != 0
    assert told in again.stdout + again.stderr
