"""Finding the place, in a source file, of a character of a string that a call was given.

Python keeps the span of a call (see ``origin``) but not of what is inside it, so the file is read again: the call is
found by where it ends, and the string is decoded escape by escape beside ``ast``'s own reading of it.
"""

from __future__ import annotations

import ast
import io
import linecache
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache

from pgbgw.origin import Origin

__all__ = ["locate"]

# Lines count from 1, columns from 0 in characters.
_Place = tuple[int, int]

# What stands for one character in a literal; a backslash before a line end stands for none. An unknown escape is a
# backslash and a letter, each for itself. See "String and Bytes literals" in Python's language reference.
_ESCAPED = re.compile(
    r"""\\(?:\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|[\\'"abfnrtv])|.""", re.DOTALL
)
_PLAIN = re.compile(".", re.DOTALL)
_OPENING = re.compile(r"([A-Za-z]*)('''|\"\"\"|'|\")")


def locate(origin: Origin, argument: str | int, offset: int, length: int = 1) -> Origin:
    """The span of ``length`` characters from ``offset`` of the string given to the call at ``origin``.

    ``argument`` is the index of a positional argument or the name of a keyword. An offset at or past the end is the
    closing quote. Falls back to the whole argument when it isn't a string literal (an f-string, a name, a call), and to
    ``origin`` when the call can't be found; raises nothing, whatever became of the source.
    """
    try:
        linecache.checkcache(origin.path)
        lines = tuple(linecache.getlines(origin.path))
        call = _calls(lines).get((origin.end_line, origin.end_column - 1))
        node = None if call is None else _argument(call, argument)
        if node is None:
            return origin
        return _span(origin.path, lines, node, offset, length)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return origin


@lru_cache(maxsize=16)
def _calls(lines: tuple[str, ...]) -> dict[_Place, ast.Call]:
    """The calls of a file by their ends: no two calls share a closing parenthesis, and where a call of a method
    starts depends on the Python version.
    """
    return {
        _place(lines, node.end_lineno, node.end_col_offset): node
        for node in ast.walk(ast.parse("".join(lines)))
        if isinstance(node, ast.Call)
    }


def _place(lines: tuple[str, ...], line: int | None, byte: int | None) -> _Place:
    """A position of ``ast``, which counts bytes of UTF-8, in characters."""
    if line is None or byte is None:
        raise ValueError("a node without a position")
    return line, len(lines[line - 1].encode()[:byte].decode())


def _argument(call: ast.Call, argument: str | int) -> ast.expr | None:
    if isinstance(argument, str):
        return next((keyword.value for keyword in call.keywords if keyword.arg == argument), None)
    before = call.args[: argument + 1]
    starred = any(isinstance(node, ast.Starred) for node in before)
    return before[argument] if 0 <= argument < len(before) and not starred else None


def _span(path: str, lines: tuple[str, ...], node: ast.expr, offset: int, length: int) -> Origin:
    start = _place(lines, node.lineno, node.col_offset)
    end = _place(lines, node.end_lineno, node.end_col_offset)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        characters = list(_characters(_segment(lines, start, end), start))
        if len(characters) == len(node.value) + 1:
            first = min(max(offset, 0), len(node.value))
            last = max(first, min(first + length, len(node.value)) - 1)
            start, end = characters[first][0], characters[last][1]
    return Origin(path, start[0], start[1] + 1, end[0], end[1] + 1)


def _segment(lines: tuple[str, ...], start: _Place, end: _Place) -> str:
    """The source from start to end. Parentheses let pieces of a string go over several lines."""
    chosen = list(lines[start[0] - 1 : end[0]])
    chosen[-1] = chosen[-1][: end[1]]
    chosen[0] = chosen[0][start[1] :]
    return "(" + "".join(chosen) + ")"


def _characters(segment: str, start: _Place) -> Iterator[tuple[_Place, _Place]]:
    """Start and end of each character of the string in the source, then of the closing quote."""
    closing: tuple[_Place, _Place] | None = None
    for token in tokenize.generate_tokens(io.StringIO(segment).readline):
        if token.type == tokenize.STRING and (opening := _OPENING.match(token.string)):
            line, column = token.start
            place = (start[0] + line - 1, column + (start[1] - 1 if line == 1 else 0))
            quote = len(opening[2])
            body = token.string[opening.end() : -quote]
            place = place[0], place[1] + opening.end()
            for match in (_PLAIN if "r" in opening[1].lower() else _ESCAPED).finditer(body):
                after = _advance(place, match[0])
                if match[0] != "\\\n":
                    yield place, after
                place = after
            closing = place, (place[0], place[1] + quote)
    if closing:
        yield closing


def _advance(place: _Place, text: str) -> _Place:
    lines = text.count("\n")
    return (place[0] + lines, len(text) - text.rindex("\n") - 1) if lines else (place[0], place[1] + len(text))
