"""The setup script: tables and handlers of the user's own, which a declaration expects."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pgbgw.server.cluster import Cluster
from pgbgw.server.errors import ServerError

__all__ = ["Setup", "digest", "run_setup"]


@dataclass(frozen=True, slots=True)
class Setup:
    """A setup script; ``path`` as the person named it, which is how errors name it."""

    path: Path
    digest: str

    @classmethod
    def of(cls, declaration: Path, named: Path | None) -> Setup | None:
        """The script that was named, else the one beside the declaration that has its name with .sql, if there is one.

        Raises:
            ServerError: it can't be read.
        """
        beside = declaration.with_suffix(".sql")
        path = named if named is not None else beside if beside.is_file() else None
        return cls.read(path) if path is not None else None

    @classmethod
    def read(cls, path: Path) -> Setup:
        """The script as it is now.

        Raises:
            ServerError: it can't be read.
        """
        try:
            return cls(path, digest(path.read_bytes()))
        except OSError as error:
            raise ServerError(f'could not read the setup script "{path}"', detail=f"{error}.") from error


def digest(data: bytes) -> str:
    """What tells two versions of a script apart."""
    return hashlib.sha256(data).hexdigest()


def run_setup(cluster: Cluster, database: str, setup: Setup) -> str:
    """Run the script with psql in one transaction; returns what it printed.

    Raises:
        ServerError: a statement failed; the detail names its line, and nothing of the script was kept.
        ToolMissing: psql is not installed.
    """
    options = ["-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", str(setup.path)]
    # Nothing that would lead psql elsewhere, and none of the notices of IF NOT EXISTS.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    ran = subprocess.run(
        [*cluster.psql_command(database), *options],
        env={**kept, "PGOPTIONS": "-c client_min_messages=warning", "PGCLIENTENCODING": "UTF8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if ran.returncode != 0:
        said = "\n".join(line.removeprefix("psql:") for line in ran.stderr.strip().splitlines())
        raise ServerError(
            f'the setup script "{setup.path}" failed in database "{database}"',
            detail=said or f"psql exited with status {ran.returncode}.",
            hint="Correct it and run again; it runs in one transaction, so nothing of it was kept.",
        )
    return ran.stdout + ran.stderr
