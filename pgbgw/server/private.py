"""A private copy of a server, to install into without touching the server's own folders.

PostgreSQL finds its folders relative to its programs (make_relative_path() in src/port/path.c), so a copy that keeps
bin, lib and share in their relation is a server of its own.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from pgbgw.build.pgconfig import Pg, read_pg_config
from pgbgw.server.errors import ServerError

__all__ = ["private_server"]

# Where bin is shared with the rest of the system (/usr/bin on Fedora), only these are the server's.
_PROGRAMS = frozenset({"postgres", "initdb", "psql", "createdb", "dropdb", "createuser", "vacuumdb", "pgbench"})


def private_server(pg: Pg, where: Path) -> Pg:
    """Copy a server below a folder of ours (tens of megabytes, a fraction of a second) and describe the copy.

    Everybody may read the copy, whatever the mode of the original, since another user may have to run it.

    Raises:
        ServerError: the folder can't be written.
        ServerNotFound: the copy does not run.
    """
    base, parts = _parts(pg)
    try:
        for folder, ignore in parts:
            shutil.copytree(folder, where / folder.relative_to(base), ignore=ignore, dirs_exist_ok=True)
        _link_headers(pg, base, where)
        _open_to_readers(where)
    except (OSError, shutil.Error) as error:
        raise ServerError(
            f'could not copy the server of "{pg.pg_config}" to "{where}"',
            detail=f"{error}.",
            hint="Make room there, or choose another folder.",
        ) from error
    return read_pg_config(where / (pg.bindir / "pg_config").relative_to(base), origin="private")


_Ignore = Callable[[str, list[str]], Iterable[str]]


def _parts(pg: Pg) -> tuple[Path, list[tuple[Path, _Ignore | None]]]:
    """The folder that the copy stands for, and what is copied of it."""
    server = Path(os.path.commonpath([pg.bindir, pg.pkglibdir, pg.sharedir]))
    libraries = _libraries_of_wheel(server)
    if libraries is not None:
        return libraries.parent, [(server, None), (libraries, None)]
    without_bitcode = shutil.ignore_patterns("bitcode")
    return server, [(pg.bindir, _only_programs), (pg.pkglibdir, without_bitcode), (pg.sharedir, None)]


def _libraries_of_wheel(server: Path) -> Path | None:
    """Where the programs find their libraries if the server is a folder of a Python package, else None.

    auditwheel puts the libraries of a wheel NAME beside its packages, into NAME.libs, and has programs search there by
    a path relative to their own. A package with a server has the name of its wheel.
    """
    package = server.parent
    libraries = package.parent / f"{package.name}.libs"
    return libraries if package.name and libraries.is_dir() else None


def _only_programs(folder: str, names: list[str]) -> Iterable[str]:
    return [name for name in names if name not in _PROGRAMS and not name.startswith("pg_")]


def _link_headers(pg: Pg, base: Path, where: Path) -> None:
    if not pg.includedir_server.is_relative_to(base):
        return
    link = where / pg.includedir_server.relative_to(base)
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(pg.includedir_server)


def _open_to_readers(where: Path) -> None:
    for folder, _, files in os.walk(where):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | 0o444 | (0o111 if mode & 0o100 else 0))
