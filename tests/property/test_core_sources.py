"""The ways in which the compiled core reads rows: whatever the bytes are, all of them say the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pgbgw._core import CopyError, JobDecoder, Layout, copy_columns, copy_jobs, decode_copy, encode_copy, result_jobs
from tests.binaryvalues import OIDS, VALUES
from tests.copybinary import header
from tests.pgresults import Slow, make_result

KINDS = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6)
Table = tuple[Layout, list[tuple[Any, ...]]]


def layout_of(kinds: Sequence[str]) -> Layout:
    return Layout([f"c{number}" for number in range(len(kinds))], kinds)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A layout, and rows that fit it."""
    kinds = draw(KINDS)
    rows = st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in kinds)), max_size=8)
    return layout_of(kinds), draw(rows)


def outcome(read: Callable[[], Any]) -> str:
    """What was read, or where the fault is."""
    try:
        return repr(read())
    except CopyError as error:
        return f"{error.row}, {error.column}"


def values(jobs: list[Any], layout: Layout) -> list[tuple[Any, ...]]:
    return [tuple(job[name] for name in layout.names or ()) for job in jobs]


@given(tables(), st.lists(st.integers(0, 10_000)))
def test_jobs_have_what_tuples_have(table: Table, cuts: list[int]) -> None:
    layout, rows = table
    data = encode_copy(rows, layout)
    decoder = JobDecoder(layout)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    jobs = [job for start, end in pairwise(places) for job in decoder.feed(data[start:end])]
    decoder.close()
    assert repr(values(jobs, layout)) == repr(decode_copy(data, layout))


@given(tables(), st.data())
def test_damage_is_found_by_all(table: Table, data: st.DataObject) -> None:
    layout, rows = table
    damaged = bytearray(encode_copy(rows, layout))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(damaged[: data.draw(st.integers(len(damaged) - 3, len(damaged)))])
    tuples = outcome(lambda: decode_copy(cut, layout))
    jobs = outcome(lambda: values(copy_jobs(cut, layout), layout))
    # Values are looked at later, so if there are several faults it is another one that is found first.
    assert tuples == jobs if tuples.startswith("[") else not jobs.startswith("[")
    with suppress(CopyError):
        columns = copy_columns(cut, layout)
        assert len(columns) == len(copy_jobs(cut, layout))
        for name in columns.names:
            assert columns.nulls(name) <= len(columns)


@given(KINDS, st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(kinds: list[str], data: bytes) -> None:
    layout = layout_of(kinds)
    for piece in (data, header() + data):
        tuples = outcome(lambda piece=piece: decode_copy(piece, layout))  # type: ignore[misc]
        jobs = outcome(lambda piece=piece: values(copy_jobs(piece, layout), layout))  # type: ignore[misc]
        assert tuples.startswith("[") == jobs.startswith("[")
        with suppress(CopyError):
            copy_columns(piece, layout)


@given(KINDS, st.data())
def test_both_transports_give_the_same_jobs(kinds: list[str], data: st.DataObject) -> None:
    layout = layout_of(kinds)
    fields = st.none() | st.binary(max_size=20) | st.sampled_from([bytes(size) for size in (1, 2, 4, 8, 12, 16)])
    rows = data.draw(st.lists(st.lists(fields, min_size=len(kinds), max_size=len(kinds)), max_size=4))
    result = make_result([(f"c{number}", OIDS[kind]) for number, kind in enumerate(kinds)], rows)
    fast, slow = (
        outcome(lambda source=source: values(result_jobs(source, layout), layout))  # type: ignore[misc]
        for source in (result, Slow(result))
    )
    assert fast == slow
