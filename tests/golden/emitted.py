"""The golden cases: their declarations, lowered and emitted, for all tests that look at emitted files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pgbgw.check import Target, check_file
from pgbgw.codegen.emit import emit
from pgbgw.codegen.files import SourceTree
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower

__all__ = ["CASES", "declaration", "folder", "module", "tree"]

_ROOT = Path(__file__).parent / "cases"
_EXAMPLES = Path(__file__).parents[2] / "examples"

CASES = sorted(path.name for path in _ROOT.iterdir() if path.is_dir())


def folder(case: str) -> Path:
    """Where the case keeps what is expected."""
    return _ROOT / case


def declaration(case: str) -> Path:
    """The declaration of the case; one that has none of its own is the example of its name."""
    own = _ROOT / case / "declaration.py"
    return own if own.exists() else _EXAMPLES / f"{case}.py"


@cache
def module(case: str) -> ModuleIR:
    """The middle form of the case; warnings are let through, errors are not."""
    checked, found = check_file(declaration(case), Target(max_worker_processes=16))
    assert checked is not None, "\n".join(each.message for each in found)
    return lower(checked)


@cache
def tree(case: str) -> SourceTree:
    """The emitted tree of the case."""
    return emit(module(case))
