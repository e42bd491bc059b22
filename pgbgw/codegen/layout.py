"""The two rules of layout that depend on how long names are; everything else stands in the templates.

``pg_bsd_indent`` with PostgreSQL's options must leave the result as it is (tests/layout), so both rules are its own:
declared names begin at column 12 past the indentation where the type leaves room, and a line inside parentheses begins
under the character that follows the innermost open one.
"""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["align", "declaration"]

_TAB = 4
_DECLARATION = 12


def declaration(type_name: str, name: str, tabs: int = 1, end: str = ";") -> str:
    """``type name;`` with the name where pgindent puts it; a pointer's star belongs to the name."""
    stars = len(name) - len(name.lstrip("*"))
    column = _DECLARATION - stars
    gap = " "
    if len(type_name) < column:
        width = len(type_name)
        gap = ""
        while width // _TAB < column // _TAB:
            stop = (width // _TAB + 1) * _TAB
            # pad_output() of pg_bsd_indent: a tab of one column is a space, unless another follows
            gap += " " if stop - width == 1 and column < stop + _TAB else "\t"
            width = stop
        gap += " " * (column - width)
    return "\t" * tabs + type_name + gap + name + end


def align(text: str, types: Collection[str]) -> str:
    """Lay out the lines that depend on names: declarations of the given types, and lines inside parentheses.

    Strings, characters and comments are passed over.
    """
    declared = re.compile(rf"(\t*)({'|'.join(map(re.escape, types))}) (\*?\w.*;|\*)\Z")
    out: list[str] = []
    opened: list[int] = []
    state = ""
    for line in text.split("\n"):
        if opened and not state and line.strip() and not line.startswith("#"):
            line = _indent(opened[-1] + 1) + line.strip()
        elif not state and (found := declared.match(line)):
            line = declaration(found[2], found[3], len(found[1]), end="")
        state = _scan(line, opened, state)
        out.append(line)
    return "\n".join(out)


def _scan(line: str, opened: list[int], state: str) -> str:
    """Follow one line: push and pop the columns of parentheses, and return what is open at its end."""
    if not state and line.lstrip().startswith("#"):
        return state
    column = 0
    position = 0
    while position < len(line):
        character, pair = line[position], line[position : position + 2]
        step = 1
        if state == "comment":
            if pair == "*/":
                state, step = "", 2
        elif state:
            if character == "\\":
                step = 2
            elif character == state:
                state = ""
        elif pair == "/*":
            state, step = "comment", 2
        elif character in "\"'":
            state = character
        elif character == "(":
            opened.append(column)
        elif character == ")" and opened:
            opened.pop()
        for _ in range(step):
            column = (column // _TAB + 1) * _TAB if character == "\t" else column + 1
        position += step
    return state if state == "comment" else ""


def _indent(column: int) -> str:
    return "\t" * (column // _TAB) + " " * (column % _TAB)
