"""Text that may enter emitted files: each value knows that it was escaped, and for which language.

A plain ``str`` never gets in (see ``environment.py``), so a forgotten escape fails at once and for every input.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

__all__ = ["CText", "PlainText", "SqlText", "Text", "boolean", "c_comment", "ident", "int64", "integer", "plain",
           "prose", "real", "sql", "sql_comment", "sql_literal", "string"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """Escaped text; the subclass says for what."""

    text: str

    def __str__(self) -> str:
        return self.text


class CText(Text):
    """Text that is C."""

    __slots__ = ()


class SqlText(Text):
    """Text that is SQL."""

    __slots__ = ()


class PlainText(Text):
    """Text of a file with no syntax of its own worth the name: README, configuration."""

    __slots__ = ()


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

# What CREATE EXTENSION replaces wherever it stands in a script (execute_extension_script() in extension.c).
_REPLACED = re.compile(r"@(?=extowner@|extschema[@:])|(?<=MODULE)_(?=PATHNAME)")
_QUOTED_NAME = re.compile(r'"(?:[^"]|"")*"')

# C11, 5.2.1.1: a trigraph begins with two question marks; in a string the second one may be escaped.
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\a": r"\a", "\b": r"\b", "\f": r"\f",
            "\v": r"\v"}  # fmt: skip


def ident(name: str) -> CText:
    """A C identifier or macro; raises ValueError for anything else, which is a fault of the lowering."""
    if not _IDENTIFIER.match(name):
        raise ValueError(f"not a C identifier: {name!r}")
    return CText(name)


def string(text: str) -> CText:
    """A C string literal of the UTF-8 bytes of ``text``; non-ASCII bytes as octal, so that no charset matters."""
    out = []
    for character in text:
        if character in _ESCAPES:
            out.append(_ESCAPES[character])
        elif character == "?" and out and out[-1] in ("?", r"\?"):
            out.append(r"\?")
        elif " " <= character <= "~":
            out.append(character)
        else:
            # three digits, so that a digit that follows is not taken for part of the escape
            out.extend(f"\\{byte:03o}" for byte in character.encode())
    return CText('"' + "".join(out) + '"')


def integer(value: int) -> CText:
    """An int constant; the smallest one can't be written as a negated literal."""
    return CText("INT_MIN" if value == -(2**31) else str(int(value)))


def int64(value: int) -> CText:
    """An int64 constant."""
    if value == -(2**63):
        return CText("PG_INT64_MIN")
    return CText(f"INT64CONST({int(value)})")


def real(value: float) -> CText:
    """A double constant that reads back as the same double."""
    text = repr(float(value))
    return CText(text if "." in text or "e" in text else f"{text}.0")


def boolean(value: bool) -> CText:
    """A bool constant."""
    return CText("true" if value else "false")


def prose(text: str) -> CText:
    """Text inside a comment that the template opens and closes: one line, which can't end the comment."""
    flat = " ".join(text.split())
    return CText(_harmless(flat))


def c_comment(text: str, tabs: int) -> CText:
    """A comment of its own, as pgindent lays it out: on one line if it fits into 79 columns, else as a block."""
    flat = _harmless(" ".join(text.split()))
    indent = "\t" * tabs
    if len(flat) + 4 * tabs + 6 <= 79:
        return CText(f"{indent}/* {flat} */")
    lines = textwrap.wrap(flat, 79 - 4 * tabs - 3, break_long_words=False, break_on_hyphens=False)
    return CText("\n".join([f"\n{indent}/*", *(f"{indent} * {line}" for line in lines), f"{indent} */"]))


def sql(text: str) -> SqlText:
    """SQL that the lowering has quoted already; names that CREATE EXTENSION would alter are written with escapes."""
    return SqlText(_QUOTED_NAME.sub(lambda match: _unaltered(match[0]), text))


def _unaltered(name: str) -> str:
    if not _REPLACED.search(name):
        return name
    return "U&" + _REPLACED.sub(lambda match: f"\\{ord(match[0]):04X}", name.replace("\\", "\\\\"))


def sql_literal(text: str) -> SqlText:
    """An SQL string literal that reads the same whatever standard_conforming_strings says."""
    quoted = text.replace("'", "''")
    if "\\" not in text and not _REPLACED.search(text):
        return SqlText(f"'{quoted}'")
    escaped = _REPLACED.sub(lambda match: f"\\{ord(match[0]):03o}", quoted.replace("\\", "\\\\"))
    return SqlText(f"E'{escaped}'")


def sql_comment(text: str) -> SqlText:
    """Text behind ``--``: one line."""
    return SqlText(_REPLACED.sub(" ", " ".join(text.split())))


def plain(text: str) -> PlainText:
    """Text as it is."""
    return PlainText(text)


def _harmless(text: str) -> str:
    """Neither the end of a comment, nor a second start (-Wcomment), nor a trigraph or line splice."""
    # what becomes another character first: it may be part of one of the others then
    text = "".join(character if character.isprintable() else "?" for character in text).replace("\\", "/")
    return re.sub(r"\?(?=\?)", "? ", text.replace("*/", "* /").replace("/*", "/ *"))
