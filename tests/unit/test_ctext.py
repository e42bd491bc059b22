"""Text on its way into emitted files: each escape, and what refuses to be escaped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pglast import parser

from pgbgw.codegen import ctext
from pgbgw.codegen.ctext import CText, PlainText, SqlText, Text
from pgbgw.codegen.environment import _environment
from tests.compile.literals import c_bytes

STRINGS = [
    "", "plain", 'a "quoted" one', "back\\slash", "line\nline\r\n", "tab\t", "%s %n %%", "*/ /*", "??/ ??' ??!",
    "???", "????", "?", "??", "\x01" + "1", "\x7f9", "\x1b[0m", "é7", "日本", "\U0001f4a9", "\a\b\f\v", "\u2028",
    "a" * 3000,
]  # fmt: skip


def test_a_compiler_reads_the_same_bytes(tmp_path: Path) -> None:
    literals = [str(ctext.string(text)) for text in STRINGS]
    assert c_bytes(literals, tmp_path) == [text.encode() for text in STRINGS]


def test_strings_are_ascii_on_one_line() -> None:
    for text in STRINGS:
        literal = str(ctext.string(text))
        assert literal.isascii()
        assert literal.isprintable()
        assert "??" not in literal


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a b", "é", "a\n", "a;", "*a", "a()"])
def test_what_is_no_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="not a C identifier"):
        ctext.ident(name)


def test_numbers() -> None:
    assert str(ctext.integer(-(2**31))) == "INT_MIN"
    assert str(ctext.integer(2**31 - 1)) == "2147483647"
    assert str(ctext.int64(-(2**63))) == "PG_INT64_MIN"
    assert str(ctext.int64(-5)) == "INT64CONST(-5)"
    assert [str(ctext.boolean(value)) for value in (True, False)] == ["true", "false"]


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, -1.7976931348623157e308, 1e16, 123456789.125, 3])
def test_doubles_read_back(value: float) -> None:
    text = str(ctext.real(value))
    assert float(text) == value
    assert not text.isdigit()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("ends */ here", "ends * / here"),
        ("a /* b", "a / * b"),
        ("*/*/", "* /* /"),
        ("/*/", "/ */"),
        ("two\nlines\t and  more ", "two lines and more"),
        ("??/", "? ?/"),
        ("back\\", "back/"),
        ("a /*\\ b", "a / * / b"),
        ("a *\\ b", "a * / b"),
        ("?\x01?/", "? ? ?/"),
        ("\x1b[2J\u202e", "?[2J?"),
        ("Grüße", "Grüße"),
    ],
)
def test_prose_can_not_end_its_comment(text: str, shown: str) -> None:
    found = str(ctext.prose(text))
    inside = f"/* {found} */"
    assert inside.index("*/") == len(inside) - 2
    assert "/*" not in inside[2:]
    assert "??" not in found
    if text not in ("*/*/", "/*/"):
        assert found == shown


def test_comments_are_broken_where_they_are_too_long() -> None:
    assert str(ctext.c_comment("short", 1)) == "\t/* short */"
    long = str(ctext.c_comment("word " * 40, 1))
    assert long.startswith("\n\t/*\n\t * word")
    assert long.endswith("\n\t */")
    assert max(len(line.expandtabs(4)) for line in long.split("\n")) <= 79


SQL_TEXTS = ["", "plain", "it's", "back\\slash", "\\'", "a\nb", "@extschema@", "@extowner@ \\ '", "MODULE_PATHNAME",
             "@extschema:x@", "@extschema", "日本"]  # fmt: skip


@pytest.mark.parametrize("text", SQL_TEXTS)
def test_sql_literals_read_back(text: str) -> None:
    literal = str(ctext.sql_literal(text))
    tree = json.loads(parser.parse_sql_json(f"SELECT {literal}"))
    value = tree["stmts"][0]["stmt"]["SelectStmt"]["targetList"][0]["ResTarget"]["val"]["A_Const"]
    assert value["sval"].get("sval", "") == text
    for replaced in ("@extschema@", "@extowner@", "@extschema:", "MODULE_PATHNAME"):
        assert replaced not in literal


@pytest.mark.parametrize("text", [text for text in SQL_TEXTS if text])
def test_sql_names_read_back(text: str) -> None:
    quoted = '"' + text.replace('"', '""') + '"'
    written = str(ctext.sql(f"public.{quoted}"))
    tree = json.loads(parser.parse_sql_json(f"SELECT FROM {written}"))
    found = tree["stmts"][0]["stmt"]["SelectStmt"]["fromClause"][0]["RangeVar"]
    assert (found["schemaname"], found["relname"]) == ("public", text)
    for replaced in ("@extschema@", "@extowner@", "@extschema:", "MODULE_PATHNAME"):
        assert replaced not in written


def test_sql_comments_stay_on_their_line() -> None:
    assert str(ctext.sql_comment("a\nb\r\nc\u2028d @extschema@")) == "a b c d  extschema@"


def test_only_text_of_the_language_enters_a_template() -> None:
    environment = _environment(CText)
    assert environment.from_string("@{x}").render(x=CText("int")) == "int"
    for other in ("int", SqlText("int"), PlainText("int"), Text("int"), 1, None):
        with pytest.raises(TypeError, match="without being CText"):
            environment.from_string("@{x}").render(x=other)
