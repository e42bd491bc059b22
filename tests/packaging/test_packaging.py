"""The distributions: a clean copy becomes an sdist, that a wheel, and the wheel works away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my_worker.py"

# One worker of xdist does all of it, so that everything is built once.
pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, away from the variables that would show it the checkout."""
    environment = {name: text for name, text in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} exits {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources() -> list[str]:
    """What a fresh clone holds: the files that git knows, and those that it would be told of."""
    listed = run(
        *("git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
    )
    return sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})


@pytest.fixture(scope="module")
def sdist(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a clean copy: what was built in the checkout must not get in."""
    clean = tmp_path_factory.mktemp("clean")
    for name in sources:
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clean / name)
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", clean / "dist", cwd=clean)
    (archive,) = (clean / "dist").iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the unpacked source distribution, with nothing of the checkout in reach."""
    place = tmp_path_factory.mktemp("unpacked")
    run("tar", "-xzf", sdist, cwd=place)
    (unpacked,) = place.iterdir()
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place / "dist", cwd=unpacked)
    (built,) = (place / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment that holds the wheel and what its metadata asks for."""
    place = tmp_path_factory.mktemp("fresh")
    venv.create(place, with_pip=True)
    run(place / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=place)
    return place / "bin"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first scenario, alone in a folder."""
    return Path(shutil.copy(EXAMPLE, tmp_path_factory.mktemp("example")))


def in_package(name: str) -> bool:
    """Whether a source file belongs into the wheel as it is."""
    if name.startswith("c_templates/"):
        return True
    return name.startswith("pgbgw/") and (name.endswith((".py", ".pyi")) or name == "pgbgw/py.typed")


def test_the_sdist_holds_what_the_wheel_is_built_from(sdist: Path, sources: list[str]) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = {name for name in sources if in_package(name)}
    assert needed
    assert needed | {"pgbgw/_core.pyx", "setup.py", "pyproject.toml", "LICENSE", "README.md"} <= held
    # The generated C depends on the version of Cython at hand.
    assert [name for name in held if fnmatch(name, "*_core*.c") or name.endswith((".so", ".pyc"))] == []


def test_the_wheel_holds_exactly_the_package(wheel: Path, sources: list[str]) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in held if fnmatch(name, "pgbgw-*.dist-info/*")}
    compiled = {name for name in held if fnmatch(name, "pgbgw/_core.*.so")}
    expected = {f"pgbgw/{name}" if name.startswith("c_templates/") else name for name in sources if in_package(name)}
    assert sorted(held - metadata - compiled) == sorted(expected)
    assert len(compiled) == 1
    assert {name.partition("/")[2] for name in metadata} == {
        *(
            "METADATA",
            "RECORD",
            "WHEEL",
            "entry_points.txt",
            "licenses/LICENSE",
            "licenses/LICENSE-EMITTED.md",
            "top_level.txt",
        )
    }


def test_the_package_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    places = run(
        installed / "python",
        "-c",
        "import pgbgw, pgbgw._core, pgbgw.c_templates\n"
        "for module in pgbgw, pgbgw._core, pgbgw.c_templates: print(module.__file__)",
        cwd=tmp_path,
    ).splitlines()
    assert len(places) == 3
    assert all(Path(place).is_relative_to(installed.parent) for place in places), places


@pytest.mark.parametrize("command", [["python", "-m", "pgbgw"], ["pgbgw"]], ids=" ".join)
def test_help(installed: Path, tmp_path: Path, command: list[str]) -> None:
    shown = run(installed / command[0], *command[1:], "--help", cwd=tmp_path)
    for verb in ("new", "check", "show", "build", "install", "load", "run", "connect", "stop", "status", "explain"):
        assert verb in shown.split(), verb


def test_check(installed: Path, example: Path) -> None:
    run(installed / "pgbgw", "check", example.name, cwd=example.parent)


def test_show_prints_the_same_wherever_it_is_called(installed: Path, example: Path, tmp_path: Path) -> None:
    first = run(installed / "pgbgw", "show", example.name, "--c", cwd=example.parent)
    assert "PG_MODULE_MAGIC" in first
    assert run(installed / "pgbgw", "show", example, "--c", cwd=tmp_path) == first


def test_build_leaves_a_compiled_tree(installed: Path, example: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(installed / "pgbgw", "build", example, "--out", out, cwd=tmp_path)
    names = {path.name for path in out.iterdir()}
    assert {"Makefile", "my_worker.control", "my_worker.so"} <= names
    assert not [name for name in names if name.endswith((".in", ".py"))]
    # The static headers come from the package data of the wheel.
    assert list(out.rglob("*.h"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", ["3.12", "3.13", "3.13t"])
def test_other_versions_of_python(version: str, sdist: Path, tmp_path: Path) -> None:
    """The core is compiled by another Python, of which it may hold no version's own API, and passes its tests there."""
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode != 0:
        pytest.skip(f"there is no python{version} on the path")
    run(python, "-m", "venv", "env", cwd=tmp_path)
    its_own = tmp_path / "env" / "bin" / "python"
    run(its_own, "-m", "pip", "install", "--quiet", f"{sdist}[test]", cwd=tmp_path)
    # all but the package itself, which is the installed one
    run("tar", "-xzf", sdist, "--strip-components=1", "--exclude=*/pgbgw", cwd=tmp_path)
    for name in ("tests", "c_templates", "pgbgw/core"):
        shutil.copytree(ROOT / name, tmp_path / name, dirs_exist_ok=True)
    ran = run(its_own, "-m", "pytest", "-q", *(tmp_path / "tests" / "unit").glob("test_core*.py"), cwd=tmp_path)
    assert " passed" in ran
