"""Any text is parsed or refused, parameters round-trip, and offsets lead back to what was written."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import example, given
from hypothesis import strategies as st
from pglast import parser

from pgbgw.sqltext import (
    ParsedSql,
    SqlError,
    SqlType,
    parse,
    parse_function_name,
    parse_type,
    quote_ident,
    quote_literal,
)

T = TypeVar("T")

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
FRAGMENTS = st.lists(
    st.sampled_from(
        ["SELECT", "INSERT INTO t", "VALUES", "(", ")", "[", "]", ":", "::", ":=", ":a", ":é", "$1", "$$", "'", '"',
         "E'", "\\", "--", "/*", "\n", ";", ",", "1", "x", "é", "\U0001f600", "?", "%s", "FROM t", "VLAUES", "U&'\\",
         "*/", "JSON_OBJECT(", "LIMIT", "BEGIN", "VACUUM", "\0", "\ud800", "E'\\xff'", "AS", "."]
    ),
    max_size=14,
)  # fmt: skip
WILD = ANY_TEXT | FRAGMENTS.map(" ".join) | FRAGMENTS.map("".join)

NAMES = st.from_regex(r"[A-Za-z_é日][A-Za-z0-9_é日]{0,10}", fullmatch=True)

# Pieces of SQL that stand between parameters, with colons of their own; each is whole in itself.
PLAIN = st.sampled_from(
    ["1", "'é:a'", "$$:b$$", "$x$ :c $x$", '"col:d"', "x::int", "f(a := 1)", "/* :e é */ 2", "3 -- :f\n", "E'\\':g'",
     "a[1:2]", "a[x:y]", "'\U0001f600'", "json_object('k':v)", "U&'\\0061:h'"]
)  # fmt: skip


def storable(text: str) -> bool:
    return all(character != "\0" and not 0xD800 <= ord(character) <= 0xDFFF for character in text)


def outcome(function: Callable[[str], T], text: str) -> T | SqlError:
    """What the function made of the text, or its refusal, which must point into the text."""
    try:
        return function(text)
    except SqlError as error:
        if not error.message or not 0 <= error.offset <= len(text):
            raise AssertionError("a refusal without a message or a place") from error
        return error


@given(WILD)
@example("SELECT '\U0001f600', 'é")
@example("SELECT E'\\xe9'")
@example("SELECT 'é' :a :")
def test_any_text_is_parsed_or_refused(text: str) -> None:
    found = outcome(parse, text)
    if isinstance(found, ParsedSql):
        assert len(parser.parse_sql(found.sql)) == 1
        offsets_lead_back(found)
    else:
        assert found.message == str(found)
        assert "\n" not in found.message
        assert found.hint is None or found.hint.endswith((".", "?"))


def offsets_lead_back(parsed: ParsedSql) -> None:
    """Outside the placeholders each character leads to itself; a placeholder leads to a colon and a name."""
    starts = {use.start: use for use in parsed.uses}
    inside = {offset for use in parsed.uses for offset in range(use.start, use.end)}
    for offset, character in enumerate(parsed.sql):
        original = parsed.original_offset(offset)
        if offset in inside:
            assert parsed.text[original] == ":"
        else:
            assert parsed.text[original] == character
    assert parsed.original_offset(len(parsed.sql)) == len(parsed.text)
    assert all(parsed.text[use.text_start] == ":" for use in starts.values())
    assert [parsed.text[parameter.offset] for parameter in parsed.parameters] == [":"] * len(parsed.parameters)


@given(st.lists(st.tuples(PLAIN, NAMES, st.sampled_from(["", " ", "\n", "/* é */"])), min_size=1, max_size=8))
def test_parameters_round_trip(items: list[tuple[str, str, str]]) -> None:
    numbers: dict[str, int] = {}
    written, expected = [], []
    for plain, name, blank in items:
        number = numbers.setdefault(name, len(numbers) + 1)
        written.append(f"{plain}, f(1+:{name}{blank}), :{name}::text")
        expected.append(f"{plain}, f(1+${number}{blank}), ${number}::text")
    parsed = parse("SELECT " + ", ".join(written))
    assert parsed.sql == "SELECT " + ", ".join(expected)
    assert [parameter.name for parameter in parsed.parameters] == list(numbers)
    for parameter in parsed.parameters:
        assert parsed.text[parameter.offset :].startswith(f":{parameter.name}")
        assert parameter.offset == parsed.original_offset(parsed.sql.index(f"${numbers[parameter.name]}"))
    offsets_lead_back(parsed)


@given(st.lists(PLAIN, max_size=5), NAMES, st.lists(PLAIN, max_size=3))
def test_syntax_errors_point_at_the_word(before: list[str], name: str, after: list[str]) -> None:
    head = f"SELECT {', '.join([*before, f':{name}'])}, "
    error = outcome(parse, f"{head}WHERE {', '.join(after)}")
    assert isinstance(error, SqlError)
    assert (error.kind, error.offset) == ("syntax", len(head))
    assert error.message == 'syntax error at or near "WHERE"'


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15))
@example("select")
@example('"')
@example("a\\b")
def test_identifiers_round_trip(name: str) -> None:
    assert parse_function_name(f"{quote_ident(name)}.{quote_ident(name)}") == (name, name)
    assert parse_type(f"public.{quote_ident(name)}").internal == name
    [statement] = parser.parse_sql(f"SELECT 1 AS {quote_ident(name)}")
    select: Any = statement.stmt
    assert select.targetList[0].name == name


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("\\'\"?%*/"), max_size=50))
def test_literals_round_trip(text: str) -> None:
    [statement] = parser.parse_sql(f"SELECT {quote_literal(text)}")
    select: Any = statement.stmt
    assert select.targetList[0].val.val.sval == text


@given(WILD)
def test_quoting_refuses_only_what_no_server_takes(text: str) -> None:
    found = outcome(quote_literal, text)
    assert isinstance(found, str) == storable(text)
    if isinstance(found, SqlError):
        assert not storable(text[found.offset])


TYPE_TEXT = st.lists(
    st.sampled_from(["int", "text", "public", ".", "(", ")", "[]", "3", ",", '"x"', "varchar", "interval", "day", "to",
                     "second", "with", "time", "zone", "timestamp", "'", "--", "\n", "AS", "SETOF", "%", "TYPE"])
).map(" ".join)  # fmt: skip


@given(WILD | TYPE_TEXT | st.text(string.printable, max_size=12))
def test_any_text_is_a_type_or_refused(text: str) -> None:
    found = outcome(parse_type, text)
    if isinstance(found, SqlType):
        assert parse_type(found.sql) == found
        assert found.array == found.sql.endswith("[]")


@given(WILD | st.text(string.printable, max_size=12))
def test_any_text_is_a_function_name_or_refused(text: str) -> None:
    found = outcome(parse_function_name, text)
    if isinstance(found, tuple):
        assert parse_function_name(".".join(map(quote_ident, found))) == found
