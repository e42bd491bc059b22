"""pg_bsd_indent, with the options that PostgreSQL's pgindent gives it, leaves every emitted file as it is."""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgbgw.check import check
from pgbgw.codegen.emit import emit
from pgbgw.lower import lower
from pgbgw.sqltext import keyword_kind
from tests.compile.compiling import needs
from tests.golden import emitted
from tests.layout.named import named
from tests.server.conftest import server_15, server_18

# pgindent's own, from src/tools/pgindent/pgindent; its indent(1) is told every typedef by a file.
OPTIONS = """
-bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 -i4 -l79 -lp -lpl -nip -npro -sac -tpg -ts4
""".split()  # noqa: SIM905

# Types in lower case; the others are read from the server's headers. pgindent has all of them in typedefs.list.
_PLAIN_TYPES = """
bool float4 float8 int16 int32 int64 int8_t int16_t int32_t int64_t pairingheap pairingheap_node pg_atomic_uint64
pg_time_t pg_tz pid_t sigjmp_buf
uint32 uint64 uint8_t uint64_t
""".split()  # noqa: SIM905

_DECLARED = re.compile(r"^typedef (?:struct|enum|union) (\w+)|^\} ?(\w+);|^typedef .*\(\*(\w+)\)", re.MULTILINE)

_TYPEDEF = re.compile(
    r"^typedef [^;{}()]*?\b(\w+);|^typedef (?:struct|enum|union) (\w+)|^\} ?(\w+);|^typedef [^;{}]*?\(\*(\w+)\)",
    re.MULTILINE,
)

name = st.from_regex(r"[a-z_][a-z0-9_]{0,39}", fullmatch=True).filter(
    lambda text: not text.startswith("pg_") and keyword_kind(text) in {None, "unreserved"}
)


@cache
def server_types() -> set[str]:
    """The types that PostgreSQL's headers define, of all servers at hand."""
    found = set(_PLAIN_TYPES)
    for server in (server_15(), server_18()):
        for header in sorted(server.includedir_server.rglob("*.h")):
            for match in _TYPEDEF.findall(header.read_text(errors="replace")):
                found.update(name for name in match if name.endswith("_type") or name != name.lower())
    return found


def indented(files: Mapping[str, str], folder: Path) -> str:
    """What pg_bsd_indent would change in the C of a tree, as a diff; empty if nothing."""
    program = needs("pg_bsd_indent")
    sources = {path: text for path, text in files.items() if path.endswith((".c", ".h"))}
    declared = {found for text in sources.values() for match in _DECLARED.findall(text) for found in match if found}
    typedefs = folder / "typedefs"
    used = {word for text in sources.values() for word in re.findall(r"\w+", text)}
    typedefs.write_text("\n".join(sorted(declared | (used & server_types()))) + "\n")
    changes = ""
    for path, text in sources.items():
        before, after = folder / "before.c", folder / "after.c"
        before.write_bytes(text.encode())
        ran = subprocess.run([program, before, after, *OPTIONS, f"-U{typedefs}"], capture_output=True, text=True)
        assert ran.returncode == 0, f"{path}: {ran.stderr}"
        first, second = (each.splitlines(keepends=True) for each in (text, after.read_bytes().decode()))
        changes += "".join(difflib.unified_diff(first, second, f"emitted/{path}", f"indented/{path}"))
    return changes


@pytest.mark.parametrize("case", emitted.CASES)
def test_golden_cases(case: str, tmp_path: Path) -> None:
    changes = indented(emitted.tree(case).files, tmp_path)
    assert not changes, changes


def test_that_this_test_can_fail(tmp_path: Path) -> None:
    """A file that is not laid out is changed: the options and the list of types do reach the program."""
    text = emitted.tree("my_worker").files["module.h"]
    for good, bad in (("\tpid_t\t\tpid;", "\tpid_t pid;"), ("\tLatch\t   *latch;", "\tLatch *latch;")):
        assert good in text
        assert indented({"module.h": text.replace(good, bad)}, tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(extension=name, other=name, size=st.integers(2, 8192))
@example("a", "b", 2)
@example("a_name_of_forty_characters_is_rather_long", "another_name_of_forty_characters_in_here", 8192)
@example("abcdefghijk", "abcdefghijkl", 10)
def test_names_of_any_length(tmp_path: Path, extension: str, other: str, size: int) -> None:
    """Where a name ends decides on tabs and on breaks of lines, and no length has another rule than the rest."""
    declared = named(extension, other, size)
    changes = indented(emit(lower(check(declared))).files, tmp_path)
    assert not changes, changes


@pytest.mark.parametrize("length", range(1, 41))
def test_every_length_of_an_extension_name(length: int, tmp_path: Path) -> None:
    """One name of each length up to 40, so that none is left to chance."""
    declared = named(("abcdefghij" * 4)[:length], "w" * (41 - length), length + 1)
    changes = indented(emit(lower(check(declared))).files, tmp_path)
    assert not changes, changes
