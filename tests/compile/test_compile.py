"""The emitted C of every golden case under gcc and clang, with the headers of every major at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgbgw.build import CompileError, Pg, build
from pgbgw.build.pgxs import run_make
from tests.compile.compiling import COMPILERS, compiles, extra_includes, write
from tests.golden import emitted
from tests.server.conftest import EACH_SERVER, SERVERS, server_15, server_18

# All kinds of file are in one case; clang sees those of the others in the long run.
_COMPILED = [
    pytest.param(case, compiler, marks=[pytest.mark.slow] if compiler == "clang" and case != "everything" else [])
    for case in emitted.CASES
    for compiler in COMPILERS
]


@pytest.mark.parametrize("server", EACH_SERVER)
@pytest.mark.parametrize(("case", "compiler"), _COMPILED)
def test_without_warnings(case: str, server: str, compiler: str, tmp_path: Path) -> None:
    """With optimization, which is when compilers see values that are used before they are set."""
    folder = write(emitted.tree(case).files, tmp_path)
    compiles(compiler, SERVERS[server]().includedir_server, folder, "-O2")


# Majors whose headers are not installed everywhere: collected where PGBGW_EXTRA_INCLUDES names their folders.
if extra_includes():

    @pytest.mark.parametrize("compiler", COMPILERS)
    @pytest.mark.parametrize("case", emitted.CASES)
    def test_without_warnings_on_further_majors(case: str, compiler: str, tmp_path: Path) -> None:
        """As above, for each of the folders."""
        folder = write(emitted.tree(case).files, tmp_path)
        for include in extra_includes():
            compiles(compiler, include, folder, "-O2")


@pytest.mark.parametrize("optimize", [pytest.param("-O0", marks=pytest.mark.slow), "-O2"])
@pytest.mark.parametrize("server", EACH_SERVER)
def test_static_analysis(server: str, optimize: str, tmp_path: Path) -> None:
    """gcc follows every path of the code and finds nothing."""
    folder = write(emitted.tree("everything").files, tmp_path)
    compiles("gcc", SERVERS[server]().includedir_server, folder, optimize, "-fanalyzer")


@pytest.mark.parametrize("standard", ["-std=c11", "-std=gnu99", "-std=gnu17"])
def test_standards_of_c(standard: str, tmp_path: Path) -> None:
    """C11 without extensions, the GNU C that PGXS chooses for older servers, and that of today's compilers."""
    folder = write(emitted.tree("everything").files, tmp_path)
    flags = ("-O2", "-Wdeclaration-after-statement", "-Wvla", "-Wpointer-arith", "-Wmissing-prototypes", "-Wundef",
             "-Wshadow", "-Wwrite-strings", "-Wformat=2", "-Wno-format-nonliteral")  # fmt: skip
    compiles("gcc", server_15().includedir_server, folder, standard, *flags)


@pytest.mark.parametrize("server", EACH_SERVER)
def test_with_the_flags_of_the_server(server: str, tmp_path: Path) -> None:
    """A real make with PGXS gives a library, and the compiler has nothing to say."""
    pg = SERVERS[server]()
    artifact = build(emitted.tree("everything"), pg, tmp_path / "out")
    assert artifact.library.stat().st_size > 0
    assert "warning:" not in artifact.log


def test_a_fault_in_c_of_the_user_is_told_by_its_declaration(tmp_path: Path) -> None:
    """What the compiler says of a user's own source comes with the place of the worker that brought it."""
    tree = emitted.tree("c_worker")
    broken = dict(tree.files) | {"worker_sampler.c": tree.files["worker_sampler.c"].replace("sigjmp_buf", "no_type")}
    with pytest.raises(CompileError) as raised:
        build(type(tree)(tree.extension, tree.version, broken, tree.origins), server_15(), tmp_path / "out")
    origins = {message.origin for message in raised.value.messages}
    assert {worker.origin for worker in emitted.module("c_worker").workers if worker.name == "sampler"} == origins


def test_a_tree_is_compiled_anew_for_another_server(tmp_path: Path) -> None:
    """What was built for one major is not installed into another; for its own there is nothing left to compile."""
    first, second = server_15(), server_18()
    folder = build(emitted.tree("everything"), first, tmp_path / "out").directory

    def compiles_again(pg: Pg) -> bool:
        status, log = run_make(folder, pg, "--dry-run")
        assert status == 0, log
        return " -c " in log

    assert not compiles_again(first)
    assert compiles_again(second)
