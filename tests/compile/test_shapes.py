"""Small extensions: each kind of worker alone, and names that a server's headers might know."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgbgw import Counter, Extension, Gauge, Payload, SharedStats, Text, call, seconds, sql
from pgbgw.check import check
from pgbgw.codegen.emit import emit
from pgbgw.codegen.files import SourceTree
from pgbgw.lower import lower
from pgbgw.sqltext import keyword_kind
from tests.compile.compiling import compiles, needs, write
from tests.layout.test_layout import indented
from tests.server.conftest import server_15, server_18


class Job(Payload):
    body: str


class Hot(SharedStats):
    done = Counter(hot=True)


class Note(SharedStats):
    note = Text(20)


def _sampler(shop: Any, folder: Path, **options: Any) -> None:
    # The path is relative to the file with the declaration, which is this one.
    (folder / "sampler.c").write_text(
        '#include "postgres.h"\n\n#include "fmgr.h"\n\nextern void sample(Datum main_arg);\n\n'
        "void\nsample(Datum main_arg)\n{\n}\n"
    )
    shop.c_worker("sampler", source=str(folder / "sampler.c"), function="sample", every=seconds(1), **options)


def _noted(shop: Any) -> None:
    note = shop.shared_stats("note", Note).note
    shop.interval_worker("w", every=seconds(1), run=sql("SELECT 1"), on_round=note.report(), on_failed=note.set("x"))


SHAPES: dict[str, Callable[[Any, Path], object]] = {
    "nothing": lambda shop, folder: None,
    "a setting": lambda shop, folder: shop.int_setting("n", 1, context="user"),
    "hot counters": lambda shop, folder: shop.shared_stats("hot", Hot),
    "one text": lambda shop, folder: shop.shared_stats("note", Note),
    "queue without worker": lambda shop, folder: shop.queue("jobs", Job),
    "queue and call": lambda shop, folder: shop.queue_worker("w", shop.queue("j", Job), run=call("public.f")),
    "queue and statement": lambda shop, folder: shop.queue_worker("w", shop.queue("j", Job), run=sql("SELECT 1")),
    "interval and call": lambda shop, folder: shop.interval_worker("w", every=seconds(1), run=call("public.f")),
    "interval and statement": lambda shop, folder: shop.interval_worker("w", every=seconds(1), run=sql("SELECT 1")),
    "actions": lambda shop, folder: _noted(shop),
    "top level": lambda shop, folder: shop.interval_worker(
        "w", every=seconds(1), run=sql("VACUUM"), transaction=False
    ),
    "dynamic": lambda shop, folder: shop.dynamic_worker("w", run=sql("SELECT 1")),
    "dynamic and value": lambda shop, folder: shop.dynamic_worker(
        "w", args={"n": "bigint"}, run=call("public.f", "n")
    ),
    "dynamic and text": lambda shop, folder: shop.dynamic_worker(
        "w", args={"t": "numeric(4,2)"}, run=call("public.f", "t")
    ),
    "dynamic at top level": lambda shop, folder: shop.dynamic_worker("w", run=sql("VACUUM"), transaction=False),
    "c worker": lambda shop, folder: _sampler(shop, folder),
    "c worker of the postmaster": lambda shop, folder: _sampler(shop, folder, start="postmaster"),
    "c worker with sql": lambda shop, folder: _sampler(shop, folder, sql=True, timeout=seconds(1)),
}  # fmt: skip

# Headers, types, macros and functions of PostgreSQL and of the C library.
NAMES = (
    "background", "plan", "sort", "backup", "recovery", "slru", "latch", "lwlock", "state", "spi", "dsm", "guc", "c",
    "postgres", "port", "fmgr", "miscadmin", "time", "math", "float", "string", "limits", "module", "backoff", "queue",
    "worker", "shared", "life_cycle", "main", "int64", "bool", "errno", "linux", "_", "_0", "a__b", "x" * 40,
)  # fmt: skip


def shop(shape: str, folder: Path, name: str = "shop") -> SourceTree:
    extension = Extension(name, database="postgres")
    SHAPES[shape](extension, folder)
    return emit(lower(check(extension)))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_alone(shape: str, tmp_path: Path) -> None:
    """Nothing is declared that is not used, and nothing used that is not declared."""
    tree = shop(shape, tmp_path)
    folder = write(tree.files, tmp_path / "out")
    compiles("gcc", server_15().includedir_server, folder, "-O2")
    compiles("clang", server_18().includedir_server, folder, "-fsyntax-only")
    own = {path: text for path, text in tree.files.items() if path != "sampler.c"}
    changes = indented(own, tmp_path)
    assert not changes, changes


@pytest.mark.parametrize("name", NAMES)
def test_names_that_others_use(name: str, tmp_path: Path) -> None:
    """An extension may have the name of a header, type or variable of the server's or the system's."""
    extension: Any = Extension(name, database="postgres")
    state = extension.shared_stats("state", type("State", (SharedStats,), {"done": Counter(), "alive": Gauge()}))
    extension.queue_worker(
        "work", extension.queue("jobs", Job), run=call("public.f", "body"), on_done=state.done.add(), alive=state.alive
    )
    extension.dynamic_worker("main", args={"key": "text"}, run=sql("SELECT :key"))
    folder = write(emit(lower(check(extension))).files, tmp_path)
    for server in (server_15(), server_18()):
        compiles("gcc", server.includedir_server, folder, "-fsyntax-only")


def lower_case_macros(include: Path, folder: Path) -> list[str]:
    """Macros without arguments that a declared name could be, as the emitted files see them."""
    (folder / "macros.c").write_text("".join(f"#include {header}\n" for header in HEADERS))
    command = [needs("gcc"), "-D_GNU_SOURCE", "-isystem", str(include), "-dM", "-E", "macros.c"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    words = [line.split()[1] for line in said.splitlines() if len(line.split()) > 2]
    return sorted(word for word in words if word.replace("_", "a").isalnum() and word == word.lower())


HEADERS = sorted(
    {
        line.split()[1]
        for shape in ("queue and call", "top level", "dynamic and text")
        for path, text in shop(shape, Path()).files.items()
        if path.endswith((".c", ".h"))
        for line in text.splitlines()
        if line.startswith("#include") and line.split()[1] not in ('"module.h"', '"claim.h"', '"backoff.h"')
    },
    key=lambda header: (header != '"postgres.h"', header),
)


def test_fields_and_arguments_with_names_of_macros(tmp_path: Path) -> None:
    """A macro in lower case (st_mtime, linux) must not replace a member of ours."""
    words = lower_case_macros(server_15().includedir_server, tmp_path)
    words = [word for word in words if not word.startswith("__") and keyword_kind(word) in {None, "unreserved"}]
    assert "st_mtime" in words
    extension: Any = Extension("shop", database="postgres")
    fields = {word: Text(8) if number % 2 else Counter(hot=number % 4 == 0) for number, word in enumerate(words)}
    extension.shared_stats("all", type("State", (SharedStats,), fields))
    for start in range(0, len(words), 20):
        chosen = words[start : start + 20]
        statement = f"SELECT {', '.join(f':{word}' for word in chosen)}"
        extension.dynamic_worker(f"w{start}", args=dict.fromkeys(chosen, "integer"), run=sql(statement), limit=1)
    folder = write(emit(lower(check(extension))).files, tmp_path / "out")
    for server in (server_15(), server_18()):
        compiles("gcc", server.includedir_server, folder, "-fsyntax-only")
