"""Printing a diagnostic, as rustc does: the message, the place with its line of source, the reason, the way out."""

from __future__ import annotations

import linecache
import re
import unicodedata
from pathlib import Path

from pgbgw.diagnostics.code import Severity
from pgbgw.diagnostics.diagnostic import Diagnostic
from pgbgw.origin import Origin

__all__ = ["render", "to_json"]

_TAB = 4
_RESET, _BOLD, _BLUE = "\x1b[0m", "\x1b[1m", "\x1b[1;34m"
_COLOUR = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m"}


def render(diagnostic: Diagnostic, *, color: bool = False, root: Path | None = None) -> str:
    """The diagnostic as lines without a newline at the end.

    Args:
        diagnostic: what to print.
        color: whether to use the colours of a terminal (ANSI escapes).
        root: paths below this folder are shown relative to it; the current directory unless given.
    """
    severity = diagnostic.severity
    head = f"{severity.value}[{diagnostic.code}]"
    message = _one_line(diagnostic.message)
    lines = [f"{_COLOUR[severity]}{head}{_RESET}{_BOLD}: {message}{_RESET}" if color else f"{head}: {message}"]
    origin = diagnostic.origin
    margin = " " * (len(str(origin.line)) + 1 if origin else 2)
    if origin is not None:
        place = f"{_shown_path(origin, root)}:{origin.line}:{origin.column}"
        lines.append(f"{margin[1:]}{_painted('-->', _BLUE, color)} {place}")
        lines += _excerpt(origin, margin, _COLOUR[severity], color)
    for label, text in (("detail", diagnostic.detail), ("hint", diagnostic.hint)):
        if text:
            lines.append(f"{margin}{_painted('=', _BLUE, color)} {_painted(label, _BOLD, color)}: {_one_line(text)}")
    return "\n".join(lines)


def to_json(diagnostic: Diagnostic, *, root: Path | None = None) -> dict[str, str | int | None]:
    """The diagnostic for scripts; lines and columns count from 1 and in characters, the end is exclusive."""
    origin = diagnostic.origin
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "detail": diagnostic.detail,
        "hint": diagnostic.hint,
        "path": _shown_path(origin, root) if origin else None,
        "line": origin.line if origin else None,
        "column": origin.column if origin else None,
        "end_line": origin.end_line if origin else None,
        "end_column": origin.end_column if origin else None,
    }


def _shown_path(origin: Origin, root: Path | None) -> str:
    try:
        return str(Path(origin.path).relative_to(root if root is not None else Path.cwd()))
    except (ValueError, OSError):
        return origin.path


def _excerpt(origin: Origin, margin: str, paint: str, color: bool) -> list[str]:
    """The first line of the span with carets below it; nothing where the source is not at hand."""
    source = linecache.getline(origin.path, origin.line).rstrip("\r\n")
    if not source:
        return []
    bar = _painted("|", _BLUE, color)
    first = min(origin.column - 1, len(source))
    last = origin.end_column - 1 if origin.end_line == origin.line else len(source.rstrip())
    indent = _width(source[:first])
    carets = "^" * max(_width(source[:last]) - indent, 1)
    number = _painted(str(origin.line), _BLUE, color)
    return [
        f"{margin}{bar}",
        f"{number} {bar} {_displayed(source)}",
        f"{margin}{bar} {' ' * indent}{_painted(carets, paint, color)}",
    ]


def _displayed(source: str) -> str:
    """The line with tabs expanded and control characters, which a terminal would obey, replaced."""
    shown = ""
    for character in source:
        if character == "\t":
            shown += " " * (_TAB - _width(shown) % _TAB)
        else:
            shown += _harmless(character)
    return shown


def _width(source: str) -> int:
    """Columns that a terminal takes for the line: two for East Asian wide characters, none for combining marks."""
    width = 0
    for character in source:
        if character == "\t":
            width += _TAB - width % _TAB
        elif not unicodedata.combining(character):
            width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


def _harmless(character: str) -> str:
    """Control and format characters, and lone surrogates, which can't be printed, as U+FFFD."""
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in {"Cc", "Cf", "Cs"} else character


def _one_line(text: str) -> str:
    return "".join(map(_harmless, re.sub(r"\s*[\r\n]+\s*", " ", text)))


def _painted(text: str, paint: str, color: bool) -> str:
    return f"{paint}{text}{_RESET}" if color else text
