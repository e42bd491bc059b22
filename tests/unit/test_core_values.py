"""Values of the compiled core, type by type: what is read, and what is refused and why."""

from __future__ import annotations

import math
import pickle
import struct
from datetime import date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Network
from typing import Any

import pytest

from pgbgw._core import CopyDecoder, CopyEncoder, CopyError, JobDecoder, Layout, decode_copy
from tests.binaryvalues import OIDS, SAMPLES, dumped
from tests.copybinary import row, stream


def read(kind: str | int, data: bytes) -> Any:
    ((value,),) = decode_copy(stream(row(data)), [kind])
    return value


def refused(kind: str, data: bytes) -> CopyError:
    with pytest.raises(CopyError) as caught:
        read(kind, data)
    assert (caught.value.row, caught.value.column) == (1, 1)
    return caught.value


def array(oid: int, sizes: list[int], *elements: bytes | None, lower: int = 1, flags: int = 0) -> bytes:
    head = struct.pack(">iiI", len(sizes), flags, oid) + b"".join(struct.pack(">ii", size, lower) for size in sizes)
    return head + row(*elements)[2:]


INT = struct.Struct(">i").pack


# What is read


@pytest.mark.parametrize("kind", SAMPLES)
def test_names_and_oids_mean_the_same(kind: str) -> None:
    sent = dumped(kind, SAMPLES[kind])
    for asked in (kind, OIDS[kind]):
        value = read(asked, sent)
        assert value == SAMPLES[kind]
        assert type(value) is type(SAMPLES[kind])


@pytest.mark.parametrize("kind", SAMPLES)
def test_arrays_of_every_type(kind: str) -> None:
    sent = array(OIDS[kind], [2, 2], dumped(kind, SAMPLES[kind]), None, None, dumped(kind, SAMPLES[kind]), lower=-3)
    assert read(f"{kind}[]", sent) == [[SAMPLES[kind], None], [None, SAMPLES[kind]]]


def test_an_unknown_type_is_bytes() -> None:
    assert read(600, b"\x01\x02") == b"\x01\x02"
    assert read(600, b"") == b""


def test_json_as_bytes() -> None:
    rows = decode_copy(stream(row(b"{}", b"\1[]", array(3802, [1], b"\1null"))), [114, 3802, 3807], json="bytes")
    assert rows == [(b"{}", b"[]", [b"null"])]


def test_text_that_repeats_and_text_that_does_not() -> None:
    words = ["a", "a", "b", "", "", "ä", "ä", "a", "x" * 64, "x" * 64, "x" * 65, "x" * 65, "\0"]
    assert decode_copy(stream(*(row(word.encode()) for word in words)), ["text"]) == [(word,) for word in words]


@pytest.mark.parametrize(
    "text", ["0", "0.000", "-1", "1E+3", "123456789", "0.00010", "-99999999.99999999", "10000", "NaN", "-Infinity"]
)
def test_numeric_keeps_its_digits(text: str) -> None:
    value = read("numeric", dumped("numeric", Decimal(text)))
    assert str(value) == format(Decimal(text), "f")


def test_numeric_is_exact_beyond_the_context() -> None:
    # 4000 groups: more digits than int() would take from a str, and than the context's precision
    sent = struct.pack(">hhHH", 4000, 3999, 0x4000, 0) + struct.pack(">h", 1234) * 4000
    assert str(read("numeric", sent)) == "-" + "1234" * 4000
    assert str(read("numeric", struct.pack(">hhHHh", 1, -3, 0, 12, 7))) == "7E-12"
    assert read("numeric", struct.pack(">hhHHh", 1, 2, 0, 2, 7)) == 700000000


def test_interval_counts_months_and_years() -> None:
    def interval(months: int, days: int, microseconds: int) -> bytes:
        return struct.pack(">qii", microseconds, days, months)

    assert read("interval", interval(0, -1, 1)) == timedelta(days=-1, microseconds=1)
    assert read("interval", interval(14, 3, 0)) == timedelta(days=365 + 60 + 3)
    assert read("interval", interval(-14, 0, 0)) == timedelta(days=-365 - 60)
    assert "infinite" in str(refused("interval", interval(2**31 - 1, 2**31 - 1, 2**63 - 1)))
    assert "beyond timedelta" in str(refused("interval", interval(2**31 - 1, 2**31 - 1, 0)))


def test_addresses() -> None:
    assert read("inet", bytes([2, 32, 0, 4, 127, 0, 0, 1])) == IPv4Address("127.0.0.1")
    assert read("inet", bytes([2, 31, 0, 4, 127, 0, 0, 1])) == IPv4Interface("127.0.0.1/31")
    assert read("cidr", bytes([3, 128, 1, 16, *([0] * 16)])) == IPv6Network("::/128")


def test_timestamps_of_every_day() -> None:
    first = datetime(1, 1, 1)
    days = range(0, (datetime(9999, 12, 31) - first).days, 97)
    sent = stream(*(row(dumped("timestamp", first + timedelta(day)), dumped("date", date.min + timedelta(day)))
                    for day in days))  # fmt: skip
    rows = decode_copy(sent, ["timestamp", "date"])
    assert rows == [(first + timedelta(day), date.min + timedelta(day)) for day in days]


def test_no_type_leaves_out_null() -> None:
    kinds = [*OIDS, *(f"{kind}[]" for kind in OIDS), "unknown", "char", "char[]"]
    assert decode_copy(stream(row(*[None] * len(kinds))), kinds) == [(None,) * len(kinds)]


# What is refused


@pytest.mark.parametrize(
    ("kind", "size"),
    [("float4", 4), ("date", 4), ("time", 8), ("timetz", 12), ("timestamp", 8), ("interval", 16), ("uuid", 16)],
)
@pytest.mark.parametrize("difference", [-1, 1])
def test_fixed_lengths_are_exact(kind: str, size: int, difference: int) -> None:
    assert f"length {size + difference} instead of {size}" in str(refused(kind, bytes(size + difference)))
    wrong = array(OIDS[kind], [1], bytes(size + difference))
    assert f"length {size + difference} instead of {size}" in str(refused(f"{kind}[]", wrong))


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("date", INT(2**31 - 1), "infinite"),
        ("date", INT(-(2**31)), "infinite"),
        ("date", INT(2921940), "year"),
        ("date", INT(-730120), "year"),
        ("timestamp", b"\x7f" + b"\xff" * 7, "infinite"),
        ("timestamp", b"\x7f" * 8, "year"),
        ("time", struct.pack(">q", 86_400_000_000), "24:00"),
        ("time", struct.pack(">q", -1), "within a day"),
        ("time", struct.pack(">q", 86_400_000_001), "within a day"),
        ("timetz", struct.pack(">qi", 0, 86400), "zone of 86400"),
        ("timetz", struct.pack(">qi", 0, -86400), "zone of -86400"),
        ("numeric", b"", "length 0"),
        ("numeric", struct.pack(">hhHH", 1, 0, 0, 0), "1 digits in 8 bytes"),
        ("numeric", struct.pack(">hhHH", -1, 0, 0, 0), "65535 digits"),
        ("numeric", struct.pack(">hhHH", 0, 0, 1, 0), "sign 0x0001"),
        ("numeric", struct.pack(">hhHH", 0, 0, 0, 0x4000), "scale of 16384"),
        ("numeric", struct.pack(">hhHHh", 1, 0, 0, 0, 10000), "digit 10000"),
        ("inet", b"\2", "length 1"),
        ("inet", bytes([1, 32, 0, 4, 0, 0, 0, 0]), "family 1"),
        ("inet", bytes([2, 33, 0, 4, 0, 0, 0, 0]), "prefix 33"),
        ("inet", bytes([2, 32, 0, 4, 0, 0, 0]), "7 bytes"),
        ("inet", bytes([3, 32, 0, 4, 0, 0, 0, 0]), "4 bytes"),
        ("cidr", bytes([2, 8, 1, 4, 10, 0, 0, 1]), "host bits"),
        ("jsonb", b"", "version byte"),
        ("jsonb", b"\2", "version 2"),
        ("text", b"\xff", "UTF-8"),
        ("bool", b"\2", "byte 2"),
        ("int4[]", b"", "length 0"),
        ("int4[]", struct.pack(">iiI", -1, 0, 23), "-1 dimensions"),
        ("int4[]", struct.pack(">iiI", 7, 0, 23), "7 dimensions"),
        ("int4[]", struct.pack(">iiI", 1, 0, 23), "1 dimensions in 12 bytes"),
        ("int4[]", struct.pack(">iiI", 0, 2, 23), "flags"),
        ("int4[]", array(20, [1], bytes(8)), "elements of type int8"),
        ("int4[]", array(23, [0]), "0 elements"),
        ("int4[]", array(23, [2**31 - 1], INT(1)), "2147483647 elements"),
        ("int4[]", array(23, [2, 2**30], *[INT(1)] * 4), "1073741824 elements"),
        ("int4[]", array(23, [2], INT(1)) + b"\0\0", "ends before"),
        ("int4[]", array(23, [1], INT(1)) + b"\0", "1 bytes follow"),
        ("int4[]", array(23, []) + b"\0", "1 bytes follow"),
        ("text[]", array(25, [1]) + b"\xff\xff\xff\xfe", "element of length -2"),
        ("text[]", array(25, [1]) + b"\0\0\0\1", "element of length 1"),
        ("date[]", array(1082, [2], INT(0), INT(2**31 - 1)), "infinite"),
    ],
)
def test_damage_is_named(kind: str, data: bytes, reason: str) -> None:
    assert reason in str(refused(kind, data))


def test_enums_in_arrays_are_read_as_the_column_says() -> None:
    assert read("text[]", array(16999, [2], b"red", None)) == ["red", None]


def test_nan_and_infinity() -> None:
    assert math.isnan(read("float4", struct.pack(">f", math.nan)))
    assert read("float8", struct.pack(">d", -math.inf)) == -math.inf
    assert read("numeric", struct.pack(">hhHH", 0, 0, 0xD000, 0x20)) == Decimal("Infinity")


# Layouts


def test_a_layout_knows_its_columns() -> None:
    layout = Layout(["id", "address", "data", "priority"], [20, "text", 3802, "int2"], queue="mail", json="bytes")
    assert (layout.names, layout.types) == (("id", "address", "data", "priority"), (20, 25, 3802, 21))
    assert (layout.payload, layout.queue, layout.json, len(layout)) == (("address", "data"), "mail", "bytes", 4)
    assert repr(layout) == '<Layout of mail: "id" int8, "address" text, "data" jsonb, "priority" int2>'
    copy = pickle.loads(pickle.dumps(layout))
    assert (copy.names, copy.types, copy.payload, copy.queue, copy.json) == (
        layout.names, layout.types, layout.payload, layout.queue, layout.json,
    )  # fmt: skip
    assert decode_copy(stream(row(bytes(8), b"a", b"\1{}", b"\0\1")), layout) == [(0, "a", b"{}", 1)]


def test_a_layout_in_messages() -> None:
    with pytest.raises(CopyError, match='row 1, column 1: "flag" bool: byte 2'):
        decode_copy(stream(row(b"\2")), Layout(["flag"], ["bool"]))


@pytest.mark.parametrize(
    ("names", "types", "options", "reason"),
    [
        (["a"], ["int8", "int8"], {}, "1 names for 2 columns"),
        (["a", "a"], ["int8", "int8"], {}, 'two columns have the name "a"'),
        (["a\0b"], ["int8"], {}, "no column has the name 'a.x00b': it has a NUL"),
        (["a", "\ud800"], ["int8", "int8"], {}, "a NUL or a lone surrogate"),
        (["a"], [0], {}, "0 is no OID"),
        (["a"], [2**32], {}, "no OID"),
        (["a"], ["text[][]"], {}, "no decoder"),
        (["a"], ["text"], {"json": "dict"}, "'dict'"),
    ],
)
def test_what_makes_no_layout(names: list[str], types: list[Any], options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Layout(names, types, **options)


def test_arguments_of_layouts_of_other_kinds() -> None:
    with pytest.raises(TypeError, match="a name or an OID, not float"):
        Layout(["a"], [2.5])  # type: ignore[list-item]
    with pytest.raises(KeyError, match="b"):
        Layout(["a"], ["text"], payload=["b"])
    layout = Layout(["a"], ["text"])
    with pytest.raises(TypeError, match="immutable"):
        Layout.__init__(layout, ["b"], ["text"])
    for make in (CopyDecoder, JobDecoder, CopyEncoder):
        with pytest.raises(TypeError, match="not initialised"):
            make(Layout.__new__(Layout))
    with pytest.raises(TypeError, match="one stream"):
        CopyDecoder.__init__(CopyDecoder(layout), layout)
