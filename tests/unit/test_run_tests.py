"""What `make test` makes of tests that fail: once more by themselves, and then they have to pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts" / "run-tests.sh"

_TESTS = """\
from pathlib import Path

def test_passes():
    pass

def test_fails_the_first_time():
    seen = Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("held up")

def test_broken():
    assert not {broken}
"""


@pytest.mark.parametrize(
    ("broken", "code", "told"),
    [
        (False, 0, "Passed only by themselves, and are to be mended:\ntest_some.py::test_fails_the_first_time\n"),
        (True, 1, "1 failed, 1 passed"),
    ],
)
def test_what_fails_is_run_once_more(tmp_path: Path, broken: bool, code: int, told: str) -> None:
    """A test that fails twice is a failure, and one that passes by itself is named."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(_SCRIPT, tmp_path / "scripts")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_some.py").write_text(_TESTS.format(broken=broken))
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}

    ran = subprocess.run(
        [tmp_path / "scripts" / "run-tests.sh", "1", "-k", "test_"], env=settings, capture_output=True, text=True
    )

    assert ran.returncode == code, ran.stdout + ran.stderr
    assert told in ran.stdout
