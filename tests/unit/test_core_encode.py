"""The encoder of COPY BINARY: what it writes, what it refuses, and what is left of a stream after that."""

from __future__ import annotations

import enum
import pickle
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from pgbgw._core import CopyDecoder, CopyEncoder, CopyError, JobDecoder, Layout, decode_copy, encode_copy
from tests.binaryvalues import OIDS, SAMPLES, dumped
from tests.copybinary import TRAILER, header, row, stream
from tests.memory import lost


def sent(kind: str, value: Any) -> bytes:
    """The bytes of one value."""
    data = encode_copy([(value,)], [kind])
    assert data.startswith(header() + b"\0\1")
    assert data.endswith(TRAILER)
    field = data[len(header()) + 2 : -2]
    assert struct.unpack(">i", field[:4]) == (len(field) - 4,)
    return field[4:]


def refused(kind: str, value: Any) -> CopyError:
    encoder = CopyEncoder([kind])
    with pytest.raises(CopyError) as caught:
        encoder.feed([(value,)])
    assert (caught.value.row, caught.value.column) == (1, 1)
    assert encoder.feed([]) == header()
    return caught.value


# What is written


@pytest.mark.parametrize("kind", SAMPLES)
def test_values_are_written_as_psycopg_writes_them(kind: str) -> None:
    assert sent(kind, SAMPLES[kind]) == dumped(kind, SAMPLES[kind])
    rows = [(SAMPLES[kind], None), (None, [[SAMPLES[kind]], [None]])]
    assert decode_copy(encode_copy(rows, [kind, f"{kind}[]"]), [OIDS[kind], f"{kind}[]"]) == rows


def test_a_whole_stream() -> None:
    layout = Layout(["a", "b"], ["int2", "text"])
    assert encode_copy([(1, "x"), [None, ""]], layout) == stream(row(b"\0\1", b"x"), row(None, b""))
    assert encode_copy([], layout) == stream()
    assert encode_copy([()], []) == stream(row())


def test_an_array_has_its_sizes_and_its_type() -> None:
    assert sent("int2[]", []) == struct.pack(">iiI", 0, 0, 21)
    assert sent("int2[]", ([1, 2], [3, None])) == struct.pack(">iiIiiii", 2, 1, 21, 2, 1, 2, 1) + row(
        b"\0\1", b"\0\2", b"\0\3", None
    )[2:]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"),
    [
        ("int2", -(2**15), 2**15 - 1),
        ("int4", -(2**31), 2**31 - 1),
        ("int8", -(2**63), 2**63 - 1),
        ("oid", 0, 2**32 - 1),
    ],
)
def test_the_range_of_integers(kind: str, lowest: int, highest: int) -> None:
    for number in (lowest, highest):
        assert decode_copy(encode_copy([(number,)], [kind]), [kind]) == [(number,)]
    for number in (lowest - 1, highest + 1, 2**200, 10**5000):
        assert "a number outside" in str(refused(kind, number))


class Index:
    def __index__(self) -> int:
        return 7


def test_what_stands_for_a_number() -> None:
    assert sent("int4", Index()) == b"\0\0\0\7"
    assert sent("float8", 1) == struct.pack(">d", 1)
    assert sent("numeric", 10**20) == dumped("numeric", Decimal(10**20))


@pytest.mark.parametrize(
    "text",
    [
        *("0", "0E+7", "-0.00", "1", "-1", "10000", "0.0001", "0.00001", "12345.6789012", "1E+9", "99999999"),
        *("9E+3", "9E+4", "12E-4", "12E-5", "90000.00009", "1E-8", "123E+5"),
        *("1E-16383", "NaN", "sNaN", "Infinity", "-Infinity", "1E+131071", "100000000.00000001"),
    ],
)
def test_numeric_is_exact(text: str) -> None:
    number = Decimal(text)
    found = decode_copy(encode_copy([(number,)], ["numeric"]), ["numeric"])[0][0]
    assert found.is_nan() if number.is_nan() else found == number


def test_zones_are_converted() -> None:
    moment = datetime(2024, 7, 1, 12, 0, 0, 5, UTC)
    for zone in (UTC, timezone(timedelta(hours=-5, seconds=7)), ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")):
        assert sent("timestamptz", moment.astimezone(zone)) == dumped("timestamptz", moment)
    early = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    first = struct.unpack(">q", dumped("timestamptz", datetime(1, 1, 1, tzinfo=UTC)))[0]
    assert struct.unpack(">q", sent("timestamptz", early))[0] == first - 3_600_000_000


def test_both_folds_of_an_hour() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = sent("timestamptz", datetime(2024, 10, 27, 2, 30, tzinfo=zone))
    second = sent("timestamptz", datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1))
    assert struct.unpack(">q", second)[0] - struct.unpack(">q", first)[0] == 3_600_000_000


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Lying(str):
    def __str__(self) -> str:
        return "other"

    def __contains__(self, other: object) -> bool:
        return False

    def encode(self, *arguments: Any) -> bytes:
        return b"other"


class LyingBytes(bytes):
    def __bytes__(self) -> bytes:
        return b"other"


def test_of_a_subclass_the_value_is_sent() -> None:
    for kind in ("text", "json"):
        assert sent(kind, Colour.RED) == b"red"
        assert sent(kind, Lying("a")) == b"a"
    assert sent("jsonb", Lying("{}")) == b"\1{}"
    assert "NUL" in str(refused("text", Lying("\0")))
    for kind in ("bytea", "json"):
        assert sent(kind, LyingBytes(b"a")) == b"a"
    assert sent("int4", Size.LARGE) == b"\0\0\0\3"
    assert sent("numeric", Size.LARGE) == dumped("numeric", Decimal(3))
    assert decode_copy(encode_copy([([Colour.RED],)], ["text[]"]), ["text[]"]) == [(["red"],)]


class Acts:
    """A number that does something when it is asked for."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __index__(self) -> int:
        self.act()
        return 7


def test_a_list_may_change_while_it_is_encoded() -> None:
    # More elements than the header says, or fewer, would be a damaged stream.
    grows: list[Any] = [1]
    grows += [Acts(lambda: grows.append(9)), 2]
    assert decode_copy(encode_copy([(grows,)], ["int4[]"]), ["int4[]"]) == [([1, 7, 2],)]
    shrinks: list[Any] = [[1, 2], [3, 4]]
    shrinks[0][0] = Acts(lambda: shrinks[1].clear())
    assert decode_copy(encode_copy([(shrinks,)], ["int4[]"]), ["int4[]"]) == [([[7, 2], [3, 4]],)]


def test_a_list_within_itself_has_no_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "more than 6 dimensions" in str(refused("int4[]", endless))


def test_what_a_value_raises_is_named_with_its_place() -> None:
    def fail() -> None:
        raise LookupError("gone")

    for kind, value in (("int4", Acts(fail)), ("int4[]", [1, Acts(fail)])):
        error = refused(kind, value)
        assert "the value has raised LookupError" in str(error)
        assert isinstance(error.__cause__, LookupError)
    released = memoryview(b"abc")
    released.release()
    assert "ValueError" in str(refused("bytea", released))


class Claims:
    """Says that it is of a class."""

    def __init__(self, claimed: type) -> None:
        self.claimed = claimed

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self.claimed


@pytest.mark.parametrize(
    ("kind", "claimed"),
    [
        *(("text", str), ("bytea", bytes), ("int4", int), ("bool", bool), ("float8", float), ("numeric", Decimal)),
        *(("uuid", UUID), ("date", date), ("timestamptz", datetime), ("interval", timedelta), ("time", time)),
        *(("cidr", IPv4Network), ("inet", IPv4Interface), ("int4[]", list)),
    ],
)
def test_a_class_is_not_only_claimed(kind: str, claimed: type) -> None:
    assert "Claims instead of" in str(refused(kind, Claims(claimed)))


def test_numeric_of_many_digits() -> None:
    # More groups of four digits than a number with a sign of two bytes counts: as many as the type has.
    most = Decimal((1, (9,) * 147455, -16383))
    data = encode_copy([(most,)], ["numeric"])
    assert struct.unpack_from(">H", data, len(header()) + 6) == (36864,)
    assert decode_copy(data, ["numeric"]) == [(most,)]


def test_json_is_text_or_bytes() -> None:
    for kind, version in (("json", b""), ("jsonb", b"\1")):
        for value in ("{}", b"{}", bytearray(b"{}"), memoryview(b"{}")):
            assert sent(kind, value) == version + b"{}"


def test_an_unknown_type_takes_bytes() -> None:
    assert encode_copy([(b"\1\2",)], [600]) == stream(row(b"\1\2"))


# What is refused


class NoZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None

    dst = utcoffset

    def tzname(self, moment: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("int4", "1", "str instead of int"),
        ("int4", True, "bool instead of int"),
        ("int4", 1.0, "float instead of int"),
        ("bool", 1, "int instead of bool"),
        ("float8", "1", "str instead of float"),
        ("float8", b"1", "bytes instead of float"),
        ("float8", True, "bool instead of float"),
        ("float8", None.__class__, "type instead of float"),
        ("float4", 1e39, "beyond float4"),
        ("float8", 10**400, "beyond float8"),
        ("numeric", 1.5, "float instead of Decimal"),
        ("numeric", Decimal("1E+131072"), "more digits"),
        ("numeric", Decimal("1E-16384"), "more digits"),
        ("text", b"a", "bytes instead of str"),
        ("text", "a\0", "NUL at position 1"),
        ("text", "ä\0", "NUL at position 1"),
        ("text", "ab\ud800", "surrogate at position 2"),
        ("jsonb", "\0", "NUL"),
        ("jsonb", b"{\0}", "NUL at position 1"),
        ("jsonb", b'"\xff"', "not UTF-8: 'utf-8' codec can't decode byte 0xff in position 1"),
        ("jsonb", b'"1234567890\xc3', "not UTF-8"),
        ("json", b'"\xff"', "not UTF-8"),
        ("jsonb", {"a": 1}, "dict instead of JSON text"),
        ("json", [], "list instead of JSON text"),
        ("bytea", "a", "str instead of bytes"),
        ("bytea", 5, "int instead of bytes"),
        ("uuid", "12345678-1234-5678-1234-567812345678", "str instead of UUID"),
        ("date", datetime(2024, 1, 1), "datetime instead of date"),
        ("timestamptz", datetime(2024, 1, 1), "without a zone"),
        ("timestamptz", datetime(2024, 1, 1, tzinfo=NoZone()), "without a zone"),
        ("timestamptz", date(2024, 1, 1), "date instead of datetime"),
        ("timestamp", datetime(2024, 1, 1, tzinfo=UTC), "with a zone"),
        ("time", time(1, tzinfo=UTC), "with a zone"),
        ("timetz", time(1), "without a fixed offset"),
        ("timetz", time(1, tzinfo=ZoneInfo("Europe/Berlin")), "without a fixed offset"),
        ("timetz", time(1, tzinfo=timezone(timedelta(microseconds=1))), "part of a second"),
        ("timetz", time(1, tzinfo=timezone(timedelta(hours=16))), "offset of 16 hours"),
        ("timetz", time(1, tzinfo=timezone(timedelta(hours=-16))), "offset of 16 hours"),
        ("interval", 5, "int instead of timedelta"),
        ("inet", ip_address("fe80::1%eth0"), "address with a scope"),
        ("inet", IPv6Interface("fe80::1%eth0/64"), "address with a scope"),
        ("inet[]", [ip_address("fe80::1%eth0")], "address with a scope"),
        ("cidr", IPv6Network("fe80::%eth0/64"), "address with a scope"),
        ("inet", IPv4Network("10.0.0.0/8"), "IPv4Network instead of an address"),
        ("cidr", IPv4Interface("10.0.0.0/8"), "IPv4Interface instead of a network"),
        ("int4[]", "12", "str instead of list"),
        ("int4[]", [1, "a"], "str instead of int"),
        ("int4[]", [2**31], "outside"),
        ("int4[]", [[1], 2], "different depths"),
        ("int4[]", [1, [2]], "different depths"),
        ("int4[]", [[1], [2, 3]], "lists of 1 and of 2 items"),
        ("int4[]", [[]], "empty lists"),
        ("int4[]", [[[[[[[1]]]]]]], "more than 6 dimensions"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, value: Any, reason: str) -> None:
    assert reason in str(refused(kind, value))


def test_the_error_names_row_and_column() -> None:
    encoder = CopyEncoder(Layout(["a", "b"], ["int2", "text"]))
    encoder.feed([(1, "x")] * 5)
    with pytest.raises(CopyError, match=r'row 7, column 2: "b" text: a NUL') as caught:
        encoder.feed([(1, "x"), (2, "\0")])
    assert (caught.value.row, caught.value.column) == (7, 2)
    assert "bytea" in str(caught.value.hint)
    for wrong in ((1,), (1, "x", 2), ()):
        with pytest.raises(CopyError, match=f"row 6: {len(wrong)} values instead of 2"):
            encoder.feed([wrong])
    for other in ("ab", 5, None, {"a": 1, "b": 2}):
        with pytest.raises(CopyError, match="row 6: a row is a tuple or a list"):
            encoder.feed([other])  # type: ignore[list-item]


def test_a_field_is_below_one_gigabyte() -> None:
    # Pages that nobody touches: it takes no memory.
    assert "above PostgreSQL's limit" in str(refused("bytea", bytes(2**30 - 1)))


# The stream


def test_nothing_of_a_refused_call_is_emitted() -> None:
    encoder = CopyEncoder(["int2"])
    with pytest.raises(CopyError, match="row 2"):
        encoder.feed([(1,), ("a",)])
    first = encoder.feed([(2,)])
    with pytest.raises(CopyError, match="row 3"):
        encoder.feed([(3,), (2**15,)])
    assert first + encoder.feed([(4,)]) + encoder.close() == stream(row(b"\0\2"), row(b"\0\4"))


def test_blocks_are_made_while_rows_come() -> None:
    asked = []

    def rows() -> Iterator[tuple[int]]:
        for number in range(100):
            asked.append(number)
            yield (number,)

    encoder = CopyEncoder(["int8"])
    blocks = encoder.blocks(rows(), size=140)
    first = next(blocks)
    assert len(asked) == 9
    data = first + b"".join(blocks) + encoder.close()
    assert decode_copy(data, ["int8"]) == [(number,) for number in range(100)]


def test_blocks_end_before_the_row_at_fault() -> None:
    encoder = CopyEncoder(["int2"])
    blocks = encoder.blocks([(1,), (2,), ("a",), (4,)])
    assert next(blocks) == header() + row(b"\0\1") + row(b"\0\2")
    with pytest.raises(CopyError, match="row 3, column 1"):
        next(blocks)


def test_an_error_of_the_iteration_is_passed_on() -> None:
    encoder = CopyEncoder(["int2"])

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        encoder.feed(rows())
    assert encoder.feed([(1,)]) == header() + row(b"\0\1")


def test_an_encoder_is_not_used_within_itself() -> None:
    encoder = CopyEncoder(["int2"])

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        encoder.feed([(2,)])

    with pytest.raises(RuntimeError, match="at work"):
        encoder.feed(rows())
    assert encoder.close() == stream()


def test_no_memory_is_lost() -> None:
    def use() -> None:
        encoder = CopyEncoder(["text", "timestamptz", "int4[]", "numeric"])
        for _ in range(3):
            encoder.feed([("a" * 100, datetime(2024, 1, 1, tzinfo=UTC), [1, None], Decimal("1.5"))] * 50)
            with pytest.raises(CopyError):
                encoder.feed([("a", None, None, None), ("a", None, None, "b")])

    assert lost(use) < 3000


@pytest.mark.parametrize("coder", [CopyEncoder, CopyDecoder, JobDecoder])
def test_what_is_at_a_stream_is_not_pickled(coder: Any) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(coder(Layout(["a"], ["int8"])))
    bare = coder.__new__(coder)
    with pytest.raises(TypeError, match="initialised"):
        bare.feed(b"" if coder is not CopyEncoder else [])
    with pytest.raises(TypeError, match="initialised"):
        bare.close()


@pytest.mark.parametrize("type_", ["json", "jsonb"])
def test_json_may_be_bytes(type_: str) -> None:
    for value in (b'{"a": 1}', '"ä€"'.encode(), b'"' + b"x" * 5000 + "ö".encode() + b'"'):
        for types in ([type_], Layout(None, [type_], json="bytes")):
            sent = encode_copy([(value,)], types)
            assert decode_copy(sent, [type_]) == [(value.decode(),)]
    with pytest.raises(CopyError, match="NUL at position 1"):
        encode_copy([(b"{\0}",)], Layout(None, [type_], json="bytes"))
