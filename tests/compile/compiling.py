"""Calling compilers as the emitted C must survive them: warnings are errors, the server's headers system headers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

__all__ = ["COMPILERS", "WARNINGS", "compiles", "extra_includes", "needs", "write"]

COMPILERS = ("gcc", "clang")

WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror")

_PACKAGES = {"pg_bsd_indent": "pg-bsd-indent"}


def needs(program: str) -> str:
    """The path of a program; the test fails with what to install where it is missing."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is missing: apt install {_PACKAGES.get(program, program)}", pytrace=False)
    return found


def extra_includes() -> list[Path]:
    """Folders include/server of further majors, which PGBGW_EXTRA_INCLUDES names with colons between them."""
    return [Path(path) for path in os.environ.get("PGBGW_EXTRA_INCLUDES", "").split(":") if path]


def write(files: Mapping[str, str], folder: Path) -> Path:
    """Write emitted files into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def compiles(compiler: str, include: Path, folder: Path, *flags: str, sources: Sequence[str] = ()) -> None:
    """Compile the C files of a folder, all of them unless some are named; what the compiler says fails the test."""
    names = list(sources) or sorted(path.name for path in folder.glob("*.c"))
    assert names
    command = [needs(compiler), *WARNINGS, "-D_GNU_SOURCE", "-isystem", str(include), "-I.", *flags, "-c", *names]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ran.returncode != 0 or ran.stderr:
        pytest.fail(f"{compiler} with the headers in {include}\n{ran.stderr[:8000]}", pytrace=False)
