"""Writing an emitted tree to a folder and compiling it there with PGXS ("Extension Building Infrastructure").

The folder that is left needs no Python: ``make -C DIR PG_CONFIG=... install`` finds the library newer than its sources
and installs it as it is. A manifest marks the folder as ours, so that nothing else is ever overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from pgbgw.build.errors import BuildError, CompileError, CompilerMessage, ToolMissing, TreeRefused
from pgbgw.build.pgconfig import Pg
from pgbgw.origin import Origin

__all__ = ["MANIFEST", "Artifact", "Tree", "build", "make_environment", "run_make", "write_tree"]

MANIFEST = ".pgbgw-manifest.json"

# What make leaves in a tree: products, dependency files, and the output of make installcheck.
_DERIVED_SUFFIXES = frozenset({".o", ".so", ".dylib", ".bc"})
_DERIVED_NAMES = frozenset(
    {
        ".built-for",
        ".deps",
        "results",
        "log",
        "output_iso",
        "tmp_check",
        "tmp_check_iso",
        "regression.diffs",
        "regression.out",
    }
)

_ERROR = re.compile(r"^(?P<path>[^\s:][^:]*):(?P<line>\d+):(?:(?P<column>\d+):)? (?:fatal )?error: (?P<text>.*)$")
_NOTE = re.compile(r"^(?P<path>[^\s:][^:]*):(?P<line>\d+):(?:\d+:)? note: ")
_COMPILED = re.compile(r" -o (?P<object>\S+\.o) (?P<source>\S+\.c)\b")


class Tree(Protocol):
    """What ``build`` needs to know of an emitted tree; ``codegen.files.SourceTree`` is one."""

    @property
    def files(self) -> Mapping[str, str]:
        """Text by path, in the order of emission; paths are relative, with slashes."""

    @property
    def extension(self) -> str:
        """Name of the extension, which is the stem of its library as well."""

    @property
    def version(self) -> str:
        """Version of the extension."""

    def origin_of(self, path: str, line: int) -> Origin | None:
        """The declared value that a line (from 1) of an emitted file came from."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled tree: ``directory`` holds it with its ``library``; ``log`` is what make printed."""

    extension: str
    version: str
    directory: Path
    library: Path
    pg: Pg
    log: str


def build(tree: Tree, pg: Pg, out: Path, *, progress: Callable[[str], None] | None = None) -> Artifact:
    """Write the tree to ``out`` and compile it for a server.

    ``progress`` is called with the name of each source file as it is compiled, and with that of the library in the end.
    A tree that does not compile is left in ``out`` to be looked at.

    Raises:
        TreeRefused: ``out`` holds something else than an emitted tree as we wrote it, or can't be written.
        CompileError: make failed; each message carries the declared value that its line was emitted for.
        ToolMissing: make can't be run.
    """
    directory = write_tree(tree, out)
    status, log = run_make(directory, pg, "--keep-going", "all", progress=progress)
    library = _library(directory, tree.extension)
    if status != 0 or library is None:
        raise _compile_error(tree, directory, log)
    if progress is not None:
        progress(library.name)
    return Artifact(tree.extension, tree.version, directory, library, pg, log)


def write_tree(tree: Tree, out: Path) -> Path:
    """Put the tree where ``out`` says, whole or not at all, in place of an earlier one; returns the absolute path.

    Raises:
        TreeRefused: as for ``build``.
    """
    target = Path(os.path.realpath(out))
    _refuse_foreign(target)
    # Beside the target, since only a rename within one file system is atomic; mkdir, unlike mkdtemp, heeds the umask.
    mark = secrets.token_hex(4)
    staging, previous = (target.with_name(f".{target.name}.{kind}-{mark}") for kind in ("new", "old"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        _write_files(tree, staging)
        _swap(staging, target, previous)
    except OSError as error:
        raise TreeRefused(
            f'could not write the tree to "{target}"',
            detail=f"{error}.",
            hint="Name a folder, new or of an earlier build, inside a folder that you may write.",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)
    return target


def run_make(
    directory: Path, pg: Pg, *arguments: str, progress: Callable[[str], None] | None = None
) -> tuple[int, str]:
    """Run make in a tree; returns its exit status and all that it printed.

    Raises:
        ToolMissing: make can't be run.
    """
    command = ["make", "--no-print-directory", *_parallel(), f"PG_CONFIG={pg.pg_config}", *arguments]
    log: list[str] = []
    with subprocess.Popen(
        command,
        cwd=directory,
        env=make_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            compiled = _COMPILED.search(line)
            if compiled and progress is not None:
                progress(compiled["source"])
    return process.returncode, "".join(log)


def make_environment() -> dict[str, str]:
    """Our environment, with messages in English to be parsed, and nothing of a make that may have called us."""
    inherited = {"MAKEFLAGS", "GNUMAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "DESTDIR", "PG_CONFIG"}
    kept = {name: value for name, value in os.environ.items() if name not in inherited}
    return {**kept, "LC_ALL": "C", "LANGUAGE": "C"}


def _parallel() -> list[str]:
    """As many jobs as there are cores, with the output of each kept together where make can (GNU make 4)."""
    try:
        said = subprocess.run(["make", "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    except OSError as error:
        raise ToolMissing(
            "make could not be run",
            detail=f"{error}.",
            hint="On Debian: apt install make; on Fedora: dnf install make.",
        ) from error
    matched = re.match(r"GNU Make (\d+)", said)
    if matched is None:
        raise ToolMissing("make is not GNU make", detail="PGXS needs GNU make.", hint="Install GNU make as make.")
    return [f"-j{os.cpu_count() or 1}", *(["--output-sync=target"] if int(matched[1]) >= 4 else [])]


def _library(directory: Path, extension: str) -> Path | None:
    candidates = (directory / f"{extension}{suffix}" for suffix in (".so", ".dylib"))
    return next((path for path in candidates if path.is_file()), None)


def _write_files(tree: Tree, staging: Path) -> None:
    for name, text in tree.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BuildError(f'emitted path "{name}" leads out of the tree')
        path = staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    manifest = {
        "extension": tree.extension,
        "version": tree.version,
        "files": {name: _digest(text.encode()) for name, text in tree.files.items()},
    }
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _swap(staging: Path, target: Path, previous: Path) -> None:
    """Move the new tree into place; the earlier one comes back if that fails."""
    if not target.exists():
        os.rename(staging, target)
        return
    os.rename(target, previous)
    try:
        os.rename(staging, target)
    except OSError:
        os.rename(previous, target)
        raise


def _refuse_foreign(target: Path) -> None:
    """Refuse to replace what we did not write, and what was changed after we wrote it."""
    try:
        if not _is_there(target):
            return
        if not target.is_dir():
            raise TreeRefused(f'"{target}" is not a folder', hint="Name a folder for the emitted tree.")
        foreign = sorted(_foreign_files(target))
    except OSError as error:
        raise TreeRefused(
            f'could not look at "{target}"', detail=f"{error}.", hint="Name a folder that you may read and write."
        ) from error
    if foreign:
        shown = ", ".join(f'"{name}"' for name in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise TreeRefused(
            f'"{target}" holds files that would be lost',
            detail=f"They were not emitted, or were changed since: {shown}.",
            hint="Name another folder, or move these files away.",
        )


def _is_there(target: Path) -> bool:
    """As exists(), which may take what can't be looked at for missing; here that is an OSError."""
    try:
        target.stat()
    except FileNotFoundError:
        return False
    return True


def _foreign_files(target: Path) -> Iterator[str]:
    known = _manifest_files(target)
    if known is None:
        # Not of ours: one entry is enough to tell, and the folder may be as large as a disk, or change meanwhile.
        yield from itertools.islice((path.name for path in target.iterdir()), 1)
        return
    for path in target.rglob("*"):
        name = path.relative_to(target)
        if path.is_dir() or name == Path(MANIFEST):
            continue
        derived = path.suffix in _DERIVED_SUFFIXES or name.parts[0] in _DERIVED_NAMES
        if not derived and known.get(name.as_posix()) != _digest(path.read_bytes()):
            yield name.as_posix()


def _manifest_files(target: Path) -> dict[str, str] | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        files = json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _compile_error(tree: Tree, directory: Path, log: str) -> CompileError:
    messages = tuple(_messages(tree, directory, log.splitlines()))
    if not messages:
        return CompileError(
            f'make failed on extension "{tree.extension}"',
            messages=(),
            log=log,
            detail="The last lines of its log:\n" + "\n".join(log.splitlines()[-12:]),
        )
    places = sorted({str(message.origin) for message in messages if message.origin is not None})
    return CompileError(
        f'the C of extension "{tree.extension}" does not compile',
        messages=messages,
        log=log,
        detail="\n".join(str(message) for message in messages),
        hint=f"See what is declared at {', '.join(places)}." if places else None,
    )


def _messages(tree: Tree, directory: Path, lines: list[str]) -> Iterator[CompilerMessage]:
    for number, line in enumerate(lines):
        matched = _ERROR.match(line)
        if matched is None:
            continue
        excerpt = _excerpt(lines[number + 1 :])
        # An error inside a macro of the server's is reported at the macro; the notes below it name our own line.
        places = [matched, *filter(None, map(_NOTE.match, excerpt))]
        origins = (_origin(tree, directory, place["path"], int(place["line"])) for place in places)
        yield CompilerMessage(
            path=matched["path"],
            line=int(matched["line"]),
            column=int(matched["column"]) if matched["column"] else None,
            text=matched["text"],
            origin=next((origin for origin in origins if origin is not None), None),
            excerpt="\n".join(excerpt),
        )


def _excerpt(following: list[str]) -> list[str]:
    """The source lines and notes that the compiler printed below a message."""
    taken = []
    for line in following:
        if not (line.startswith(" ") or _NOTE.match(line)):
            break
        taken.append(line)
    return taken


def _origin(tree: Tree, directory: Path, path: str, line: int) -> Origin | None:
    name = os.path.relpath(os.path.join(directory, path), directory)
    return tree.origin_of(name, line) if name in tree.files else None
