"""Where the characters of a string stand in the source that gave it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pgbgw.literals import locate
from pgbgw.origin import Origin

Locate = Callable[..., str]


def origin_here() -> Origin:
    """What ``Origin.of_caller()`` finds for a call in a user's file: the span of the call two frames up."""
    frame = sys._getframe(2)
    line, end_line, column, end_column = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    assert line
    assert end_line
    assert column is not None
    assert end_column is not None
    lines = Path(frame.f_code.co_filename).read_bytes().splitlines()
    start = len(lines[line - 1][:column].decode())
    end = len(lines[end_line - 1][:end_column].decode())
    return Origin(frame.f_code.co_filename, line, start + 1, end_line, end + 1)


def text_of(origin: Origin) -> str:
    lines = Path(origin.path).read_text(encoding="utf-8").split("\n")[origin.line - 1 : origin.end_line]
    lines[-1] = lines[-1][: origin.end_column - 1]
    lines[0] = lines[0][origin.column - 1 :]
    return "\n".join(lines)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], list[tuple[str, Origin]]]:
    """Run source that calls ``sql(text, ...)`` and return the texts and origins of its calls."""

    def execute(source: str) -> list[tuple[str, Origin]]:
        path = tmp_path / "jobs.py"
        path.write_text(source, encoding="utf-8")
        calls: list[tuple[str, Origin]] = []

        def sql(text: str = "", *rest: object, **named: object) -> str:
            calls.append((text, origin_here()))
            return text

        names = {"sql": sql, "take": lambda *args, **named: None}
        exec(compile(source, str(path), "exec"), names)
        return calls

    return execute


LITERALS = [
    'sql("SELECT x")',
    "sql('SELECT x')",
    'sql("""SELECT\n  x""")',
    "sql('''SELECT\n\n\tx\n''')",
    'sql(r"SELECT \\d \\" x")',
    'sql(R"""\\n x \\""" x""")',
    'sql(u"SELECT é x")',
    r'sql("tab\t newline\n quote\" octal\101\7 x")',
    r'sql("\x41\u00e9\U0001F600\N{LATIN SMALL LETTER E WITH ACUTE} x")',
    'é = sql("ééé x"); ü = sql("é" "x")',
    'sql("a"\n    \'b\'   # comment "c"\n    "x")',
    'sql(("a" "x"))',
    'sql("""one \\\n  two \\\n x""")',
    'sql("one \\\n  two x")',
    'sql("a" \\\n  "x")',
    'sql("a" r"\\n" "\\n" """\n""" "x")',
    'take(1, sql("in x"), sql("x2"))',
    'take(\n    "decoy",\n    sql(\n        "x",\n    ),\n)',
    'sql("x", "decoy", k="y")',
    'sql("\\u2028 \\x0c x")',
    'sql("form\x0cfeed \u2028 x")',
    'if True:\n    sql("""\n    SELECT x\n    """)',
    'class A:\n    q = staticmethod(sql)\nA.q("a x")\n(A\n   .q("b x"))',
]


@pytest.mark.parametrize("source", LITERALS)
def test_every_character(run: Callable[[str], list[tuple[str, Origin]]], source: str) -> None:
    for text, origin in run(source):
        before = (origin.line, 0)
        for offset, character in enumerate(text):
            found = locate(origin, 0, offset)
            assert (found.line, found.column) > before
            before = found.line, found.column
            written = text_of(found)
            assert written == character or written.startswith("\\")
            if written != character:
                assert eval(f'"{written}"', {}) in {character, f"\\{character}"}
        assert text_of(locate(origin, 0, text.index("x"))) == "x"


def test_span_and_its_ends(run: Callable[[str], list[tuple[str, Origin]]]) -> None:
    [(text, origin)] = run('value = sql("INSERT VLAUES" " (1)")')
    assert text_of(locate(origin, 0, text.index("VLAUES"), 6)) == "VLAUES"
    assert text_of(locate(origin, 0, text.index("VLAUES"), 8)) == 'VLAUES" " ('
    assert text_of(locate(origin, 0, len(text))) == '"'
    assert locate(origin, 0, len(text)).column == len('value = sql("INSERT VLAUES" " (1)') + 1
    assert locate(origin, 0, 10_000) == locate(origin, 0, len(text))
    assert text_of(locate(origin, 0, -5)) == "I"
    assert text_of(locate(origin, 0, 0, 0)) == "I"
    assert text_of(locate(origin, 0, 7, 10_000)) == 'VLAUES" " (1)'


def test_empty_string_is_its_closing_quote(run: Callable[[str], list[tuple[str, Origin]]]) -> None:
    [(_, origin)] = run('sql("")')
    assert locate(origin, 0, 0) == Origin(origin.path, 1, 6, 1, 7)


def test_which_argument(run: Callable[[str], list[tuple[str, Origin]]]) -> None:
    [(_, origin)] = run('sql("first", "second", run="third")')
    assert text_of(locate(origin, 1, 0, 6)) == "second"
    assert text_of(locate(origin, "run", 1)) == "h"
    assert locate(origin, "absent", 0) == origin
    assert locate(origin, 2, 0) == origin
    assert locate(origin, -1, 0) == origin


@pytest.mark.parametrize(
    ("source", "argument"),
    [
        ('sql(f"SELECT {1} x")', 'f"SELECT {1} x"'),
        ('sql("a" f"b{1}")', '"a" f"b{1}"'),
        ('import textwrap\nsql(textwrap.dedent("""\n  x"""))', 'textwrap.dedent("""\n  x""")'),
        ('QUERY = "x"\nsql(QUERY)', "QUERY"),
        ('sql("é" + "x")', '"é" + "x"'),
        ('sql("x %s" % "t")', '"x %s" % "t"'),
    ],
)
def test_not_a_literal(run: Callable[[str], list[tuple[str, Origin]]], source: str, argument: str) -> None:
    [(_, origin)] = run(source)
    assert text_of(locate(origin, 0, 2)) == argument


def test_starred_arguments_hide_positions(run: Callable[[str], list[tuple[str, Origin]]]) -> None:
    [(_, origin)] = run('parts = ["x"]\nsql(*parts, "y")')
    assert locate(origin, 0, 0) == origin
    assert locate(origin, 1, 0) == origin


def test_changed_file_is_read_again(run: Callable[[str], list[tuple[str, Origin]]]) -> None:
    [(_, first)] = run('sql("one x")')
    assert text_of(locate(first, 0, 4)) == "x"
    [(_, second)] = run('\n\n\nsql("three xy")')
    assert text_of(locate(second, 0, 6, 2)) == "xy"


@pytest.mark.parametrize("path", ["<stdin>", "<string>", "", "a\0b", "no/such/file.py"])
def test_vanished_source(path: str) -> None:
    origin = Origin(path, 3, 5, 3, 20)
    assert locate(origin, 0, 4) == origin
    assert locate(origin, "run", 4) == origin


@pytest.mark.parametrize(
    "content",
    [b"", b"sql('x'", b"\xff\xfe broken", b"sql(\0)", b"# coding: no-such-codec\nsql('x')\n", b"(" * 5000],
    ids=["empty", "unclosed", "not-utf8", "nul", "codec", "deep"],
)
def test_odd_source(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.py"
    path.write_bytes(content)
    origin = Origin(str(path), 1, 1, 1, 9)
    assert locate(origin, 0, 0) == origin


def test_origin_that_fits_no_call(tmp_path: Path) -> None:
    path = tmp_path / "jobs.py"
    path.write_text('sql("x")\n', encoding="utf-8")
    for origin in (Origin(str(path), 1, 1, 1, 1), Origin(str(path), 9, 1, 9, 9), Origin(str(path), 1, 1, 0, 0)):
        assert locate(origin, 0, 0) == origin


def test_declared_encoding_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "jobs.py"
    path.write_bytes("# coding: latin-1\né = sql('é x')\n".encode("latin-1"))
    assert locate(Origin(str(path), 2, 5, 2, 15), 0, 2) == Origin(str(path), 2, 12, 2, 13)
    path.write_bytes("\ufeffsql('é x')\r\n".encode())
    assert locate(Origin(str(path), 1, 1, 1, 11), 0, 2) == Origin(str(path), 1, 8, 1, 9)
