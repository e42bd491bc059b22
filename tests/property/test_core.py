"""The compiled core against an encoder of the test's own, and against bytes that nobody meant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from pgbgw._core import CopyDecoder, CopyError, backoff, decode_copy
from tests.copybinary import header, rows

TEXT = st.text(st.characters(codec="utf-8"))
VALUES: dict[str, st.SearchStrategy[object]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "float8": st.floats(allow_nan=False),
    "text": TEXT,
    "jsonb": TEXT,
    "timestamptz": st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)),
}
KINDS = st.lists(st.sampled_from(sorted(VALUES)), max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[object, ...]]]:
    """Column types, and rows that fit them."""
    kinds = draw(KINDS)
    return kinds, draw(st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in kinds)), max_size=8))


def feed_in_pieces(decoder: CopyDecoder, data: bytes, cuts: Sequence[int]) -> list[tuple[object, ...]]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [items for start, end in pairwise(places) for items in decoder.feed(data[start:end])]


def outcome(kinds: list[str], data: bytes, cuts: Sequence[int]) -> str:
    """The rows, or where the fault is: it is the same one, however the bytes are cut."""
    decoder = CopyDecoder(kinds)
    try:
        decoded = feed_in_pieces(decoder, data, cuts)
        decoder.close()
    except CopyError as error:
        return f"row {error.row}, column {error.column}"
    return repr(decoded)


@given(tables(), st.lists(st.integers(0, 10_000)))
@example((["timestamptz"], [(datetime.min.replace(tzinfo=UTC),), (datetime.max.replace(tzinfo=UTC),)]), [])
def test_what_was_encoded_is_decoded_however_it_is_cut(
    table: tuple[list[str], list[tuple[object, ...]]], cuts: list[int]
) -> None:
    kinds, expected = table
    decoder = CopyDecoder(kinds)
    decoded = feed_in_pieces(decoder, rows(kinds, expected), cuts)
    decoder.close()
    # repr tells True from 1 and -0.0 from 0.0
    assert repr(decoded) == repr(expected)


@given(KINDS, st.binary(max_size=200), st.booleans(), st.lists(st.integers(0, 300)))
def test_any_bytes_are_decoded_or_refused(kinds: list[str], data: bytes, begun: bool, cuts: list[int]) -> None:
    data = header() + data if begun else data
    assert outcome(kinds, data, cuts) == outcome(kinds, data, [])


@given(tables().filter(lambda table: table[1]), st.data())
def test_a_damaged_stream_is_decoded_or_refused(
    table: tuple[list[str], list[tuple[object, ...]]], data: st.DataObject
) -> None:
    kinds, contents = table
    damaged = bytearray(rows(kinds, contents))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_copy(damaged, kinds)
    except CopyError:
        return
    assert all(len(items) == len(kinds) for items in decoded)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**32 - 1),
)
def test_the_back_off_is_what_it_says(attempt: int, base: int, cap: int, random: int) -> None:
    doublings = min(max(attempt - 1, 0), 64)
    longest = min(base << doublings, cap)
    assert backoff(attempt, base, cap, random) == longest - ((longest // 4 + 1) * random >> 32)
    assert 1 <= longest - longest // 4 <= backoff(attempt, base, cap, random) <= longest
