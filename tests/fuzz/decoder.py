"""Streams of COPY BINARY to jobs, tuples and columns: all say the same, however a stream is cut, or refuse it."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from pgbgw._core import (
    CopyDecoder,
    CopyError,
    Job,
    JobDecoder,
    Layout,
    _count_rows,
    copy_columns,
    copy_jobs,
)
from tests.fuzz.draw import Draw, layout, stream, types_of
from tests.fuzz.exported import check_columns

__all__ = ["check", "check_jobs"]

_MOMENTS = (1114, 1184)
_ATTRIBUTES = ("id", "priority", "attempt", "created_at", "lease_end", "token", "who")

# Jobs of inputs before, which must go on saying what they said when others of their slab are gone.
_kept: deque[tuple[Job, str, str]] = deque(maxlen=200)


def check(data: bytes) -> None:
    """Read one stream in every way."""
    draw = Draw(data)
    wanted = layout(draw)
    sent = stream(draw, types_of(wanted))
    places = sorted(draw.below(len(sent) + 1) for _ in range(draw.below(6)))
    whole, reason = _tuples(CopyDecoder(wanted), [sent])
    pieces = [sent[start:end] for start, end in pairwise([0, *places, len(sent)])]
    again, other = _tuples(CopyDecoder(wanted), [bytearray(piece) if draw.chance(4) else piece for piece in pieces])
    assert (repr(whole), reason) == (repr(again), other), "it matters how a stream is cut"
    _read_jobs(draw, wanted, sent, pieces, whole)
    with suppress(CopyError):
        assert whole is None or _count_rows(sent, wanted) == len(whole)
    try:
        columns = copy_columns(sent, wanted)
    except CopyError as error:
        assert whole is None or "a value that a column does not hold" in str(error), error
        return
    check_columns(columns, whole)


def _tuples(
    decoder: CopyDecoder, pieces: Sequence[bytes | bytearray]
) -> tuple[list[tuple[Any, ...]] | None, tuple[int | None, int | None] | None]:
    """The rows, or where the fault is."""
    try:
        rows = [items for piece in pieces for items in decoder.feed(piece)]
        decoder.close()
    except CopyError as error:
        return None, (error.row, error.column)
    return rows, None


def _read_jobs(
    draw: Draw, wanted: Layout, sent: bytes, pieces: list[bytes], rows: list[tuple[Any, ...]] | None
) -> None:
    decoder = JobDecoder(wanted)
    jobs: list[Job] = []
    whole: list[Job] | None = None
    with suppress(CopyError):
        whole = copy_jobs(sent, wanted)
    try:
        for piece in pieces:
            jobs += decoder.feed(piece)
        decoder.close()
    except CopyError:
        assert whole is None
        assert rows is None
        # Those of the pieces before the fault are good.
        check_jobs(draw, jobs, None)
        return
    assert whole is not None
    for made in (jobs, whole):
        faults = check_jobs(draw, made, rows)
        assert (faults == 0) == (rows is not None), "jobs are read and tuples are not, or the other way round"


def check_jobs(draw: Draw, jobs: list[Job], rows: list[tuple[Any, ...]] | None) -> int:
    """Read all that jobs have, and give how many values could not be had; ``rows`` are the tuples of the same rows,
    where there are such.
    """
    assert rows is None or len(jobs) == len(rows)
    faults = sum(_check_job(job, None if rows is None else rows[number]) for number, job in enumerate(jobs))
    if len(_kept) == _kept.maxlen:
        job, name, value = _kept.popleft()
        assert _shown(job, name) == value, "a job has changed"
    if jobs:
        job = draw.pick(jobs)
        if names := job.layout.names:
            name = draw.pick(names)
            _kept.append((job, name, _shown(job, name)))
    # In another order than they were made.
    while jobs:
        del jobs[draw.below(len(jobs))]
    return faults


def _shown(job: Job, name: str) -> str:
    try:
        return repr(job[name])
    except CopyError as error:
        return str(error)


def _check_job(job: Job, row: tuple[Any, ...] | None) -> int:
    """How many of its values could not be had."""
    found = job.layout
    names = found.names
    assert names is not None
    values = [_shown(job, name) for name in names]
    assert row is None or values == [repr(value) for value in row]
    for name, oid in zip(names, found.types, strict=True):
        assert name in job
        with suppress(CopyError):
            raw = job.raw(name)
            assert (raw is None) == (_shown(job, name) == "None")
        if oid in _MOMENTS:
            assert (job.microseconds(name) is None) == (job.raw(name) is None)
    for name in _ATTRIBUTES:
        with suppress(AttributeError, CopyError):
            getattr(job, name)
    with suppress(CopyError):
        assert tuple(job.payload()) == tuple(job) == job.keys() == found.payload
    assert repr(job).startswith("<Job ")
    for copy in (job.detach(), pickle.loads(pickle.dumps(job))):
        assert [_shown(copy, name) for name in names] == values
    faults = 0
    for name in names:
        try:
            job.get(name)
        except CopyError:
            faults += 1
    return faults
