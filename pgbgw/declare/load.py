"""From a file to the extension that it declares."""

from __future__ import annotations

import builtins
import inspect
import io
import linecache
import re
import sys
import tokenize
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pgbgw.declare.extension import Extension
from pgbgw.declare.places import keyword
from pgbgw.diagnostics import DeclarationError, Diagnostic, report
from pgbgw.origin import Origin
from pgbgw.sqltext import near

__all__ = ["load"]


def load(path: Path) -> Extension | None:
    """Run the declaration in ``path`` and return its extension.

    Faults go through ``report``: BGW001 the file can't be read, BGW002 it is not Python, BGW003 it raised an exception,
    BGW004 it declares no extension, BGW005 it declares several. ``None`` where a collected fault left no extension.
    The file's folder stands first on ``sys.path`` while it runs, so that a declaration may be spread over modules.

    Raises:
        DeclarationError: for an error, unless somebody collects.
    """
    path = path.absolute()
    start = Origin(str(path), 1, 1, 1, 1)
    try:
        source = path.read_bytes()
    except OSError as error:
        report(Diagnostic("BGW001", f"declaration can't be read: {path.name}: {(error.strerror or str(error)).lower()}",
                          hint="Give the path of a Python file that declares an Extension."))  # fmt: skip
        return None
    # A file called queue.py must not stand in for the library module of that name while others import it.
    module = ModuleType(path.stem if path.stem not in sys.modules else f"pgbgw declaration {path.stem}")
    module.__file__ = str(path)
    linecache.checkcache(str(path))
    complete = _ran(source, path, module, start)
    found = list({id(value): value for value in vars(module).values() if isinstance(value, Extension)}.values())
    if len(found) > 1:
        names = ", ".join(f'"{extension.name}"' for extension in found)
        report(Diagnostic("BGW005", f"declaration has {len(found)} extensions: {names}", found[1].origin,
                          detail="One file makes one extension.",
                          hint="Give each extension a file of its own."))  # fmt: skip
    elif complete and not found:
        report(Diagnostic("BGW004", f"declaration has no extension: {path.name}", start,
                          hint='Declare one at the top level, such as shop = Extension("shop").'))  # fmt: skip
    return found[0] if found else None


def _ran(source: bytes, path: Path, module: ModuleType, start: Origin) -> bool:
    """Run the file; whether it ran to its end."""
    if _no_text(source, path):
        return False
    try:
        with _importable(path, module):
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except DeclarationError:
        raise
    except SyntaxError as error:
        if error.filename == str(path):
            _not_python(error, path)
        else:
            _raised(error, path, module, start)
    except (Exception, SystemExit) as error:
        _raised(error, path, module, start)
    else:
        return True
    return False


@contextmanager
def _importable(path: Path, module: ModuleType) -> Iterator[None]:
    """The module by its name, and its neighbours, can be imported inside the block."""
    folder = str(path.parent)
    sys.modules[module.__name__] = module
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        sys.modules.pop(module.__name__, None)


def _no_text(source: bytes, path: Path) -> bool:
    """Report BGW002 for what Python refuses in a file and ``compile()`` lets through or does not place.

    That is NUL, and bytes outside the encoding, which ``compile()`` overlooks in comments (PEP 263).
    """
    at, what = source.find(b"\0"), "NUL character"
    if at < 0:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        except SyntaxError:
            encoding = "utf-8"
        try:
            source.decode(encoding)
        except UnicodeDecodeError as error:
            at, what = error.start, f"byte 0x{source[error.start]:02x} is not {encoding}"
        except LookupError:
            return False  # compile() says so, with the line
    if at < 0:
        return False
    line = source.count(b"\n", 0, at) + 1
    column = len(source[:at].rpartition(b"\n")[2].decode(errors="replace")) + 1
    report(Diagnostic("BGW002", f"declaration is not Python: {what}", Origin(str(path), line, column, line, column + 1),
                      hint="Save the file as UTF-8 text; nothing in it was run."))  # fmt: skip
    return True


def _not_python(error: SyntaxError, path: Path) -> None:
    line, column = error.lineno or 1, max(error.offset or 1, 1)
    end_line, end_column = error.end_lineno or line, error.end_offset or 0
    if (end_line, end_column) <= (line, column):
        end_line, end_column = line, column + 1
    report(Diagnostic("BGW002", f"declaration is not Python: {error.msg}",
                      Origin(str(path), line, column, end_line, end_column),
                      hint="Correct the line; nothing in the file was run."))  # fmt: skip


def _raised(error: BaseException, path: Path, module: ModuleType, start: Origin) -> None:
    """Report an exception of the user's own code at the innermost line of the declaration that led to it."""
    where = start
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path) and frame.lineno:
            end_line = frame.end_lineno or frame.lineno
            where = Origin(str(path), frame.lineno, _character(path, frame.lineno, frame.colno),
                           end_line, _character(path, end_line, frame.end_colno))  # fmt: skip
    # A constructor by its class, without the path that an ImportError ends in and the advice of Python 3.13.
    what = re.sub(r"\.__init__(?=\()|\s\([^()]*\.py\)\Z|\. Did you mean '.*'\?\Z", "", str(error))
    what = " ".join(what.split()) or "no message"
    misspelt = re.match(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'", what)
    if misspelt:
        where = keyword(where, misspelt[2])
        hint = _mean(misspelt[2], _options(misspelt[1]))
    else:
        hint = _advice(error, vars(module))
    report(Diagnostic("BGW003", f"declaration raised {type(error).__name__}: {what}", where,
                      hint=hint or "Correct the line; what follows it was not run."))  # fmt: skip


def _character(path: Path, line: int, byte: int | None) -> int:
    """Column, from 1 and in characters, of a byte offset as a traceback has it."""
    return len(linecache.getline(str(path), line).encode()[: byte or 0].decode(errors="ignore")) + 1


def _options(function: str) -> Iterable[str]:
    """The options of a function, class or method of ours, by its name in a TypeError."""
    found: object = sys.modules.get("pgbgw")
    for part in function.split("."):
        found = getattr(found, part, None)
    return inspect.signature(found).parameters if callable(found) else ()


def _advice(error: BaseException, names: Mapping[str, object]) -> str | None:
    """A hint at the name that a misspelt one was meant to be; Python 3.11 has one in its top-level handler only."""
    public: list[str] = getattr(sys.modules.get("pgbgw"), "__all__", [])
    if isinstance(error, AttributeError) and error.name:
        return _mean(error.name, dir(error.obj))
    if isinstance(error, NameError) and error.name:
        if error.name in public:
            return f"Import it: from pgbgw import {error.name}."
        return _mean(error.name, [*names, *public, *dir(builtins)])
    imported = re.match(r"cannot import name '(\w+)' from '(\w+)'", str(error))
    return _mean(imported[1], dir(sys.modules.get(imported[2]))) if imported else None


def _mean(word: str, known: Iterable[str]) -> str | None:
    suggestion = near(word, [name for name in known if name not in {"self", "options"} and name[0] != "_"])
    return f"Did you mean {suggestion}?" if suggestion else None
