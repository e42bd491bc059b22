"""Declarations under ``mypy --strict``: those that must pass, and those whose marked lines must be errors.

A line that must fail ends in ``# error: <code>``, mypy's code in brackets; every other line must pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in CASES.glob("*.py"))


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """What mypy says of all cases, by file: line and code of each error. One run, since it reads the package once."""
    cache = tmp_path_factory.mktemp("mypy")
    command = [
        sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary",
        "--show-error-codes", "--hide-error-context", "--no-pretty", *(str(CASES / name) for name in NAMES),
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    found: dict[str, list[tuple[int, str]]] = {name: [] for name in NAMES}
    for line in run.stdout.splitlines():
        error = re.fullmatch(r"(.*):(\d+): error: .*\[([a-z-]+)\]", line)
        if error is not None:
            path = Path(error[1])
            assert path.name in found, line
            found[path.name].append((int(error[2]), error[3]))
        else:
            assert ": note: " in line, line
    return found


@pytest.mark.parametrize("name", NAMES)
def test_errors_stand_where_they_are_marked(name: str, errors: dict[str, list[tuple[int, str]]]) -> None:
    expected = []
    for number, line in enumerate((CASES / name).read_text().splitlines(), 1):
        if mark := re.search(r"# error: ([a-z-]+)$", line):
            expected.append((number, mark[1]))
    assert errors[name] == expected
    assert bool(expected) == (not name.startswith("ok_"))
