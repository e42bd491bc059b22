"""shared_preload_libraries is read as SplitDirectoriesString() reads it, and written so that it reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbgw.server.errors import ServerError
from pgbgw.server.preload import alter_system, parse, render, with_library

CASES = [
    ("", []),
    ("  \t", []),
    ("a", ["a"]),
    (" a , b ", ["a", "b"]),
    ("a,b", ["a", "b"]),
    ("Mixed", ["Mixed"]),
    ('"a", "b c"', ["a", "b c"]),
    ('"with, comma"', ["with, comma"]),
    ('"say ""hi"""', ['say "hi"']),
    ("two words, b", ["two words", "b"]),
    ("$libdir/pg_cron, /opt/x.so", ["$libdir/pg_cron", "/opt/x.so"]),
    ('in"side', ['in"side']),
    ('""', [""]),
]


@pytest.mark.parametrize(("value", "names"), CASES)
def test_parse(value: str, names: list[str]) -> None:
    assert parse(value) == names


@pytest.mark.parametrize("value", [",", "a,", ",a", "a,,b", '"open', '"a" b', '"a""'])
def test_what_the_server_rejects_is_an_error(value: str) -> None:
    with pytest.raises(ServerError) as raised:
        parse(value)
    assert repr(value) in (raised.value.detail or "")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_render_reads_back(names: list[str]) -> None:
    assert parse(render(names)) == names


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ("", ["shop"]),
        ("pg_stat_statements, auto_explain", ["pg_stat_statements", "auto_explain", "shop"]),
        ("shop", ["shop"]),
        ("a, shop, b", ["a", "shop", "b"]),
        ("$libdir/shop", ["$libdir/shop"]),
        ("shop.so", ["shop.so"]),
        ("shop2, myshop", ["shop2", "myshop", "shop"]),
    ],
)
def test_what_stands_is_kept_and_ours_comes_last_once(current: str, wanted: list[str]) -> None:
    assert with_library(current, "shop") == wanted
    assert with_library(render(wanted), "shop") == wanted


def test_alter_system_takes_one_constant_a_name() -> None:
    assert alter_system(["a", "it's", "b, c"]) == "ALTER SYSTEM SET shared_preload_libraries = 'a', 'it''s', 'b, c';"
