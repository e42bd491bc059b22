"""Jobs that a program has: they keep what their payload came to, and die as other jobs do."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pgbgw._core import (
    CopyError,
    Held,
    Layout,
    _job,
    _live_slabs,
    decode_copy,
    lease_keys,
    of_each_layout,
    result_jobs,
)
from tests.copybinary import row, stream
from tests.pgresults import make_result

LAYOUT = Layout(["id", "token", "payload"], ["int8", "int8", "bytea"], payload=["payload"])


class Mine(Held):
    __slots__ = ()

    @property
    def double(self) -> int:
        return 2 * self.id


def job(number: int = 7, layout: Layout = LAYOUT) -> Mine:
    return _job(layout, row(number.to_bytes(8, "big"), bytes(7) + b"\5", b"some"), Mine)


def live_slabs() -> int:
    gc.collect()
    return _live_slabs()


def test_a_derived_class_adds_methods_to_what_a_row_has() -> None:
    made = job()
    assert type(made) is Mine
    assert (made.id, made.token, made.double, made.fields()) == (7, 5, 14, {"payload": b"some"})
    assert made.raw("payload") == b"some"
    assert made.layout is LAYOUT
    assert _job(LAYOUT, made.row_bytes(), Mine).id == 7
    with pytest.raises(AttributeError, match="attempt"):
        made.attempt  # noqa: B018 - it raises


def test_it_can_be_marked_and_keeps_an_object() -> None:
    made = job()
    assert (made.lost, made.kept) == (False, None)
    made.lost, made.kept = True, [1]
    assert (made.lost, made.kept) == (True, [1])
    made.lost, made.kept = False, "other"
    assert (made.lost, made.kept) == (False, "other")
    with pytest.raises(AttributeError):
        made.other = 1  # type: ignore[attr-defined]


def test_what_is_kept_goes_with_the_job() -> None:
    before = live_slabs()
    made, kept = job(), [object()]
    made.kept = kept
    assert any(each is made for each in gc.get_referrers(kept))
    del made
    assert live_slabs() == before
    assert not any(isinstance(each, Mine) for each in gc.get_referrers(kept))


def test_a_detached_job_lets_the_others_go() -> None:
    before = live_slabs()
    body = b"x" * 10_000
    rows = [[number.to_bytes(8, "big"), bytes(7) + b"\5", body] for number in range(50)]
    jobs = result_jobs(make_result([("id", 20), ("token", 20), ("payload", 17)], rows), LAYOUT, Mine)
    chunk = memoryview(jobs[7].raw("payload") or b"").obj
    jobs[7].lost, jobs[7].kept = True, ["payload"]
    alone, other, kept = jobs[7].detach(), jobs[8].detach(), jobs[7].kept
    references = sys.getrefcount(chunk)
    del jobs
    assert sys.getrefcount(chunk) < references
    assert live_slabs() == before + 2
    assert (type(alone), alone.id, alone.token, alone.lost, alone.layout) == (Mine, 7, 5, True, LAYOUT)
    assert alone.kept is kept
    assert (other.id, other.lost, other.kept, gc.is_tracked(other)) == (8, False, None, False)
    assert alone.raw("payload") == other.fields()["payload"] == body
    assert lease_keys([alone]) == lease_keys([job(7)])
    del alone, other
    assert live_slabs() == before


def test_the_collector_frees_a_job_that_keeps_what_refers_to_it() -> None:
    before = live_slabs()
    made: Any = job()
    assert not gc.is_tracked(made)
    made.kept = [made]
    assert gc.is_tracked(made)
    del made
    assert _live_slabs() == before + 1
    assert live_slabs() == before


@pytest.mark.parametrize("make", [Mine, Held, lambda: Held.__new__(Mine)])
def test_jobs_are_made_of_rows_only(make: Callable[[], object]) -> None:
    before = live_slabs()
    with pytest.raises(TypeError, match="made of a received row"):
        make()
    assert live_slabs() == before


def test_a_class_has_no_room_for_more() -> None:
    class Larger(Held):
        __slots__ = ("more",)

    class Other:
        pass

    content = row(bytes(8), bytes(8), b"")
    kinds: list[Any] = [Larger, Other]
    for kind in kinds:
        with pytest.raises(TypeError, match="is not derived from Held"):
            _job(LAYOUT, content, kind)
    with pytest.raises(CopyError, match="cut off"):
        _job(LAYOUT, content[:-1], Mine)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_keys_are_arrays_in_binary(count: int) -> None:
    ids, tokens = lease_keys(job(2**62 + number) for number in range(count))
    found = decode_copy(stream(row(ids, tokens)), ["int8[]", "int8[]"])
    assert found == [([2**62 + number for number in range(count)], [5] * count)]


def test_one_job_of_each_layout() -> None:
    other = Layout(["id", "token", "payload"], ["int8", "int8", "bytea"])
    one, two, three, four = job(), job(), job(layout=other), job()
    assert of_each_layout(iter([one, two, three, four])) == [one, three, four]
    assert of_each_layout([]) == []
    wrong: Any = [one, 1]
    with pytest.raises(TypeError, match="not a job: int"):
        of_each_layout(wrong)


def test_keys_are_of_jobs_that_have_them() -> None:
    other: Any = 1
    with pytest.raises(TypeError, match="not a job: int"):
        lease_keys([other])
    without = Layout(["id", "other", "payload"], ["int8", "int8", "bytea"])
    with pytest.raises(AttributeError, match='no column "token"'):
        lease_keys([job(layout=without)])
    null = _job(LAYOUT, row(None, bytes(8), b""), Mine)
    with pytest.raises(ValueError, match='"id" of a job is NULL'):
        lease_keys([null])
    short = Layout(["id", "token", "payload"], ["int4", "int8", "bytea"])
    with pytest.raises(AttributeError, match='no column "id"'):
        lease_keys([_job(short, row(bytes(4), bytes(8), b""), Mine)])
