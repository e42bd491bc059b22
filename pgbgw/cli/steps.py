"""The pipeline as verbs walk it: declaration, middle form, tree, library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from pgbgw.build import Artifact, Pg, build
from pgbgw.check import Checked, Target, check_file
from pgbgw.cli import terminal
from pgbgw.codegen.emit import emit
from pgbgw.codegen.files import SourceTree
from pgbgw.diagnostics import Diagnostic, Severity
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower

__all__ = ["Emitted", "checked", "compiled", "count_faults", "default_out", "emitted", "fitted", "the_declaration"]


@dataclass(frozen=True, slots=True)
class Emitted:
    """A declaration that has come as far as its text."""

    module: ModuleIR
    tree: SourceTree


def checked(file: Path, target: Target) -> Checked:
    """The declaration, if no rule found an error in it; whatever was found is printed.

    Raises:
        click.exceptions.Exit: with 1, after the diagnostics and their number were printed.
    """
    result, found = check_file(file, target)
    terminal.diagnostics(found)
    if result is None:
        terminal.note(count_faults(found))
        raise click.exceptions.Exit(1)
    return result


def emitted(file: Path, target: Target) -> Emitted:
    """The declaration's middle form and text.

    Raises:
        click.exceptions.Exit: as for ``checked``.
    """
    module = lower(checked(file, target))
    return Emitted(module, emit(module))


def fitted(pg: Pg) -> Target:
    """What to check for where the cluster is made to fit the declaration: only the absurd is refused."""
    return Target(majors=(pg.major,), max_worker_processes=1000)


def compiled(tree: SourceTree, pg: Pg, out: Path) -> Artifact:
    """Build with progress shown.

    Raises:
        BuildError: as for ``build``.
    """
    if pg.note:
        terminal.note(f"note: {pg.note}")
    # Each source file, and the library in the end.
    total = sum(name.endswith(".c") for name in tree.files) + 1
    with terminal.counting(f"building {tree.extension} for PostgreSQL {pg.major}", total) as done:
        return build(tree, pg, out, progress=done)


def default_out(tree: SourceTree, pg: Pg) -> Path:
    """Where a build goes that was not told where."""
    return Path("build", f"{tree.extension}-{pg.major}")


def count_faults(found: list[Diagnostic]) -> str:
    """Like "2 errors, 1 warning"."""
    errors = sum(each.severity is Severity.ERROR for each in found)
    parts = [_count(errors, "error"), _count(len(found) - errors, "warning")]
    return ", ".join(part for part in parts if not part.startswith("0 ")) or "no faults"


def the_declaration(folder: Path) -> Path:
    """The only declaration in a folder: a Python file that makes an Extension.

    Raises:
        click.UsageError: there is none, or more than one.
    """
    found = [path for path in sorted(folder.glob("*.py")) if _declares(path)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise click.UsageError("no FILE was given, and no declaration is in the current folder")
    names = ", ".join(path.name for path in found)
    raise click.UsageError(f"no FILE was given, and the current folder has {len(found)} declarations: {names}")


def _declares(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return "pgbgw" in text and "Extension(" in text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
