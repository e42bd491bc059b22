"""Columns of the compiled core, as numpy and Arrow see them."""

from __future__ import annotations

import gc
import struct
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from pgbgw._core import Columns, CopyError, Layout, copy_columns, decode_copy, encode_copy, result_columns
from tests.binaryvalues import SAMPLES, dumped
from tests.copybinary import TRAILER, header, row, stream
from tests.memory import lost
from tests.pgresults import Slow, make_result

KINDS = [*SAMPLES]
LAYOUT = Layout(KINDS, KINDS)
ROWS = [tuple(SAMPLES.values()), (None,) * len(KINDS), tuple(SAMPLES.values())]
# What Arrow has no type for, as text.
SHOWN = {"numeric": "-123456.7890", "timetz": "01:02:03.000004+02:00", "inet": "10.0.0.1/8", "cidr": "fe80::/10"}


@pytest.fixture
def numpy() -> Any:
    return pytest.importorskip("numpy")


@pytest.fixture
def pyarrow() -> Any:
    return pytest.importorskip("pyarrow")


def columns_of(*values: Any, kind: str = "text") -> Columns:
    return copy_columns(encode_copy([(value,) for value in values], [kind]), Layout(["v"], [kind]))


# numpy


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_gives_the_values(kind: str, numpy: Any) -> None:
    columns = copy_columns(encode_copy(ROWS, LAYOUT), LAYOUT)
    assert (len(columns), columns.names, columns.layout, columns.nulls(kind)) == (3, tuple(KINDS), LAYOUT, 1)
    found = columns.numpy(kind)
    wanted = [items[KINDS.index(kind)] for items in ROWS]
    if kind == "timestamptz":
        wanted = [value and value.replace(tzinfo=None) for value in wanted]
    if kind == "time":
        wanted = [value and timedelta(hours=1, minutes=2, seconds=3, microseconds=4) for value in wanted]
    assert found.tolist() == wanted
    with pytest.raises(ValueError, match="read-only"):
        numpy.asarray(found if found.dtype == object else found.data)[0] = found[0]


def test_without_null_an_array_is_not_masked(numpy: Any) -> None:
    found = columns_of(*range(100), kind="int4").numpy("v")
    assert type(found) is numpy.ndarray
    assert found.dtype == numpy.int32
    assert found.sum() == 4950


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 65])
def test_null_at_every_place(count: int, numpy: Any) -> None:
    for kind, value in (("int8", 5), ("text", "x"), ("bool", True)):
        values = [None if index % 3 else value for index in range(count)]
        columns = columns_of(*values, kind=kind)
        assert columns.numpy("v").tolist() == values
        assert columns.nulls("v") == values.count(None)


def test_times_that_no_datetime_holds(numpy: Any) -> None:
    shift = 946684800000000
    sent = [2**63 - 1, -(2**63), 2**63 - 2 - shift, -(2**63) + 1, 0]
    columns = copy_columns(stream(*(row(struct.pack(">q", value)) for value in sent)), ["timestamptz"])
    times = [2**63 - 1, -(2**63) + 1, 2**63 - 2, -(2**63) + 1 + shift, shift]
    assert columns.numpy("column 1").view("i8").tolist() == times
    sent = [2**31 - 1, -(2**31), 2**31 - 2 - 10957, -(2**31) + 1, 0]
    columns = copy_columns(stream(*(row(struct.pack(">i", value)) for value in sent)), ["date"])
    days = [2**31 - 1, -(2**31), 2**31 - 2, -(2**31) + 10958, 10957]
    assert columns.numpy("column 1").view("i8").tolist() == days


@pytest.mark.parametrize(
    ("kind", "format", "shift", "highest"),
    [("timestamp", ">q", 946684800000000, 2**63 - 1), ("date", ">i", 10957, 2**31 - 1)],
)
def test_a_time_beyond_a_column_is_not_taken_for_infinity(kind: str, format: str, shift: int, highest: int) -> None:
    for beyond in (highest - shift, highest - 1):
        with pytest.raises(CopyError, match=r"row 2, column 1: .* after 9999") as caught:
            copy_columns(stream(row(struct.pack(format, 0)), row(struct.pack(format, beyond))), [kind])
        assert "as text" in str(caught.value.hint)


def test_intervals_are_durations(numpy: Any) -> None:
    def interval(months: int, days: int, microseconds: int) -> bytes:
        return row(struct.pack(">qii", microseconds, days, months))

    columns = copy_columns(stream(interval(14, 3, 5), interval(-14, 0, 0)), ["interval"])
    assert columns.numpy("column 1").tolist() == [timedelta(428, microseconds=5), timedelta(-425)]
    for beyond, reason in ((interval(0, 2**31 - 1, 0), "beyond"), (interval(2**31 - 1, 2**31 - 1, 2**63 - 1), "inf")):
        with pytest.raises(CopyError, match=f"row 2, column 1: interval: .*{reason}"):
            copy_columns(stream(interval(0, 0, 0), beyond), ["interval"])
    # The last one is what numpy takes for "not a time".
    for beyond in (interval(0, 200_000_000, 0), interval(0, -1, -(2**63) + 86_400_000_000)):
        with pytest.raises(CopyError, match="row 1, column 1: interval: a value that a column does not hold"):
            copy_columns(stream(beyond), ["interval"])


def test_objects_of_other_types(numpy: Any) -> None:
    assert columns_of([1, None], [], kind="int4[]").numpy("v").tolist() == [[1, None], []]
    assert copy_columns(stream(row(b"\1")), [600]).numpy("column 1").tolist() == [b"\1"]
    as_bytes = Layout(["v"], ["jsonb"], json="bytes")
    assert copy_columns(stream(row(b"\1{}")), as_bytes).numpy("v").tolist() == [b"{}"]
    with pytest.raises(CopyError, match='row 2, column 1: "v" numeric: length 1'):
        copy_columns(stream(row(dumped("numeric", Decimal(1))), row(b"a")), Layout(["v"], ["numeric"])).numpy("v")


# Arrow


def test_arrow_gives_the_values(pyarrow: Any) -> None:
    wanted = dict(zip(KINDS, ROWS[0], strict=True)) | SHOWN
    wanted["uuid"] = wanted["uuid"].bytes
    for made in (pyarrow.table, lambda columns: pyarrow.Table.from_batches([pyarrow.record_batch(columns)])):
        table = made(copy_columns(encode_copy(ROWS, LAYOUT), LAYOUT))
        table.validate(full=True)
        assert table.to_pylist() == [wanted, dict.fromkeys(KINDS), wanted]
    types = {name: str(table.schema.field(name).type) for name in KINDS}
    assert types["jsonb"] == types["text"] == "string_view"
    assert (types["bytea"], types["timestamptz"], types["date"]) == (
        "binary_view",
        "timestamp[us, tz=UTC]",
        "date32[day]",
    )


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_every_number_of_rows_goes_into_arrow(count: int, pyarrow: Any) -> None:
    values = ["x" * (index % 30) if index % 4 else None for index in range(count)]
    table = pyarrow.table(columns_of(*values))
    table.validate(full=True)
    assert table.column("v").to_pylist() == values


def test_text_is_not_copied_into_arrow(pyarrow: Any) -> None:
    data = encode_copy([("short",), ("a text of more than twelve bytes",)], ["text"])
    array = pyarrow.table(copy_columns(data, ["text"])).column(0).chunk(0)
    # The data of an object of bytes ends with its header, one byte of which is counted at its end.
    assert array.buffers()[2].address == id(data) + sys.getsizeof(data) - len(data) - 1
    assert array.buffers()[2].size == len(data)


def test_columns_without_rows_or_columns(pyarrow: Any) -> None:
    assert pyarrow.table(copy_columns(stream(), LAYOUT)).to_pylist() == []
    assert len(copy_columns(stream(row(), row()), [])) == 2


def test_arrays_are_lists_in_arrow(pyarrow: Any) -> None:
    kinds = ["int4", "text", "numeric", "bool", "uuid", "jsonb", "timestamptz"]
    values = {kind: [SAMPLES[kind], None, SAMPLES[kind]] for kind in kinds}
    layout = Layout(kinds, [f"{kind}[]" for kind in kinds])
    rows: list[list[Any]] = [
        [*values.values()],
        [None] * len(kinds),
        [[]] * len(kinds),
        [values[kind][:1] for kind in kinds],
    ]
    columns = copy_columns(encode_copy(rows, layout), layout)
    table = pyarrow.table(columns)
    table.validate(full=True)
    values["numeric"] = ["-123456.7890", None, "-123456.7890"]
    values["uuid"] = [SAMPLES["uuid"].bytes, None, SAMPLES["uuid"].bytes]
    for kind in kinds:
        assert table.column(kind).to_pylist() == [values[kind], None, [], values[kind][:1]]
        assert table.column(kind).null_count == columns.nulls(kind) == 1
    assert str(table.schema.field("int4").type) == "list<item: int32>"
    as_bytes = Layout(["v"], ["json[]"], json="bytes")
    assert pyarrow.table(copy_columns(encode_copy([(["{}"],)], as_bytes), as_bytes)).to_pylist() == [{"v": [b"{}"]}]


@pytest.mark.parametrize(
    ("kind", "wrong", "reason"),
    [
        ("int4[]", [[1]], "an array of 2 dimensions"),
        ("text[]", b"\0\0\0\1" + bytes(4) + struct.pack(">Iiii", 25, 1, 1, 1) + b"\xff", "element 1, text: not UTF-8"),
        ("int4[]", b"\0\0\0\1" + bytes(4) + struct.pack(">Iiii", 23, 1, 1, 1) + b"\xff", "length 1 instead of 4"),
        ("int4[]", b"\0\0\0\1", "length 4 instead of 12 or more"),
        ("time[]", struct.pack(">iiIiiiq", 1, 0, 1083, 1, 1, 8, 86_400_000_000), "element 1, time: the time 24:00:00"),
        ("numeric[]", struct.pack(">iiIiii", 1, 0, 1700, 1, 1, 0), "element 1, numeric: length 0"),
        ("int4[]", struct.pack(">iiIiii", 1, 0, 23, 1, 1, -1) + b"a", "1 bytes follow"),
    ],
)
def test_what_is_no_list_is_told_by_row_and_column(kind: str, wrong: Any, reason: str, pyarrow: Any) -> None:
    first = decode_copy(encode_copy([([None, None],)], [kind]), [600])[0][0]
    other = decode_copy(encode_copy([(wrong,)], [kind]), [600])[0][0] if isinstance(wrong, list) else wrong
    columns = copy_columns(stream(row(first), row(None), row(other)), Layout(["v"], [kind]))
    with pytest.raises(CopyError, match=f'row 3, column 1: "v" .*: {reason}') as caught:
        pyarrow.record_batch(columns)
    assert (caught.value.row, caught.value.column) == (3, 1)
    with pytest.raises(OSError, match=f"row 3, column 1.*{reason}"):
        pyarrow.table(columns)


def test_the_end_of_a_day(numpy: Any, pyarrow: Any) -> None:
    day = 86_400_000_000
    columns = copy_columns(stream(*(row(struct.pack(">q", value)) for value in (0, day - 1, day))), ["time"])
    assert columns.numpy("column 1").view("i8").tolist() == [0, day - 1, day]
    # What Arrow holds of a day ends before 24:00:00.
    with pytest.raises(CopyError, match="row 3, column 1: time: the time 24:00:00"):
        pyarrow.record_batch(columns)
    for beyond in (-1, day + 1, -(2**63), 2**63 - 1):
        with pytest.raises(CopyError, match=r"row 2, column 1: time: .* not within a day"):
            copy_columns(stream(row(bytes(8)), row(struct.pack(">q", beyond))), ["time"])


def test_uuids_as_objects(numpy: Any) -> None:
    # Bytes that would be a place far away, if an UUID were a view.
    values = [UUID(int=2**128 - 1), UUID(int=2**127), None]
    assert columns_of(*values, kind="uuid").numpy("v").tolist() == values


def test_what_arrow_holds_outlives_the_columns(pyarrow: Any) -> None:
    data = encode_copy([("a text of more than twelve bytes",)], ["text"])
    references = sys.getrefcount(data)
    array = pyarrow.table(copy_columns(data, ["text"])).column(0).chunk(0)
    gc.collect()
    assert sys.getrefcount(data) > references
    assert array.to_pylist() == ["a text of more than twelve bytes"]
    del array
    gc.collect()
    assert sys.getrefcount(data) == references


def test_capsules_that_nobody_takes() -> None:
    def use() -> None:
        columns = copy_columns(encode_copy(ROWS * 10, LAYOUT), LAYOUT)
        columns.__arrow_c_schema__()
        columns.__arrow_c_array__()
        columns.__arrow_c_stream__()
        columns_of([1, None], None, kind="numeric[]").__arrow_c_array__()
        with pytest.raises(CopyError):
            columns_of([1], [[1]], kind="int4[]").__arrow_c_array__()

    assert lost(use) < 3000


# Sources and faults


@pytest.mark.parametrize("through", [lambda result: result, Slow])
@pytest.mark.parametrize("count", [0, 1, 64, 65, 1000])
def test_results_as_columns(count: int, through: Callable[[Any], Any], numpy: Any) -> None:
    rows = [[struct.pack(">q", number), b"x" * number, None] for number in range(count)]
    columns = result_columns(through(make_result([("a", 20), ("a", 25), ("b", 21)], rows)))
    assert columns.numpy("column 1").tolist() == list(range(count))
    assert columns.numpy("column 2").tolist() == ["x" * number for number in range(count)]
    assert columns.nulls("column 3") == count


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (header() + row(bytes(8)), "int8", "without its trailer, after 1 rows and 0 more"),
        (header() + row(bytes(8))[:-1], "int8", "without its trailer, after 0 rows and 13 more"),
        (header() + row(bytes(8)) + b"\0\2" + TRAILER, "int8", "row 2: 2 fields instead of 1"),
        (stream(row(bytes(8)), row(bytes(7))), "int8", "row 2, column 1: int8: length 7"),
        (stream(row(bytes(8))) + b"a", "int8", "1 bytes follow"),
        (b"PGDUMP", "int8", "signature"),
        (stream(row(b"a"), row(b"\2")), "bool", "row 1, column 1: bool: byte 97"),
        (stream(row(b"\1{}"), row(b"")), "jsonb", "row 2, column 1: jsonb: no version byte"),
        (stream(row(b"\1{}"), row(b"\2")), "jsonb", "version 2"),
        (stream(row(b"\1\xff")), "jsonb", "UTF-8"),
    ],
)
def test_damage_is_refused(data: bytes, kind: str, reason: str) -> None:
    with pytest.raises(CopyError, match=reason):
        copy_columns(data, [kind])


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("ä€😀\0".encode(), True),
        (b"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\xe0\xa0\x80\xc2\x80", True),
        *((wrong, False) for wrong in (b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80")),
        *((wrong, False) for wrong in (b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff")),
        *((wrong, False) for wrong in (b"\xc2", b"\xe2\x82", b"\xf0\x9f\x98", b"\xe2\x82a", b"\xf0\x9f\x98a")),
    ],
)
def test_text_is_utf_8(text: bytes, right: bool) -> None:
    for padded in (text, b"12345678" + text, text + b"12345678"):
        if right:
            assert len(copy_columns(stream(row(padded)), ["text"])) == 1
            continue
        with pytest.raises(CopyError, match="not UTF-8"):
            copy_columns(stream(row(padded)), ["text"])


def test_columns_that_there_are_not() -> None:
    columns = columns_of("a")
    for read in (columns.numpy, columns.nulls):
        with pytest.raises(KeyError, match="w"):
            read("w")
    bare = Columns.__new__(Columns)
    for use in (bare.__len__, bare.__arrow_c_schema__, bare.__arrow_c_array__, bare.__arrow_c_stream__):
        with pytest.raises(TypeError, match="received rows"):
            use()
    with pytest.raises(TypeError, match="received rows"):
        bare.numpy("v")


def test_dates_and_times_in_arrow(pyarrow: Any) -> None:
    table = pyarrow.table(columns_of(date.min, date.max, date(1970, 1, 1), kind="date"))
    assert table.column("v").to_pylist() == [date.min, date.max, date(1970, 1, 1)]
    moments = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    assert pyarrow.table(columns_of(*moments, kind="timestamptz")).column("v").to_pylist() == moments
