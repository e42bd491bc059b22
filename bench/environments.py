"""Environments of other projects: each has its own, outside the checkout, made when it is first needed.

The cache is PGBGW_CACHE, else the folder pgbgw of XDG_CACHE_HOME or ~/.cache; below it stands ``bench/<name>``. An
environment is kept as it is until its folder is removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Environment", "Unavailable", "environment", "pgmq_sql"]

_MARK = "installed"
_SECONDS = 600


class Unavailable(RuntimeError):
    """A subject can't take part; the message is the reason for the table: the end of a sentence about the subject."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with the named requirements in it."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def version(self, package: str) -> str:
        """The version of a package that is installed there."""
        asked = f"import importlib.metadata as m; print(m.version({package!r}))"
        return subprocess.run([self.python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def cache() -> Path:
    """The folder of all of them."""
    named = os.environ.get("PGBGW_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pgbgw"
    return base.expanduser() / "bench"


def environment(name: str, *requirements: str) -> Environment:
    """The environment of a name, made where it is missing or was made for other requirements.

    Raises:
        Unavailable: it can't be made.
    """
    folder = cache() / name
    mark, wanted = folder / _MARK, "\n".join(requirements)
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return Environment(folder)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Unavailable(f"could not be installed: {reason(error)}") from error
    # Written last, so that an interrupted installation is never taken for a whole one.
    mark.write_text(wanted, encoding="utf-8")
    return Environment(folder)


def reason(error: Exception) -> str:
    """The last line that a program said before it failed, or what became of it."""
    said = getattr(error, "stderr", None) or ""
    lines = [line.strip() for line in (said if isinstance(said, str) else said.decode(errors="replace")).splitlines()]
    told = [line for line in lines if line]
    return told[-1] if told else str(error)


def pgmq_sql() -> str:
    """The script that makes pgmq's objects, from the wheel in which its authors publish it.

    Raises:
        Unavailable: it can't be had.
    """
    folder = environment("pgmq", "pgmq>=1.1").folder
    found = sorted(folder.glob("lib/python*/site-packages/pgmq/sql/pgmq.sql"))
    if not found:
        raise Unavailable("has no pgmq.sql in its wheel")
    return found[0].read_text(encoding="utf-8")


def _run(*command: str) -> None:
    options = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS, env={**os.environ, **options})
