"""Values of every type against psycopg's loaders and dumpers, which need no server."""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbgw._core import CopyError, Layout, decode_copy, encode_copy
from tests.binaryvalues import OIDS, VALUES, dumped, loaded
from tests.copybinary import row, stream

JSON = ("json", "jsonb")


def same(one: object, other: object) -> bool:
    """Equal and of one type; NaN is NaN, and of decimals the digits count as well."""
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, Decimal):
        return isinstance(other, Decimal) and str(one) == str(other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_what_psycopg_dumps_is_decoded_as_psycopg_loads_it(kind: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    sent = dumped(kind, value)
    ((found,), (nothing,)) = decode_copy(stream(row(sent), row(None)), [OIDS[kind]])
    assert nothing is None
    if kind in JSON:
        assert found == value
        assert decode_copy(stream(row(sent)), [kind], json="bytes") == [(value.encode(),)]
        return
    assert same(found, loaded(OIDS[kind], sent))
    if kind != "numeric":
        assert same(found, value)
    elif value.is_finite():
        assert found == value


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_what_is_encoded_is_what_psycopg_dumps(kind: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    assert encode_copy([(value,), (None,)], [OIDS[kind]]) == stream(row(dumped(kind, value)), row(None))


@given(st.data())
def test_arrays_come_back_and_psycopg_loads_them(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([kind for kind in VALUES if kind not in JSON]))
    sizes = data.draw(st.lists(st.integers(1, 3), max_size=3))
    values: st.SearchStrategy[Any] = st.none() | VALUES[kind]
    for size in reversed(sizes):
        values = st.lists(values, min_size=size, max_size=size)
    array = data.draw(values) if sizes else []
    encoded = encode_copy([(array,)], [f"{kind}[]"])
    assert repr(decode_copy(encoded, [f"{kind}[]"])) == repr([(array,)])
    ((plain,),) = decode_copy(encoded, [600])
    assert repr(loaded(Layout(None, [f"{kind}[]"]).types[0], plain)) == repr(array)


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_value_or_refused(kind: str, data: bytes) -> None:
    with suppress(CopyError):
        ((value,),) = decode_copy(stream(row(data)), [kind])
        assert value is not None


@pytest.mark.parametrize("kind", ["numeric", "inet", "interval", "timetz", "int4[]", "text[]", "numeric[]"])
@given(data=st.data())
def test_a_damaged_value_is_decoded_or_refused(kind: str, data: st.DataObject) -> None:
    sent = bytearray(ARRAYS[kind] if kind.endswith("]") else dumped(kind, data.draw(VALUES[kind])))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(sent)))
    for damaged in (bytes(sent), bytes(sent[:cut])):
        try:
            decode_copy(stream(row(damaged)), [kind])
        except CopyError:
            continue


def array(oid: int, *elements: bytes | None) -> bytes:
    head = b"".join(number.to_bytes(4, "big") for number in (1, 0, oid, len(elements), 1))
    fields = (b"\xff" * 4 if item is None else len(item).to_bytes(4, "big") + item for item in elements)
    return head + b"".join(fields)


ARRAYS: dict[str, Any] = {
    "int4[]": array(23, b"\0\0\0\1", None, b"\0\0\0\2"),
    "text[]": array(25, b"a", b"", b"bcd", None),
    "numeric[]": array(1700, dumped("numeric", Decimal("12.5"))),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_as_psycopg_loads_them(kind: str) -> None:
    oid = {"int4[]": 1007, "text[]": 1009, "numeric[]": 1231}[kind]
    assert decode_copy(stream(row(ARRAYS[kind])), [kind]) == [(loaded(oid, ARRAYS[kind]),)]
