"""From a file to its extension."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pgbgw.declare.load import load
from pgbgw.diagnostics import collecting


def codes(declare: Callable[[], object]) -> list[str]:
    """The codes that a declaration reports."""
    with collecting() as found:
        declare()
    return [each.code for each in found]


def test_load_runs_the_file_among_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text('NAME = "shop"\n')
    path = tmp_path / "queue.py"  # the name of a library module
    path.write_text(
        "import neighbour\nfrom queue import Queue\nfrom pgbgw import Extension\nshop = Extension(neighbour.NAME)\n"
    )
    before, modules = list(sys.path), sys.modules.get("queue")
    shop = load(path)
    sys.modules.pop("neighbour", None)
    assert shop is not None
    assert shop.name == "shop"
    assert (sys.path, sys.modules.get("queue")) == (before, modules)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "BGW004"),
        ("import sys; sys.exit(1)", "BGW003"),
        ("raise ValueError", "BGW003"),
        ("1 / 0", "BGW003"),
        ("import no_such_module_anywhere", "BGW003"),
        ("def f(): f()\nf()", "BGW003"),
        ("x = (", "BGW002"),
        ("x = '\\ud800", "BGW002"),
        ("# coding: no-such-coding\n", "BGW002"),
    ],
)
def test_files_that_can_not_be_loaded(tmp_path: Path, source: str, expected: str) -> None:
    path = tmp_path / "shop.py"
    path.write_text(source)
    assert codes(lambda: load(path)) == [expected]


@pytest.mark.parametrize("data", [b"\0", b"\xff\xfe", b"x = '\x80'"])
def test_files_that_are_no_text(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "shop.py"
    path.write_bytes(data)
    assert codes(lambda: load(path))[0] in {"BGW002", "BGW003"}


def test_a_folder_is_no_declaration(tmp_path: Path) -> None:
    assert codes(lambda: load(tmp_path)) == ["BGW001"]


def test_an_extension_may_have_two_names(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text('from pgbgw import Extension\nshop = same = Extension("shop")\n')
    assert load(path) is not None
