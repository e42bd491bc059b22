"""Narrowing the place of a declaration: from the call to the very argument, from a class to one of its fields."""

from __future__ import annotations

import ast
import linecache
import re
from functools import lru_cache

from pgbgw.literals import locate
from pgbgw.origin import Origin

__all__ = ["annotated_field", "argument", "keyword", "shown"]

_SHOWN = 100
_WHOLE = 2**31


def argument(origin: Origin, *where: str | int) -> Origin:
    """The span of the first argument in ``where`` (an index, or a keyword) that the call at ``origin`` was given.

    A string literal is marked without its quotes. Falls back to the call itself.
    """
    for each in where:
        found = locate(origin, each, 0, _WHOLE)
        if found != origin:
            return found
    return origin


def keyword(origin: Origin, name: str) -> Origin:
    """The span of the keyword itself, without its value, in the call at ``origin``."""
    value = argument(origin, name)
    before = linecache.getline(value.path, value.line)[: value.column - 1]
    # A string is marked after its prefix and quotes.
    found = re.search(rf"\b{re.escape(name)}(?=\s*=\s*[A-Za-z]*[\"']*\Z)", before)
    if value == origin or found is None:
        return value
    return Origin(value.path, value.line, found.start() + 1, value.line, found.end() + 1)


def annotated_field(origin: Origin, name: str) -> Origin:
    """The span of the annotated field ``name`` in the body of the class statement at ``origin``, or ``origin``."""
    lines = tuple(linecache.getlines(origin.path))
    try:
        for node in _classes(lines):
            if node.lineno <= origin.line <= node.body[0].lineno:
                for statement in node.body:
                    if isinstance(statement, ast.AnnAssign) and getattr(statement.target, "id", None) == name:
                        return _span(origin.path, lines, statement)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return origin


@lru_cache(maxsize=16)
def _classes(lines: tuple[str, ...]) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse("".join(lines))) if isinstance(node, ast.ClassDef)]


def shown(value: object) -> str:
    """A value as messages show it: short, in the words of the declaration, and the same in every run."""
    if isinstance(value, str) and value.isprintable() and '"' not in value:
        text = f'"{value}"'
    elif type(value).__module__.startswith("pgbgw.") and type(value).__str__ is not object.__str__:
        text = str(value)
    elif isinstance(value, type):
        text = f"class {value.__name__}"
    else:
        try:
            text = repr(value)
        except Exception:  # a __repr__ of the user's own, or an integer of too many digits
            text = f"a value of type {type(value).__name__}"
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _span(path: str, lines: tuple[str, ...], node: ast.stmt) -> Origin:
    def column(line: int, byte: int) -> int:
        return len(lines[line - 1].encode()[:byte].decode()) + 1

    last, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return Origin(path, node.lineno, column(node.lineno, node.col_offset), last, column(last, end))
