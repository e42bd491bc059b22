"""SQL text: types, names of functions, quoting, keywords and near misses."""

from __future__ import annotations

import pytest
from pglast import keywords

from pgbgw.sqltext import (
    SqlError,
    SqlType,
    keyword_kind,
    near,
    parse_function_name,
    parse_type,
    quote_ident,
    quote_literal,
)

TYPES = [
    # text, sql, internal, OID, is an array
    ("integer", "integer", "int4", 23),
    ("INT", "integer", "int4", 23),
    ("int4", "integer", "int4", 23),
    ("pg_catalog.int4", "integer", "int4", 23),
    ('"int4"', "integer", "int4", 23),
    ("bigint", "bigint", "int8", 20),
    ("smallint", "smallint", "int2", 21),
    ("text", "text", "text", 25),
    ("boolean", "boolean", "bool", 16),
    ("bool", "boolean", "bool", 16),
    ("bytea", "bytea", "bytea", 17),
    ("jsonb", "jsonb", "jsonb", 3802),
    ("uuid", "uuid", "uuid", 2950),
    ("regclass", "regclass", "regclass", 2205),
    ("real", "real", "float4", 700),
    ("float", "double precision", "float8", 701),
    ("float(24)", "real", "float4", 700),
    ("double precision", "double precision", "float8", 701),
    ("numeric", "numeric", "numeric", 1700),
    ("decimal(10,2)", "numeric(10,2)", "numeric", 1700),
    ("numeric(4)", "numeric(4,0)", "numeric", 1700),
    ("numeric(4,-2)", "numeric(4,-2)", "numeric", 1700),
    ("varchar(20)", "character varying(20)", "varchar", 1043),
    ("character varying", "character varying", "varchar", 1043),
    ("char", "character(1)", "bpchar", 1042),
    ("char(3)", "character(3)", "bpchar", 1042),
    ("bpchar", "bpchar", "bpchar", 1042),
    ('"char"', '"char"', "char", 18),
    ("bit", "bit(1)", "bit", 1560),
    ("bit varying(8)", "bit varying(8)", "varbit", 1562),
    ("timestamp", "timestamp without time zone", "timestamp", 1114),
    ("timestamptz", "timestamp with time zone", "timestamptz", 1184),
    ("timestamp(3) with time zone", "timestamp(3) with time zone", "timestamptz", 1184),
    ("time(0)", "time(0) without time zone", "time", 1083),
    ("interval", "interval", "interval", 1186),
    ("interval(3)", "interval(3)", "interval", 1186),
    ("interval day to second(3)", "interval day to second(3)", "interval", 1186),
    ("interval year", "interval year", "interval", 1186),
    ("name -- comment", "name", "name", 19),
    ("xid8", "xid8", "xid8", 5069),
    ("int[]", "integer[]", "int4", 1007),
    ("int[3][4]", "integer[]", "int4", 1007),
    ("text ARRAY", "text[]", "text", 1009),
    ("varchar(3)[]", "character varying(3)[]", "varchar", 1015),
    ("timestamp(0)[]", "timestamp(0) without time zone[]", "timestamp", 1115),
    ("_int4", "integer[]", "int4", 1007),
    ("mood", "mood", "mood", None),
    ("regclas", "regclas", "regclas", None),
    ("public.mood", "public.mood", "mood", None),
    ("public.int4", "public.int4", "int4", None),
    ("Public.Mood", "public.mood", "mood", None),
    ('"Public"."select"[]', '"Public"."select"[]', "select", None),
    ("geometry(Point, 4326)", "geometry(point,4326)", "geometry", None),
    ("gis.geometry('Point')", "gis.geometry('Point')", "geometry", None),
    ("public.serial", "public.serial", "serial", None),
]


@pytest.mark.parametrize(("text", "sql", "internal", "oid"), TYPES, ids=[case[0] for case in TYPES])
def test_types(text: str, sql: str, internal: str, oid: int | None) -> None:
    assert parse_type(text) == SqlType(sql, internal, oid, sql.endswith("[]"))
    assert parse_type(sql) == parse_type(text)


NO_TYPES = [
    ("", 0, "type is empty"),
    ("  ", 0, "type is empty"),
    ("integer)", 7, 'syntax error at or near ")"'),
    ("int) FROM t WHERE (true", 3, 'syntax error at or near ")"'),
    ("int) + CAST(1 AS int", 3, 'syntax error at or near ")"'),
    ("int; DROP TABLE t", 3, 'syntax error at or near ";"'),
    ("int, text", 3, 'syntax error at or near ","'),
    ("int text", 4, 'syntax error at or near "text"'),
    ("12", 0, 'syntax error at or near "12"'),
    ("select", 0, 'syntax error at or near "select"'),
    ("numeric(1", 9, "type is not complete"),
    ("public.", 7, "type is not complete"),
    ("'text'", 0, "syntax error at or near \"'text'\""),
    ("a.b.c", 0, "type name has too many parts"),
    ("int4(3)", 0, "type integer does not take these modifiers"),
    ("text(3)", 0, "type text does not take these modifiers"),
    ("numeric(1,2,3)", 0, "type numeric does not take these modifiers"),
    ("numeric(a)", 0, "type numeric does not take these modifiers"),
    ("mood(1+1)", 0, "type modifiers must be constants or names"),
    ("anyelement", 0, "anyelement is not a type of values"),
    ("void", 0, "void is not a type of values"),
    ("serial", 0, "serial is not a type of values"),
    ("t.a%TYPE", 3, 'syntax error at or near "%"'),
    ("te\0xt", 2, "type contains the character U+0000"),
]


@pytest.mark.parametrize(("text", "offset", "message"), NO_TYPES, ids=[ascii(case[0]) for case in NO_TYPES])
def test_no_types(text: str, offset: int, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse_type(text)
    assert (caught.value.message, caught.value.offset) == (message, offset)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("process_item", ("process_item",)),
        ("public.process_item", ("public", "process_item")),
        ("Public . Process_Item", ("public", "process_item")),
        ('"Public"."Process ""Item"', ("Public", 'Process "Item')),
        ("öffnen", ("öffnen",)),
        ("public.select", ("public", "select")),
        ("left", ("left",)),
        ('U&"d\\0061t"', ("dat",)),
    ],
)
def test_function_names(text: str, parts: tuple[str, ...]) -> None:
    assert parse_function_name(text) == parts


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "function name is empty"),
        ("f()", 1, 'syntax error at or near "("'),
        ("f(), g", 1, 'syntax error at or near "("'),
        ("a.b.c", 0, "function name has too many parts"),
        ("a.", 2, "function name is not complete"),
        (".a", 0, 'syntax error at or near "."'),
        ("a b", 2, 'syntax error at or near "b"'),
        ("a,b", 1, 'syntax error at or near ","'),
        ("select", 0, 'syntax error at or near "select"'),
        ("user", 0, 'syntax error at or near "user"'),
        ("1", 0, 'syntax error at or near "1"'),
        ('""', 0, 'zero-length delimited identifier at or near """"'),
        ("a; b", 1, 'syntax error at or near ";"'),
        ("a\ud800", 1, "function name contains the character U+D800"),
    ],
)
def test_no_function_names(text: str, offset: int, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse_function_name(text)
    assert (caught.value.message, caught.value.offset) == (message, offset)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a", "a"),
        ("_a1", "_a1"),
        ("zone", "zone"),
        ("int", '"int"'),
        ("left", '"left"'),
        ("select", '"select"'),
        ("A", '"A"'),
        ("1a", '"1a"'),
        ("a$", '"a$"'),
        ("é", '"é"'),
        ("a b", '"a b"'),
        ('a"b', '"a""b"'),
        ("a\n", '"a\n"'),
    ],
)
def test_quote_ident(name: str, quoted: str) -> None:
    assert quote_ident(name) == quoted


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("", "''"), ("a", "'a'"), ("it's", "'it''s'"), ("a\\b'c", "E'a\\\\b''c'"), ("é\n", "'é\n'")],
)
def test_quote_literal(text: str, quoted: str) -> None:
    assert quote_literal(text) == quoted


def test_quoting_refuses_what_no_server_takes() -> None:
    for name in ("", "a\0", "\udfff"):
        with pytest.raises(SqlError):
            quote_ident(name)
    with pytest.raises(SqlError):
        quote_literal("\0")


def test_keyword_kinds() -> None:
    assert keyword_kind("SELECT") == "reserved"
    assert keyword_kind("zone") == "unreserved"
    assert keyword_kind("Int") == "col_name"
    assert keyword_kind("left") == "type_func_name"
    assert keyword_kind("outbox") is None
    assert keyword_kind("\u212aey") is None  # the Kelvin sign, a "k" to str.lower()
    assert all(keyword_kind(word) == "reserved" for word in keywords.RESERVED_KEYWORDS)


def test_near() -> None:
    assert near("adress", ["body", "address"]) == "address"
    assert near("ADDRESS", ["Address"]) == "Address"
    assert near("zzz", ["body", "address"]) is None
    assert near("x", []) is None
