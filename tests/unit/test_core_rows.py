"""Jobs as rows for the encoder."""

from __future__ import annotations

from typing import Any

import pytest

from pgbgw._core import JobRows, decode_copy, encode_copy


class Thing:
    def __init__(self, first: object, second: object) -> None:
        self.first = first
        self.second = second


class Special(Thing):
    pass


def other(job: Any) -> list[Any]:
    return ["other", job, 0]


def rows(jobs: Any, **named: Any) -> JobRows:
    return JobRows(jobs, Thing, ["first", "second"], [None, str.upper], 5, other, **named)


def test_rows_are_attributes_and_a_constant() -> None:
    made = rows([Thing(1, "a"), Thing(None, None)])
    assert iter(made) is made
    assert list(made) == [(1, "A", 5), (None, None, 5)]
    assert made.count == 2


def test_others_than_of_the_class_are_made_by_somebody_else() -> None:
    special = Special(1, "a")
    mapping = {"first": 2}
    assert list(rows(iter([special, mapping]))) == [["other", special, 0], ["other", mapping, 0]]
    nobody = JobRows([mapping], None, [], [], 5, other)
    assert list(nobody) == [["other", mapping, 0]]


def test_rows_are_encoded_as_they_come() -> None:
    made = rows(Thing(n, f"row {n}") for n in range(2000))
    data = encode_copy(made, ["int8", "text", "int2"])
    assert decode_copy(data, ["int8", "text", "int2"]) == [(n, f"ROW {n}", 5) for n in range(2000)]
    assert made.count == 2000


@pytest.mark.parametrize(("count", "told"), [(0, [0]), (5, [2, 4, 5]), (4, [2, 4, 4])])
def test_progress_is_told_once_in_a_while_and_at_the_end(count: int, told: list[int]) -> None:
    seen: list[int] = []
    made = rows([Thing(1, "a")] * count, progress=seen.append, every=2)
    assert len(list(made)) == count
    assert seen == told


def test_a_row_that_nobody_took_does_not_count() -> None:
    made = rows([Thing(1, "a"), Thing(2, "b")])
    next(made)
    assert made.count == 0
    next(made)
    assert made.count == 1


def test_errors_come_from_where_they_were_raised() -> None:
    def fail(count: int) -> None:
        raise KeyError(count)

    with pytest.raises(AttributeError, match="second"):
        list(JobRows([object()], object, ["second"], [None], 5, other))
    with pytest.raises(TypeError, match="upper"):
        list(rows([Thing(1, 2)]))
    with pytest.raises(KeyError):
        list(rows([Thing(1, "a")], progress=fail))
    with pytest.raises(TypeError, match="not iterable"):
        rows(1)
    with pytest.raises(ValueError, match="1 names and 0 converters"):
        JobRows([], Thing, ["first"], [], 5, other)
    with pytest.raises(ValueError, match="every is not a positive number"):
        rows([], every=0)
