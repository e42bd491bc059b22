"""Installing: everything or nothing, in an order in which nothing is ever half installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pgbgw.build import Artifact, Pg, build, find_server
from pgbgw.build.pgconfig import embedded_pg_config
from pgbgw.server import InstallError, ServerError, install, install_into, remaining_steps
from tests.server.tiny_extension import tiny_tree


@pytest.fixture(scope="module")
def pg() -> Pg:
    return find_server(str(embedded_pg_config()))


@pytest.fixture(scope="module")
def artifact(pg: Pg, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return build(tiny_tree(), pg, tmp_path_factory.mktemp("tiny") / "out")


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fail_on(suffix: str, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file with this suffix not be put into place; restoring a backup goes on working."""
    real: Callable[[Path, Path], None] = os.replace

    def replace_unless(source: Path, target: Path) -> None:
        if target.suffix == suffix and not source.name.endswith(".before-pgbgw"):
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_unless)


def test_into_the_folders_of_the_server_below_destdir(artifact: Artifact, pg: Pg, tmp_path: Path) -> None:
    done = install(artifact, pg, destdir=tmp_path)
    library, script, control = (path.relative_to(tmp_path) for path in done.files)
    assert Path("/", library) == pg.pkglibdir / "tiny.so"
    assert Path("/", script) == pg.sharedir / "extension" / "tiny--1.0.sql"
    assert Path("/", control) == pg.sharedir / "extension" / "tiny.control"
    assert [path.stat().st_mode & 0o777 for path in done.files] == [0o755, 0o644, 0o644]
    assert len(files_below(tmp_path)) == 3


def test_into_a_folder_of_ours(artifact: Artifact, pg: Pg, tmp_path: Path) -> None:
    install_into(artifact, pg, tmp_path)
    done = install_into(artifact, pg, tmp_path)
    names = ["lib/tiny.so", "share/extension/tiny--1.0.sql", "share/extension/tiny.control"]
    assert [str(path.relative_to(tmp_path)) for path in done.files] == names
    assert sorted(files_below(tmp_path)) == names


@pytest.mark.parametrize("suffix", [".so", ".sql", ".control"])
@pytest.mark.parametrize("earlier", [False, True], ids=["first", "again"])
def test_a_failure_takes_everything_back(
    artifact: Artifact, pg: Pg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, earlier: bool
) -> None:
    if earlier:
        for path in install_into(artifact, pg, tmp_path).files:
            path.write_text(f"earlier {path.name}")
    before = files_below(tmp_path)
    fail_on(suffix, OSError(28, "No space left on device"), monkeypatch)
    with pytest.raises(InstallError, match="could not install") as raised:
        install_into(artifact, pg, tmp_path)
    assert "No space left on device. Nothing was changed." in str(raised.value.detail)
    assert files_below(tmp_path) == before


def test_permission_denied_gives_the_command_to_type(
    artifact: Artifact, pg: Pg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(".so", PermissionError(13, "Permission denied"), monkeypatch)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "extension")
    with pytest.raises(InstallError, match="permission denied to write to") as raised:
        install(artifact, pg, destdir=tmp_path)
    assert f"{pg.sharedir}/extension" in raised.value.message
    command = f"sudo make -C {artifact.directory} PG_CONFIG={pg.pg_config} install"
    assert raised.value.hint == f"Type: {command}"


def test_another_major_version_is_refused(artifact: Artifact, pg: Pg, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="was built for PostgreSQL 18"):
        install(artifact, replace(pg, version_num=150009), destdir=tmp_path)
    assert files_below(tmp_path) == {}


def test_what_remains_to_be_done() -> None:
    first, second, third = remaining_steps("shop", preloaded="pg_stat_statements", database="shop db")
    assert first == "psql -c \"ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements', 'shop';\""
    assert "restart" in second
    assert third == "psql -d 'shop db' -c \"CREATE EXTENSION shop;\""


def test_when_nobody_knows_what_is_preloaded_nothing_is_dropped_unseen() -> None:
    look, change, restart, create = remaining_steps("shop", restart="systemctl restart postgresql")
    assert "SHOW shared_preload_libraries" in look
    assert change.index("...") < change.index("shop")
    assert restart == "systemctl restart postgresql"
    assert "CREATE EXTENSION shop;" in create


def test_what_is_preloaded_already_needs_no_restart() -> None:
    assert remaining_steps("shop", preloaded="a, $libdir/shop") == ['psql -d postgres -c "CREATE EXTENSION shop;"']
    assert remaining_steps("Odd-name", preloaded='"Odd-name"')[-1].endswith("""'CREATE EXTENSION "Odd-name";'""")


def test_a_broken_list_is_an_error() -> None:
    with pytest.raises(ServerError, match="invalid list syntax"):
        remaining_steps("shop", preloaded='"a')
