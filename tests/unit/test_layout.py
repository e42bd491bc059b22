"""The two rules of layout that depend on the lengths of names."""

from __future__ import annotations

import pytest

from pgbgw.codegen.layout import align, declaration


@pytest.mark.parametrize(
    ("type_name", "name", "expected"),
    [
        ("int", "a", "\tint\t\t\ta;"),
        ("bool", "a", "\tbool\t\ta;"),
        ("int64", "a", "\tint64\t\ta;"),
        ("TimestampTz", "a", "\tTimestampTz a;"),
        ("MemoryContext", "a", "\tMemoryContext a;"),
        ("char", "*a", "\tchar\t   *a;"),
        ("ReturnSetInfo", "*a", "\tReturnSetInfo *a;"),
        ("Datum", "**a", "\tDatum\t  **a;"),
        ("FmgrInfo", "a", "\tFmgrInfo\ta;"),
        ("ErrorData", "*a", "\tErrorData  *a;"),
    ],
)
def test_declared_names_begin_in_column_twelve(type_name: str, name: str, expected: str) -> None:
    assert declaration(type_name, name) == expected


def test_indentation_and_ends() -> None:
    assert declaration("extern int", "a", 0) == "extern int\ta;"
    assert declaration("int", "a", 2, end=" = 0;") == "\t\tint\t\t\ta = 0;"


def test_lines_inside_parentheses_begin_below_what_is_open() -> None:
    text = "\tcall(first,\nsecond(a,\nb),\nthird);\n\tnext();"
    assert align(text, ["T"]) == "\tcall(first,\n\t\t second(a,\n\t\t\t\tb),\n\t\t third);\n\tnext();"


def test_parentheses_in_strings_characters_and_comments_are_no_parentheses() -> None:
    for inside in ('"(("', "'('", "/* (( */", '"\\"("', "'\\''"):
        assert align(f"\tcall({inside},\nb);\nc", ["T"]) == f"\tcall({inside},\n\t\t b);\nc"


def test_comments_over_several_lines_are_passed_over() -> None:
    text = "/*\n * a (b\n * c) d (\n */\nint x;"
    assert align(text, ["T"]) == text


def test_lines_of_the_preprocessor_are_passed_over() -> None:
    text = "#define A(\n\tf(a,\n#if B\nb);\n#endif"
    assert align(text, ["T"]) == "#define A(\n\tf(a,\n#if B\n\t  b);\n#endif"


def test_declarations_of_the_given_types_are_aligned() -> None:
    text = "\tShopJob *job;\n\tShopJob job = {0};\n\tOther *job;\n\treturn ShopJob;\n} ShopJob;"
    assert align(text, ["ShopJob", "ShopJobs"]) == (
        "\tShopJob    *job;\n\tShopJob\t\tjob = {0};\n\tOther *job;\n\treturn ShopJob;\n} ShopJob;"
    )


def test_a_type_that_begins_like_another_is_told_apart() -> None:
    assert align("\tShop a;\n\tShopJob a;", ["Shop", "ShopJob"]) == "\tShop\t\ta;\n\tShopJob\t\ta;"
