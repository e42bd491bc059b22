"""Each case gives the middle form and the files that are kept beside it; see README.md for how to update them."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from pgbgw.ir.dump import dump
from tests.golden import emitted

UPDATE = os.environ.get("PGBGW_UPDATE") == "1"


@pytest.mark.parametrize("case", emitted.CASES)
def test_case(case: str) -> None:
    """What is emitted is what is kept, to the byte."""
    folder = emitted.folder(case)
    current = {"ir.txt": dump(emitted.module(case)), **_chosen(folder, emitted.tree(case).files)}
    if UPDATE:
        _keep(folder, current)
    difference = _difference(_kept(folder), current)
    if difference:
        hint = "If this is meant: PGBGW_UPDATE=1 python -m pytest tests/golden"
        pytest.fail(f"{case} is emitted differently\n{difference}\n{hint}", pytrace=False)


def test_some_case_keeps_every_file() -> None:
    """No kind of emitted file escapes review: each template's output is kept by some case."""
    kept = {path.name for case in emitted.CASES for path in (emitted.folder(case) / "tree").rglob("*")}
    shared = {name for case in emitted.CASES for name in emitted.tree(case).files if name.count("/") == 0}
    named = {name for name in shared if not name.startswith("worker_") and name.endswith((".c", ".h"))}
    assert named | {"Makefile", "META.json", "README.md"} <= kept


def _chosen(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """The files of the tree that the case keeps, by their paths in the folder of the case."""
    listed = folder / "files"
    wanted = listed.read_text().split() if listed.exists() else list(files)
    return {f"tree/{path}": files[path] for path in wanted if path in files}


def _kept(folder: Path) -> dict[str, str]:
    """What the folder holds; a file that is listed but lost is empty."""
    listed = folder / "files"
    paths = [path for path in sorted((folder / "tree").rglob("*")) if path.is_file()]
    kept = {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in (folder / "ir.txt", *paths)
            if path.exists()}  # fmt: skip
    wanted = listed.read_text().split() if listed.exists() else []
    return {f"tree/{path}": "" for path in wanted} | kept


def _keep(folder: Path, current: Mapping[str, str]) -> None:
    shutil.rmtree(folder / "tree", ignore_errors=True)
    for name, text in current.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def _difference(kept: Mapping[str, str], current: Mapping[str, str]) -> str:
    """A unified diff of all files, empty where they agree."""
    lines: list[str] = []
    for name in sorted(kept.keys() | current.keys()):
        before, after = (files.get(name, "").splitlines(keepends=True) for files in (kept, current))
        lines += difflib.unified_diff(before, after, f"kept/{name}", f"emitted/{name}")
        if name not in kept or name not in current:
            lines.append(f"only in {'current' if name in current else 'kept'}: {name}\n")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n" for line in lines)
