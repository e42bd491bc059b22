"""Jobs of the compiled core: what they give, how long they hold their chunk, and results of libpq."""

from __future__ import annotations

import copy
import gc
import pickle
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import pq

from pgbgw._core import (
    CopyError,
    Job,
    JobDecoder,
    Layout,
    _live_slabs,
    copy_jobs,
    decode_copy,
    result_columns,
    result_jobs,
    result_layout,
    result_tuples,
    transport,
)
from tests.binaryvalues import OIDS, SAMPLES, dumped
from tests.copybinary import TRAILER, header, row, stream
from tests.memory import lost
from tests.pgresults import TEXT, Slow, make_result

ROOT = Path(__file__).parents[2]
COLUMNS = [
    ("id", 20),
    ("address", 25),
    ("data", 3802),
    ("priority", 21),
    ("attempt", 23),
    ("created_at", 1184),
    ("lease_end", 1184),
    ("token", 20),
    ("who", 25),
]
LAYOUT = Layout([name for name, _ in COLUMNS], [oid for _, oid in COLUMNS], queue="mail")
NOW = datetime(2024, 2, 29, 12, 30, 0, 1, UTC)


def fields(number: int, address: bytes | None = b"a@b", data: bytes | None = b'\1{"k": 1}') -> list[bytes | None]:
    return [
        struct.pack(">q", number),
        address,
        data,
        struct.pack(">h", -5),
        struct.pack(">i", 2),
        dumped("timestamptz", NOW),
        struct.pack(">q", 2**63 - 1),
        struct.pack(">q", 2**40 + number),
        b"worker 1",
    ]


def jobs_of(count: int, **values: bytes | None) -> list[Job]:
    return copy_jobs(stream(*(row(*fields(number, **values)) for number in range(count))), LAYOUT)


def live_slabs() -> int:
    """How many slabs there are, but for those of jobs that wait for the collector, as those of a traceback do."""
    gc.collect()
    return _live_slabs()


def slabs_of(jobs: int) -> int:
    """How many slabs so many jobs take: a build without the GIL gives each one of its own."""
    return jobs if sysconfig.get_config_var("Py_GIL_DISABLED") else -(-jobs // 64)


def one(**values: bytes | None) -> Job:
    (job,) = jobs_of(1, **values)
    return job


# What a job gives


def test_the_attributes_of_a_claim() -> None:
    job = jobs_of(8)[7]
    assert (job.id, job.priority, job.attempt, job.token, job.who) == (7, -5, 2, 2**40 + 7, "worker 1")
    assert (job.queue, job.created_at, job.layout) == ("mail", NOW, LAYOUT)
    assert repr(job) == "<Job 7 of mail, attempt 2>"


def test_the_payload() -> None:
    job = one()
    assert job.payload() == {"address": "a@b", "data": '{"k": 1}'}
    assert list(job.payload()) == list(job) == list(job.keys()) == ["address", "data"]
    assert (job["address"], job.get("data"), job.get("none"), job.get("none", 5)) == ("a@b", '{"k": 1}', None, 5)
    assert "address" in job
    assert "none" not in job
    assert dict(job) == job.payload()
    assert (job.raw("address"), job.raw("data"), job.raw("priority")) == (b"a@b", b'{"k": 1}', b"\xff\xfb")
    for read in (job.raw, job.__getitem__, job.microseconds):
        with pytest.raises(KeyError, match="none"):
            read("none")


def test_null_is_none_everywhere() -> None:
    (job,) = copy_jobs(stream(row(*[None] * len(COLUMNS))), LAYOUT)
    assert [job.id, job.priority, job.attempt, job.created_at, job.lease_end, job.token, job.who] == [None] * 7
    assert job.payload() == {"address": None, "data": None}
    assert (job.raw("data"), job.microseconds("lease_end")) == (None, None)
    assert repr(job) == "<Job None of mail, attempt None>"


def test_every_time_can_be_read_as_microseconds() -> None:
    job = one()
    assert job.microseconds("lease_end") == 2**63 - 1
    assert job.microseconds("created_at") == (NOW - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() * 10**6
    with pytest.raises(CopyError, match='"lease_end" timestamptz: an infinite timestamp'):
        _ = job.lease_end
    with pytest.raises(TypeError, match='"who" text is no timestamp'):
        job.microseconds("who")


def test_what_the_rows_have_not() -> None:
    layout = Layout(["id", "body", "priority", "attempts", "error"], [20, 17, 21, 23, 25])
    (job,) = copy_jobs(stream(row(bytes(8), b"\0", b"\0\1", b"\0\0\0\3", b"boom")), layout)
    assert (job.attempt, job.queue, job["error"], job.payload()) == (3, None, "boom", {"body": b"\0"})
    assert repr(job) == "<Job 0, attempt 3>"
    for name in ("lease_end", "token", "who", "created_at"):
        assert not hasattr(job, name)
    with pytest.raises(AttributeError, match='no column "token"'):
        _ = job.token


def test_a_payload_may_use_the_names_of_other_columns() -> None:
    names = ["id", "token", "who", "attempts", "priority", "attempt"]
    layout = Layout(names, [20, 20, 25, 23, 21, 23])
    (job,) = copy_jobs(stream(row(bytes(8), bytes(8), b"me", b"\0\0\0\7", bytes(2), b"\0\0\0\1")), layout)
    assert job.payload() == {"token": 0, "who": "me", "attempts": 7}
    assert job.attempt == 1
    assert not hasattr(job, "token")
    assert not hasattr(job, "who")


def test_every_type_in_a_payload() -> None:
    kinds = list(SAMPLES)
    layout = Layout(["id", *kinds, "priority"], [20, *(OIDS[kind] for kind in kinds), 21])
    sent = row(bytes(8), *(dumped(kind, SAMPLES[kind]) for kind in kinds), bytes(2))
    (job,) = copy_jobs(stream(sent), layout)
    assert job.payload() == SAMPLES


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 100_000])
def test_large_values_are_windows(size: int) -> None:
    data = b"\1" + bytes(index % 251 for index in range(size))
    job = one(data=data)
    raw = job.raw("data")
    assert type(raw) is (bytes if size < 8192 else memoryview)
    assert raw == data[1:]
    del job
    assert raw == data[1:]


def test_values_are_checked_when_they_are_looked_at() -> None:
    job = one(address=b"\xff", data=b"\2")
    assert job.id == 0
    with pytest.raises(CopyError, match='column 2: "address" text: not UTF-8'):
        job.payload()
    for read in (job.raw, job.__getitem__):
        with pytest.raises(CopyError, match="version 2"):
            read("data")
    with pytest.raises(CopyError, match="no version byte"):
        one(data=b"").raw("data")


# What a job is


def test_jobs_are_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="received row"):
        Job()
    with pytest.raises(TypeError, match="received row"):
        Job.__new__(Job)
    with pytest.raises(TypeError):
        object.__new__(Job)
    assert live_slabs() == 0


def test_jobs_are_immutable_and_equal_to_themselves() -> None:
    job, other = one(), one()
    assert job == job
    assert job != other
    assert {job: 1, other: 2}[job] == 1
    for name in ("id", "priority", "new"):
        with pytest.raises(AttributeError):
            setattr(job, name, 5)
    with pytest.raises(TypeError):
        job["address"] = "b"  # type: ignore[index]


@pytest.mark.parametrize(
    "copied", [pickle.dumps, copy.copy, copy.deepcopy, Job.detach], ids=["pickle", "copy", "deepcopy", "detach"]
)
def test_a_copy_holds_its_own_row(copied: Callable[[Job], Any]) -> None:
    jobs = jobs_of(200)
    other = copied(jobs[100])
    other = pickle.loads(other) if isinstance(other, bytes) else other
    del jobs
    assert live_slabs() == (0 if isinstance(other, bytes) else 1)
    assert (other.id, other.payload(), other.queue, other.who) == (100, one().payload(), "mail", "worker 1")


def test_pickled_jobs_share_their_layout() -> None:
    copies = pickle.loads(pickle.dumps(jobs_of(3)))
    assert copies[0].layout is copies[2].layout
    assert [job.id for job in copies] == [0, 1, 2]


def test_what_is_unpickled_is_checked() -> None:
    reduced: Any = one().__reduce__()
    make, (layout, data) = reduced
    for damaged in (b"", data[:-1], data + b"\0", b"\0\1" + data[2:], data[:5] + b"\7" + data[6:]):
        with pytest.raises(CopyError):
            make(layout, damaged)
    for arguments in ((None, data), (layout, None), (layout, "text")):
        with pytest.raises(TypeError):
            make(*arguments)


def test_slabs_die_with_their_last_job() -> None:
    jobs = jobs_of(1000)
    assert live_slabs() == slabs_of(1000)
    kept = jobs[::64]
    del jobs
    assert live_slabs() == 16
    del kept[1:]
    assert live_slabs() == 1
    assert kept[0].id == 0
    del kept
    assert live_slabs() == 0


def test_a_chunk_lives_as_long_as_one_of_its_jobs() -> None:
    data = stream(*(row(*fields(number)) for number in range(130)))
    references = sys.getrefcount(data)
    jobs = copy_jobs(data, LAYOUT)
    assert sys.getrefcount(data) > references
    detached = jobs[5].detach()
    del jobs[:-1]
    assert sys.getrefcount(data) > references
    del jobs
    assert sys.getrefcount(data) == references
    assert detached.id == 5


def test_the_collector_need_not_know_jobs() -> None:
    assert not gc.is_tracked(one())


def test_no_memory_is_lost_over_many_jobs() -> None:
    def use() -> None:
        for job in jobs_of(100):
            job.payload()
            _ = (job.id, job.who, job.created_at, repr(job), job.raw("data"), job.detach().token)
            pickle.loads(pickle.dumps(job))
        with pytest.raises(CopyError):
            copy_jobs(stream(*[row(*fields(1))] * 70, row()), LAYOUT)
        with pytest.raises(CopyError):
            decode_copy(stream(row(*fields(1)[:5], *fields(1)[6:], b"x")), LAYOUT)

    assert lost(use) < 3000
    assert live_slabs() == 0


# Chunks


def test_jobs_of_chunks_that_end_anywhere() -> None:
    data = stream(*(row(*fields(number, address=b"x" * number)) for number in range(70)))
    for size in (1, 7, 100, 1000, len(data)):
        decoder = JobDecoder(LAYOUT)
        jobs = [job for place in range(0, len(data), size) for job in decoder.feed(data[place : place + size])]
        decoder.close()
        assert [(job.id, job["address"]) for job in jobs] == [(number, "x" * number) for number in range(70)]


def test_a_chunk_that_is_no_bytes_may_change() -> None:
    data = bytearray(stream(row(*fields(3))))
    (job,) = copy_jobs(data, LAYOUT)
    data[:] = bytes(len(data))
    assert job.id == 3


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (header() + row(*fields(1)), "without its trailer"),
        (stream(row(*fields(1)[1:])), "8 fields instead of 9"),
        (stream(row(*fields(1))) + b"a", "1 bytes follow"),
        (stream(row(*fields(1)), row(b"", *fields(1)[1:])), 'row 2, column 1: "id" int8: length 0 instead of 8'),
        (stream(b"\0\x09" + b"\xff\xff\xff\xfe"), "negative length -2"),
        (header() + row(*fields(1))[:-12] + b"\x7f\xff\xff\xff" + TRAILER, "above PostgreSQL's limit"),
    ],
)
def test_damage_is_refused_at_once(damaged: bytes, reason: str) -> None:
    with pytest.raises(CopyError, match=reason):
        copy_jobs(damaged, LAYOUT)
    assert live_slabs() == 0


# Results


@pytest.fixture(params=["libpq", "psycopg"])
def through(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    if request.param == "psycopg":
        return Slow
    if transport() != "libpq":
        pytest.skip(f"psycopg runs with its {pq.__impl__} implementation")
    return lambda result: result


def test_the_binary_wheel_is_read_by_pointer() -> None:
    assert transport() == ("libpq" if pq.__impl__ in ("binary", "c") else "psycopg")


@pytest.mark.parametrize("change", ['pq.__impl__ = "python"', "pq.version = lambda: 90600"])
def test_another_libpq_than_that_of_psycopg_is_left_alone(change: str) -> None:
    """In a process of its own, since it is looked for once."""
    script = f"""
from psycopg import pq
{change}
from pgbgw._core import Layout, result_jobs, transport
from tests.pgresults import make_result
(job,) = result_jobs(make_result([("id", 20)], [[bytes(8)]]), Layout(["id"], [20]))
print(transport(), job.id)
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("psycopg 0\n", "")


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
def test_results_as_jobs(count: int, through: Callable[[Any], Any]) -> None:
    result = make_result(COLUMNS, [fields(number, address=b"x" * (number % 3)) for number in range(count)])
    jobs = result_jobs(through(result), LAYOUT)
    result.clear()
    assert [(job.id, job["address"], job["data"]) for job in jobs] == [
        (number, "x" * (number % 3), '{"k": 1}') for number in range(count)
    ]
    assert live_slabs() == slabs_of(count)


def test_results_as_tuples(through: Callable[[Any], Any]) -> None:
    kinds = list(SAMPLES)
    sent = [dumped(kind, SAMPLES[kind]) for kind in kinds]
    result = through(make_result([("same", OIDS[kind]) for kind in kinds], [sent, [None] * len(kinds), sent]))
    rows = [tuple(SAMPLES.values()), (None,) * len(kinds), tuple(SAMPLES.values())]
    assert result_tuples(result) == rows
    assert result_tuples(result, Layout(None, [OIDS[kind] for kind in kinds])) == rows


def test_empty_is_not_null(through: Callable[[Any], Any]) -> None:
    result = through(make_result([("a", 25), ("b", 17), ("c", 25)], [[b"", b"", None]]))
    assert result_tuples(result) == [("", b"", None)]
    assert result_jobs(result, result_layout(result))[0].raw("a") == b""


def test_the_layout_of_a_result(through: Callable[[Any], Any]) -> None:
    columns = [("id", 20), ("mood", 16999), ("moods", 17000), ("raw", 17001), ("shown", 1184), ("priority", 21)]
    values = [bytes(8), b"sad", bytes.fromhex("0000000100000000000042670000000100000001") + row(b"ok")[2:], b"?"]
    result = through(make_result(columns, [[*values, b"2024-01-01", bytes(2)]], [1, 1, 1, 1, TEXT, 1]))
    layout = result_layout(result, known={16999: "text", 17000: 1009}, queue="moods")
    assert layout.types == (20, 25, 1009, 17001, 25, 21)
    (job,) = result_jobs(result, layout)
    assert job.payload() == {"mood": "sad", "moods": ["ok"], "raw": b"?", "shown": "2024-01-01"}
    assert job.queue == "moods"


@pytest.mark.parametrize(
    ("columns", "formats", "reason"),
    [
        ([("a", 20)], None, "1 columns instead of 2"),
        ([("a", 23), ("b", 25)], None, '"a" int8: the result has int4'),
        ([("a", 16999), ("b", 25)], None, '"a" int8: the result has type 16999'),
        ([("a", 20), ("b", 17)], None, '"b" text: the result has bytea'),
        ([("a", 20), ("b", 25)], [TEXT, TEXT], '"a" int8: the result has it in text format'),
    ],
)
def test_a_result_of_other_columns_is_refused(
    columns: list[tuple[str, int]], formats: list[int] | None, reason: str, through: Callable[[Any], Any]
) -> None:
    result = through(make_result(columns, [], formats))
    layout = Layout(["a", "b"], [20, 25])
    for read in (result_jobs, result_tuples):
        with pytest.raises(CopyError, match=reason):
            read(result, layout)


def test_a_server_that_tells_no_type(through: Callable[[Any], Any]) -> None:
    result = through(make_result([("a", 20), ("b", 0)], [[bytes(8), b"x"]]))
    of_the_result: list[Callable[[Any], object]] = [result_layout, result_tuples, result_columns]
    for make in of_the_result:
        with pytest.raises(CopyError, match="column 2: the result tells no type"):
            make(result)
    by_layout: list[Callable[[Any, Layout], object]] = [result_tuples, result_jobs, result_columns]
    for read in by_layout:
        with pytest.raises(CopyError, match='column 2: "b" int4: the result has no type'):
            read(result, Layout(["a", "b"], ["int8", "int4"]))


def test_a_server_that_names_a_column_in_another_encoding() -> None:
    result = SimpleNamespace(nfields=1, fformat=lambda _: 1, ftype=lambda _: 25, fname=lambda _: b"stra\xdfe")
    with pytest.raises(CopyError, match="column 1: its name is not UTF-8") as caught:
        result_layout(result)
    assert "client_encoding" in str(caught.value.hint)


def test_text_types_stand_in_for_each_other(through: Callable[[Any], Any]) -> None:
    result = through(make_result([("a", 1043), ("b", 16999)], [[b"x", b"y"]]))
    assert result_tuples(result, Layout(None, ["text", "text"])) == [("x", "y")]


def test_damage_in_a_result(through: Callable[[Any], Any]) -> None:
    result = through(make_result([("a", 20)], [[bytes(8)], [bytes(7)]]))
    layout = Layout(["a"], [20])
    for read in (result_jobs, result_tuples):
        with pytest.raises(CopyError, match='row 2, column 1: "a" int8: length 7 instead of 8'):
            read(result, layout)
    result = through(make_result([("a", 16)], [[b"\0"], [b"\2"]]))
    with pytest.raises(CopyError, match="row 2, column 1: bool: byte 2"):
        result_tuples(result)
    assert live_slabs() == 0


def test_a_result_without_rows_is_refused(through: Callable[[Any], Any]) -> None:
    for status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.COPY_OUT):
        with pytest.raises(CopyError, match="no rows"):
            result_tuples(through(make_result([], [], status=status)))
    cleared = make_result([("a", 20)], [[bytes(8)]])
    cleared.clear()
    with pytest.raises(CopyError, match="no rows"):
        result_tuples(through(cleared))


@pytest.mark.parametrize("read", [result_jobs, result_tuples])
@pytest.mark.parametrize("wrong", [None, 5, "text", object()])
def test_what_is_no_result_is_refused(read: Any, wrong: object) -> None:
    with pytest.raises(AttributeError):
        read(wrong, LAYOUT)
