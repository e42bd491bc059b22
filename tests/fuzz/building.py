"""The compiled core with sanitisers in it, outside of the checkout.

It is made by clang: AddressSanitizer and UndefinedBehaviorSanitizer end the process at what they find, and the
counters of SanitizerCoverage guide the fuzzer ("libFuzzer" and "SanitizerCoverage" in clang's documentation). The
functions that such code calls come from the library that atheris has for that, and is loaded before all others.

The cache is PGBGW_CACHE, else the folder pgbgw of XDG_CACHE_HOME or ~/.cache; below it stands ``fuzz/core/<hash>``, by
all that the result depends on. What is there is kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import atheris

__all__ = ["cache", "core", "environment"]

ROOT = Path(__file__).parents[2]

_FLAGS = [
    *("-g", "-O1", "-fPIC", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,fuzzer-no-link"),
    "-fno-sanitize-recover=all",
    # Columns with many buffers without a GB in each, and many chunks without megabytes received.
    *("-DPGBGW_WINDOW_BITS=7", "-DPGBGW_RECEIVED_SIZE=512", "-DPGBGW_RECEIVED_LEAST=64"),
]

# What Cython generates adds 0 to NULL where a function has no arguments, which C23 allows. The headers are checked.
_IGNORED = "[pointer-overflow]\nsrc:*/_core.c\n"


def cache() -> Path:
    """The folder of all that the fuzzers keep."""
    named = os.environ.get("PGBGW_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pgbgw"
    return base / "fuzz"


def core() -> Path:
    """The instrumented core as a library; compiled if there is none of these sources.

    Raises:
        SystemExit: clang is missing, or does not compile it; its message stands before.
    """
    compiler = shutil.which("clang")
    if compiler is None:
        raise SystemExit("There is no clang, which builds the core for the fuzzers: type make machine first.")
    folder = cache() / "core" / _key(compiler)
    library = folder / "_core.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # Another run may have been faster.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            print(f"compiling the core with sanitisers into {folder}", file=sys.stderr)
            _compile(compiler, folder)
    return library


def _sources() -> Iterator[Path]:
    yield ROOT / "pgbgw" / "_core.pyx"
    yield from sorted((ROOT / "pgbgw" / "core").iterdir())
    yield from sorted((ROOT / "c_templates" / "static").glob("*.h"))


def _key(compiler: str) -> str:
    told = hashlib.sha256()
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True).stdout
    for part in (version, repr(_FLAGS).encode(), _IGNORED.encode(), metadata.version("cython").encode()):
        told.update(part)
    told.update(sys.version.encode())
    for path in _sources():
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    return told.hexdigest()[:16]


def _compile(compiler: str, folder: Path) -> None:
    ignored = folder / "ignored"
    ignored.write_text(_IGNORED, encoding="ascii")
    code, compiled, fresh = folder / "_core.c", folder / "_core.o", folder / "_core.new"
    include = [f"-I{path}" for path in (sysconfig.get_path("include"), "c_templates/static", "pgbgw/core")]
    steps = [
        [sys.executable, "-m", "cython", "-3", "-I", ".", "-I", "pgbgw", "pgbgw/_core.pyx", "-o", str(code)],
        [compiler, *_FLAGS, f"-fsanitize-ignorelist={ignored}", *include, "-c", str(code), "-o", str(compiled)],
        # Without the sanitisers' own library, which is not in every clang: atheris has it.
        [compiler, "-shared", str(compiled), "-o", str(fresh)],
    ]
    for step in steps:
        ran = subprocess.run(step, cwd=ROOT, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.stderr.write(ran.stdout + ran.stderr)
            raise SystemExit(f"The core could not be compiled for the fuzzers: {step[0]} failed.")
    compiled.unlink()
    # Whole under its name, or not there.
    fresh.rename(folder / "_core.so")


def environment(library: Path) -> dict[str, str]:
    """What a process needs that runs this core."""
    return {
        **os.environ,
        # It stands beside the package ("Native extension fuzzing" in the documentation of atheris).
        "LD_PRELOAD": str(Path(atheris.__file__).parents[1] / "asan_with_fuzzer.so"),
        # Python is not made to give its memory back when it ends.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_abort=1:malloc_context_size=8",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        # Each object in memory of its own, so that what is read or written beside it is seen.
        "PYTHONMALLOC": "malloc",
        "PYTHONHASHSEED": "0",
        "PGBGW_FUZZED_CORE": str(library),
    }
