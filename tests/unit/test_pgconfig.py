"""Finding a server: the order of the search, and an error with a way out for each thing that may be missing."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

from pgbgw.build import BuildError, ServerNotFound, StageError, ToolMissing, find_server, pgconfig
from pgbgw.build.pgconfig import embedded_pg_config

EMBEDDED = embedded_pg_config()


def installation(
    root: Path,
    version: str = "15.9",
    *,
    num: int | None = 150009,
    headers: bool = True,
    pgxs: bool = True,
    cc: str = "sh",
) -> Path:
    """A made-up installation with a pg_config that answers for it; returns the path of pg_config."""
    include = root / "include" / "server"
    makefile = root / "lib" / "pgxs.mk"
    for folder in (root / "bin", include, makefile.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if headers:
        (include / "postgres.h").write_text("")
        (include / "pg_config_x86_64.h").write_text(f"#define PG_VERSION_NUM {num}\n" if num else "")
    if pgxs:
        makefile.write_text("")
    answers = {
        "BINDIR": root / "bin",
        "INCLUDEDIR-SERVER": include,
        "PKGLIBDIR": root / "lib",
        "SHAREDIR": root / "share",
        "PGXS": makefile,
        "CC": cc,
        "CFLAGS": "-O2 -DX='a = b'",
        "VERSION": f"PostgreSQL {version}",
    }
    return program(root / "bin" / "pg_config", [f"{name} = {value}" for name, value in answers.items()])


def program(path: Path, lines: list[str], status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(f"echo {shlex.quote(line)}" for line in lines)
    path.write_text(f"#!/bin/sh\n{body}\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Neither PG_CONFIG nor a pg_config on PATH, where make is still found."""
    tools = tmp_path / "tools"
    for name in ("make", "sh", "gcc"):
        program(tools / name, [])
    monkeypatch.delenv("PG_CONFIG", raising=False)
    monkeypatch.setenv("PATH", str(tools))
    return monkeypatch


def test_a_named_one_is_described(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    named = installation(tmp_path / "pg")
    pg = find_server(str(named))
    assert (pg.major, pg.version_num, pg.version, pg.origin) == (15, 150009, "PostgreSQL 15.9", "--pg-config")
    assert (pg.pg_config, pg.bindir, pg.pkglibdir) == (named, tmp_path / "pg" / "bin", tmp_path / "pg" / "lib")
    assert pg.cflags == "-O2 -DX='a = b'"
    assert pg.note == ""


def test_the_order_of_the_search(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    named, by_variable, on_path = (installation(tmp_path / name) for name in ("named", "variable", "path"))
    assert find_server().origin == "embedded"
    nothing_set.setenv("PATH", f"{on_path.parent}:{tmp_path / 'tools'}")
    assert find_server().pg_config == on_path
    nothing_set.setenv("PG_CONFIG", str(by_variable))
    assert (find_server().pg_config, find_server().origin) == (by_variable, "PG_CONFIG")
    assert find_server(str(named)).pg_config == named


def test_a_folder_may_be_named(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    named = installation(tmp_path / "pg")
    assert find_server(str(tmp_path / "pg")).pg_config == named


def test_pg_config_of_libpq_on_path_gives_way(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    on_path = installation(tmp_path / "pg", headers=False)
    nothing_set.setenv("PATH", f"{on_path.parent}:{tmp_path / 'tools'}")
    pg = find_server()
    assert pg.origin == "embedded"
    assert str(on_path) in pg.note
    assert "server headers of PostgreSQL 15 are missing" in pg.note


def test_pg_config_of_libpq_by_name_is_an_error(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    named = installation(tmp_path / "pg", headers=False)
    with pytest.raises(ToolMissing) as raised:
        find_server(str(named))
    assert "postgresql-server-dev-15" in str(raised.value.hint)
    assert "postgresql-server-devel" in str(raised.value.hint)


def test_a_wrapper_on_path_that_fails_gives_way(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    wrapper = program(tmp_path / "bin" / "pg_config", ["You need to install postgresql-server-dev-NN"], status=1)
    nothing_set.setenv("PATH", f"{wrapper.parent}:{tmp_path / 'tools'}")
    assert find_server().origin == "embedded"


def test_without_the_wheel_the_reason_is_told(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setattr(pgconfig, "embedded_pg_config", lambda: None)
    with pytest.raises(ServerNotFound, match="no PostgreSQL server found"):
        find_server()
    on_path = installation(tmp_path / "pg", headers=False)
    nothing_set.setenv("PATH", f"{on_path.parent}:{tmp_path / 'tools'}")
    with pytest.raises(ToolMissing, match="server headers"):
        find_server()


@pytest.mark.parametrize(
    ("version", "num", "major"), [("19rc1", 190000, 19), ("18.6 (Debian 18.6-1)", None, 18), ("17devel", 170000, 17)]
)
def test_versions(tmp_path: Path, nothing_set: pytest.MonkeyPatch, version: str, num: int | None, major: int) -> None:
    assert find_server(str(installation(tmp_path / "pg", version, num=num))).major == major


@pytest.mark.parametrize(("version", "num"), [("14.12", 140012), ("20.0", 200000)])
def test_versions_out_of_range(tmp_path: Path, nothing_set: pytest.MonkeyPatch, version: str, num: int) -> None:
    with pytest.raises(ServerNotFound, match=rf"PostgreSQL {num // 10000} is not supported") as raised:
        find_server(str(installation(tmp_path / "pg", version, num=num)))
    assert "15 to 19" in str(raised.value.detail)


def test_what_is_missing_is_named(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    missing_makefiles = installation(tmp_path / "a", pgxs=False)
    with pytest.raises(ToolMissing, match="PGXS") as raised:
        find_server(str(missing_makefiles))
    assert "postgresql-server-dev-15" in str(raised.value.hint)
    with pytest.raises(ToolMissing, match='C compiler "cc-of-nobody" not found') as raised:
        find_server(str(installation(tmp_path / "b", cc="cc-of-nobody -m64")))
    assert "gcc" in str(raised.value.hint)
    (tmp_path / "tools" / "make").unlink()
    with pytest.raises(ToolMissing, match="make not found") as raised:
        find_server(str(installation(tmp_path / "c")))
    assert "make" in str(raised.value.hint)


def test_a_path_that_make_cannot_read(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildError, match="make cannot read"):
        find_server(str(installation(tmp_path / "My Server")))


def test_what_is_no_pg_config(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerNotFound, match="does not exist"):
        find_server(str(tmp_path / "nowhere"))
    (tmp_path / "text").write_text("")
    with pytest.raises(ServerNotFound, match="is not a program"):
        find_server(str(tmp_path / "text"))
    with pytest.raises(ServerNotFound, match="does not answer as pg_config does"):
        find_server(str(program(tmp_path / "echo", ["hello"])))
    with pytest.raises(ServerNotFound, match="failed"):
        find_server(str(program(tmp_path / "fails", ["hello"], status=3)))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"\x7fELF nothing")
    damaged.chmod(0o755)
    with pytest.raises(ServerNotFound, match="could not run"):
        find_server(str(damaged))


def test_the_wheel_is_found_without_running_its_python() -> None:
    assert EMBEDDED is not None
    pg = find_server(str(EMBEDDED))
    assert pg.major == 18
    assert pg.program("pg_ctl").is_file()
    with pytest.raises(ToolMissing, match='program "pg_nothing" not found'):
        pg.program("pg_nothing")


def test_errors_print_their_parts() -> None:
    error = StageError("it failed", detail="There was a cause.", hint="Do something.")
    assert str(error) == "it failed\ndetail: There was a cause.\nhint: Do something."
