"""Reading emitted text back: C strings through a compiled program, configuration as the server's lexer takes it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.compile.compiling import WARNINGS, needs

__all__ = ["c_bytes", "c_literals", "conf_values"]

_TOKEN = re.compile(
    r"(?P<comment>/\*.*?\*/)|(?P<string>\"(?:[^\"\\\n]|\\.)*\")|(?P<char>'(?:[^'\\\n]|\\.)*')"
    r"|(?P<include>^\#include[^\n]*)|(?P<blank>\s+)|(?P<other>.)",
    re.DOTALL | re.MULTILINE,
)


def c_literals(source: str) -> Iterator[str]:
    """The string literals of a C file as they are written, adjacent ones together."""
    adjacent: list[str] = []
    for token in _TOKEN.finditer(source):
        if token.lastgroup == "string":
            adjacent.append(token[0])
        elif token.lastgroup not in ("blank", "comment") and adjacent:
            yield "\n".join(adjacent)
            adjacent = []
    assert not adjacent


def c_bytes(literals: Sequence[str], folder: Path) -> list[bytes]:
    """What a compiler makes of string literals; C11 without extensions, which knows trigraphs."""
    rows = "".join(f"\t{{sizeof({literal}) - 1, {literal}}},\n" for literal in literals)
    (folder / "literals.c").write_text(
        "#include <stdio.h>\n#include <stddef.h>\n"
        f"static const struct {{size_t size; const char *text;}} rows[] = {{\n{rows}}};\n"
        "int main(void)\n{\n\tfor (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)\n"
        '\t{\n\t\tprintf("%zu\\n", rows[i].size);\n\t\tfwrite(rows[i].text, 1, rows[i].size, stdout);\n\t}\n'
        "\treturn 0;\n}\n"
    )
    command = [needs("gcc"), "-std=c11", *WARNINGS, "-O0", "literals.c", "-o", "literals"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = subprocess.run([folder / "literals"], capture_output=True, check=True).stdout
    found = []
    while said:
        size, _, said = said.partition(b"\n")
        found.append(said[: int(size)])
        said = said[int(size) :]
    assert len(found) == len(literals)
    return found


# guc-file.l: STRING, an unquoted value, and what GUC_scanstr() makes of a quoted one.
_LINE = re.compile(
    r"(?P<name>[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)?)[ \t]*=?[ \t]*"
    r"(?:'(?P<quoted>(?:[^'\\\n]|\\.|'')*)'|(?P<plain>[A-Za-z0-9_.:/+-]+))[ \t]*(?:#.*)?\Z"
)
_ESCAPE = re.compile(r"''|\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def conf_values(text: str) -> dict[str, str]:
    """The values of a file in the syntax of postgresql.conf; a line that is neither value nor comment is an error."""
    values = {}
    for line in text.split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line)
        assert match is not None, f"not a line of a configuration file: {line!r}"
        assert match["name"] not in values, line
        quoted = match["quoted"]
        values[match["name"]] = match["plain"] if quoted is None else _ESCAPE.sub(_escaped, quoted)
    return values


def _escaped(match: re.Match[str]) -> str:
    escape = match[1]
    if escape is None:
        return "'"
    return chr(int(escape, 8)) if escape.isdigit() else _LETTERS.get(escape, escape)
