"""Writing and compiling a tree: whole or not at all, nothing foreign lost, compiler messages told with their origin."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pgbgw.build import CompileError, Pg, TreeRefused, build, find_server
from pgbgw.build.pgconfig import embedded_pg_config
from pgbgw.build.pgxs import MANIFEST, run_make, write_tree
from pgbgw.origin import Origin
from tests.server.tiny_extension import TinyTree, tiny_tree

ORIGIN = Origin("jobs.py", 7, 1, 7, 20)


@pytest.fixture(scope="module")
def pg() -> Pg:
    return find_server(str(embedded_pg_config()))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_build_leaves_the_tree_with_its_library(tmp_path: Path, pg: Pg) -> None:
    said: list[str] = []
    tree = tiny_tree()
    artifact = build(tree, pg, tmp_path / "out", progress=said.append)
    assert sorted(said[:-1]) == ["tiny.c", "tiny_worker.c"]
    assert said[-1] == "tiny.so"
    assert artifact.library == tmp_path / "out" / "tiny.so"
    assert artifact.library.is_file()
    assert " -c -o tiny.o tiny.c" in artifact.log
    assert {name: (tmp_path / "out" / name).read_text() for name in tree.files} == tree.files
    assert os.listdir(tmp_path) == ["out"]


def test_install_does_not_compile_again(tmp_path: Path, pg: Pg) -> None:
    out = build(tiny_tree(), pg, tmp_path / "out").directory
    stage = tmp_path / "stage"
    arguments = [f"PG_CONFIG={pg.pg_config}", f"DESTDIR={stage}", "CC=false", "CLANG=false"]
    subprocess.run(["make", "-C", out, *arguments, "install"], check=True, capture_output=True)
    names = sorted(path.name for path in stage.rglob("*") if path.is_file())
    assert names == ["tiny--1.0.sql", "tiny.control", "tiny.so"]


def test_two_builds_give_the_same_bytes_wherever_they_lie(tmp_path: Path, pg: Pg) -> None:
    for name in ("here", "there/below"):
        build(tiny_tree(), pg, tmp_path / name)
    assert contents(tmp_path / "here") == contents(tmp_path / "there" / "below")
    assert str(tmp_path).encode() not in b"".join(contents(tmp_path / "here").values())


def test_a_path_with_spaces(tmp_path: Path, pg: Pg) -> None:
    assert build(tiny_tree(), pg, tmp_path / "my project" / "out").library.is_file()


def test_a_changed_header_compiles_again(tmp_path: Path, pg: Pg) -> None:
    out = build(tiny_tree(), pg, tmp_path / "out").directory
    header = out / "tiny.h"
    later = (out / "tiny.so").stat().st_mtime_ns + 1_000_000_000
    os.utime(header, ns=(later, later))
    assert "tiny.c" in run_make(out, pg, "-n", "all")[1]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_flags_that_a_compiler_refuses_are_dropped(tmp_path: Path, pg: Pg, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.fail(f"{compiler} is missing: apt install {compiler}", pytrace=False)
    out = write_tree(tiny_tree(), tmp_path / "out")
    flags = "CFLAGS=-O2 -Wall -Wformat-security -Wno-such-warning-exists -Wsuch-warning-exists -fno-strict-aliasing"
    status, log = run_make(out, pg, f"CC={compiler}", flags, "PG_CFLAGS=-Wextra -Wno-unused-parameter -Werror", "all")
    assert status == 0, log
    compiled = next(line for line in log.splitlines() if "-o tiny.o" in line)
    assert " -Wsuch-warning-exists" not in compiled
    for kept in ("-O2", "-Wformat-security", "-fno-strict-aliasing", "-fPIC"):
        assert f" {kept} " in compiled
    assert "warning: " not in log


def test_recorded_flags_need_no_help(tmp_path: Path, pg: Pg) -> None:
    for compiler in ("gcc", "clang"):
        out = write_tree(tiny_tree(), tmp_path / compiler)
        status, log = run_make(out, pg, f"CC={compiler}", "PG_CFLAGS=-Wextra -Wno-unused-parameter -Werror", "all")
        assert status == 0, log


def test_the_next_build_replaces_the_tree(tmp_path: Path, pg: Pg) -> None:
    out = tmp_path / "out"
    build(tiny_tree(), pg, out)
    build(tiny_tree("other"), pg, out)
    assert (out / "other.so").is_file()
    assert not (out / "tiny.c").exists()
    assert not (out / "tiny.so").exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert (write_tree(tiny_tree(), tmp_path / "out") / MANIFEST).is_file()


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(TreeRefused, match="holds files that would be lost") as raised:
        write_tree(tiny_tree(), out)
    assert '"thesis.txt"' in str(raised.value.detail)
    assert contents(out) == {"thesis.txt": b"years of work"}


def test_a_folder_of_others_is_not_searched_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large" / "below").mkdir(parents=True)

    def walk(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "below/gone")

    monkeypatch.setattr(Path, "rglob", walk)
    with pytest.raises(TreeRefused, match="holds files that would be lost"):
        write_tree(tiny_tree(), tmp_path / "large")


def test_a_folder_that_can_not_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed" / "out"

    def look(path: Path, stat: Callable[..., os.stat_result] = Path.stat, **options: bool) -> os.stat_result:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", look)
    with pytest.raises(TreeRefused, match="could not look at") as raised:
        write_tree(tiny_tree(), closed)
    assert "Permission denied" in str(raised.value.detail)


@pytest.mark.parametrize("name", ["tiny.c", "notes.txt", MANIFEST])
def test_what_was_changed_by_hand_is_not_replaced(tmp_path: Path, name: str) -> None:
    out = write_tree(tiny_tree(), tmp_path / "out")
    (out / name).write_text("changed")
    before = contents(out)
    with pytest.raises(TreeRefused):
        write_tree(tiny_tree(), out)
    assert contents(out) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(TreeRefused, match="is not a folder"):
        write_tree(tiny_tree(), tmp_path / "out")


def test_the_earlier_tree_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write_tree(tiny_tree(), tmp_path / "out")
    before = contents(out)

    def rename(source: Path, target: Path, rename: object = os.rename) -> None:
        if ".new-" in source.name:
            raise OSError(28, "No space left on device")
        Path(source).replace(target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(TreeRefused, match="could not write the tree") as raised:
        write_tree(tiny_tree("other"), out)
    assert "No space left" in str(raised.value.detail)
    assert contents(out) == before
    assert os.listdir(tmp_path) == ["out"]


def broken(text: str, line: int) -> TinyTree:
    tree = tiny_tree()
    return replace(
        tree.with_file("tiny_worker.c", tree.files["tiny_worker.c"].replace("CHECK_FOR_INTERRUPTS();", text)),
        origins={("tiny_worker.c", line): ORIGIN},
    )


def test_an_error_of_the_compiler_names_the_declared_value(tmp_path: Path, pg: Pg) -> None:
    line = tiny_tree().files["tiny_worker.c"].split("CHECK_FOR")[0].count("\n") + 1
    with pytest.raises(CompileError) as raised:
        build(broken("int n = no_such_thing;", line), pg, tmp_path / "out")
    (message,) = raised.value.messages
    assert (message.path, message.line, message.origin) == ("tiny_worker.c", line, ORIGIN)
    assert message.column is not None
    assert "no_such_thing" in message.text
    assert "int n = no_such_thing;" in message.excerpt
    assert str(ORIGIN) in str(raised.value.hint)
    assert str(message) in str(raised.value.detail)
    assert (tmp_path / "out" / "tiny_worker.c").is_file()


def test_an_error_inside_a_macro_of_the_server_is_ours_all_the_same(tmp_path: Path, pg: Pg) -> None:
    line = tiny_tree().files["tiny_worker.c"].split("CHECK_FOR")[0].count("\n") + 1
    with pytest.raises(CompileError) as raised:
        build(broken("StaticAssertStmt(1 == 2, x);", line), pg, tmp_path / "out")
    assert ORIGIN in [message.origin for message in raised.value.messages]


def test_errors_of_all_files_come_at_once(tmp_path: Path, pg: Pg) -> None:
    tree = tiny_tree().with_file("tiny.c", "int f(void) { return a; }\n").with_file("tiny_worker.c", "int g( {\n")
    with pytest.raises(CompileError) as raised:
        build(tree, pg, tmp_path / "out")
    assert {message.path for message in raised.value.messages} == {"tiny.c", "tiny_worker.c"}
    assert raised.value.hint is None


def test_without_a_message_of_the_compiler_the_log_is_shown(tmp_path: Path, pg: Pg) -> None:
    tree = tiny_tree().with_file("Makefile", "all:\n\t@echo out of luck; exit 2\n")
    with pytest.raises(CompileError, match='make failed on extension "tiny"') as raised:
        build(tree, pg, tmp_path / "out")
    assert "out of luck" in str(raised.value.detail)
    assert raised.value.messages == ()


def test_an_outer_make_does_not_leak_in(tmp_path: Path, pg: Pg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "n -- DESTDIR=/nowhere")
    monkeypatch.setenv("MAKELEVEL", "3")
    assert build(tiny_tree(), pg, tmp_path / "out").library.is_file()
