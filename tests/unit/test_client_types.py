"""How types of columns are named, compared, and read."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import pytest

from pgbgw import Extension, Payload
from pgbgw.client import Mismatch, handle_of
from pgbgw.client.catalog import compare
from pgbgw.client.handle import Column, cast_for


def handle(written: str) -> Any:
    """A queue with one field of a type."""
    kind = type("Kind", (Payload,), {"__annotations__": {"field": Annotated[str, written]}})
    shop: Any = Extension("shop", database="postgres", schema="The shop")
    return handle_of(shop.queue("jobs", kind))


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("mood", '"The shop".mood'),
        ("mood[]", '"The shop".mood[]'),
        ('"Mood"(3)[]', '"The shop"."Mood"(3)[]'),
        ("mood.mood", "mood.mood"),
        ("public.mood[]", "public.mood[]"),
        ("pg_catalog.int4", "integer"),
        ("varchar(3)[]", "character varying(3)[]"),
        ("macaddr", "macaddr"),
    ],
)
def test_a_type_without_a_schema_is_of_that_of_the_extension(written: str, spelled: str) -> None:
    assert handle(written).columns == (Column("field", spelled, nullable=False),)


@pytest.mark.parametrize(
    ("declared", "installed", "same"),
    [
        ("public.mood", "public.mood", True),
        # a word that one server quotes, and another does not
        ('"public"."mood"', "public.mood", True),
        # modifiers as the type writes them
        ("public.geometry(point,4326)", "public.geometry(Point,4326)", True),
        ("public.mood", "other.mood", False),
        ("public.mood", "public.mood[]", False),
        ("public.odd(1)", "public.odd(one two)", False),
    ],
)
def test_types_are_compared_as_sql_reads_them(declared: str, installed: str, same: bool) -> None:
    queues = [replace(handle("text"), columns=(Column("field", each),)) for each in (declared, installed)]
    if same:
        compare(*queues)
    else:
        with pytest.raises(Mismatch, match="column field is declared as"):
            compare(*queues)


@pytest.mark.parametrize(
    ("oid", "element", "cast"),
    [
        (20, 0, None),
        (25, 0, None),
        (1016, 20, None),
        (17, 0, None),
        (1001, 17, None),
        # "char", oid
        (18, 0, None),
        (1028, 26, None),
        # macaddr, and an array of it
        (829, 0, "text"),
        (1040, 829, "text[]"),
        # arrays of domains over int8 and bytea, and of one over int8[]
        (16400, 20, "int8[]"),
        (16400, 17, "bytea[]"),
        (16400, 1016, "text[]"),
        # an enum, and an array of it
        (16400, 0, "text"),
        (16401, 16400, "text[]"),
    ],
)
def test_what_has_no_reader_is_cast_to_what_has_one(oid: int, element: int, cast: str | None) -> None:
    assert cast_for(oid, element) == cast
