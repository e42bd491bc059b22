"""``python -m tests.fuzz.leaks JOBS``: encode, decode, look at and drop so many jobs, and print what is left of them.

What is left is told as blocks of Python's allocator, kilobytes of the process, and slabs of jobs: the least by which
each has grown in one of several spans. What a cache takes shows in one of them and not in all; what is lost, in each.
"""

from __future__ import annotations

import gc
import pickle
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice, pairwise
from pathlib import Path

import pyarrow

from pgbgw._core import (
    CopyDecoder,
    CopyEncoder,
    CopyError,
    Job,
    JobDecoder,
    Layout,
    _live_slabs,
    copy_columns,
    copy_jobs,
    encode_copy,
    result_jobs,
    result_tuples,
)
from tests.binaryvalues import OIDS, SAMPLES, dumped
from tests.pgresults import Slow, make_result

__all__ = ["left"]

BATCH = 100

_SPANS = 5

_KINDS = ["int8", *(kind for kind in SAMPLES), *(f"{kind}[]" for kind in SAMPLES), "int2"]
_NAMES = ["id", *(f"c{number}" for number in range(len(_KINDS) - 2)), "priority"]
_LAYOUT = Layout(_NAMES, _KINDS, queue="q")
_ROW = [7, *SAMPLES.values(), *([value, None] for value in SAMPLES.values()), 5]
_ROWS = [tuple(_ROW), (*_ROW[:-1], None), (1, *[None] * (len(_KINDS) - 2), 1)] * (BATCH // 3) + [tuple(_ROW)]


def _look_at(jobs: list[Job], order: random.Random) -> None:
    for job in jobs:
        job.payload()
        for copy in (job.detach(), pickle.loads(pickle.dumps(job))):
            repr(copy)
        for name in _NAMES:
            job.raw(name)
        with suppress(AttributeError):
            job.token  # noqa: B018
    order.shuffle(jobs)
    while jobs:
        jobs.pop()


def _whole(order: random.Random) -> None:
    _look_at(copy_jobs(encode_copy(_ROWS, _LAYOUT), _LAYOUT), order)


def _in_pieces(order: random.Random) -> None:
    encoder, decoder = CopyEncoder(_LAYOUT), JobDecoder(_LAYOUT)
    for block in [*encoder.blocks(iter(_ROWS), 1000), encoder.close()]:
        place = order.randrange(len(block))
        for piece in (block[:place], block[place:]):
            _look_at(decoder.feed(piece), order)
    decoder.close()


def _refused(order: random.Random) -> None:
    data = encode_copy(_ROWS, _LAYOUT)
    place = order.randrange(len(data))
    for read in (copy_jobs, copy_columns, lambda sent, layout: CopyDecoder(layout).feed(sent)):
        with suppress(CopyError):
            read(data[:place], _LAYOUT)
        with suppress(CopyError):
            read(data[:place] + b"\xfe\xff\xff\xff" + data[place:], _LAYOUT)
    encoder = CopyEncoder(_LAYOUT)
    for number in range(len(_KINDS)):
        with suppress(CopyError):
            encoder.feed([(*_ROW[:number], object(), *_ROW[number + 1 :])])
        with suppress(CopyError):
            encoder.feed([(*_ROW[:number], [*SAMPLES.values()], *_ROW[number + 1 :])])


def _exported(order: random.Random) -> None:
    columns = copy_columns(encode_copy(_ROWS, _LAYOUT), _LAYOUT)
    for name in columns.names:
        columns.numpy(name)
    batch = pyarrow.record_batch(columns)
    columns.__arrow_c_stream__()
    del columns
    batch.column(order.randrange(batch.num_columns)).to_pylist()


def _results(order: random.Random) -> None:
    sent = [dumped(kind, SAMPLES[kind]) for kind in OIDS]
    result = make_result([(kind, OIDS[kind]) for kind in OIDS], [sent, [None] * len(sent)] * 2)
    layout = Layout([*OIDS], [*OIDS])
    for source in (result, Slow(result)):
        result_tuples(source)
        jobs = result_jobs(source, layout)
        order.shuffle(jobs)


_USES: list[Callable[[random.Random], None]] = [_whole, _in_pieces, _refused, _exported, _results]


def left(jobs: int) -> dict[str, int]:
    """What is left of so many jobs, by its name."""
    order = random.Random(1)
    uses = cycle(_USES)
    measured = []
    # The first span is for what is made once.
    for _ in range(_SPANS + 1):
        for use in islice(uses, jobs // BATCH // _SPANS):
            use(order)
        measured.append(_measured())
    return {name: min(after[name] - before[name] for before, after in pairwise(measured[1:])) for name in measured[0]}


def _measured() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {"blocks": sys.getallocatedblocks(), "kB": pages * 4, "slabs": _live_slabs()}


def main(arguments: list[str]) -> None:
    """Print what is left."""
    print(", ".join(f"{value} {name}" for name, value in left(int(arguments[0])).items()))


if __name__ == "__main__":
    main(sys.argv[1:])
