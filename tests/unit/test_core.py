"""The compiled core: every bound of the decoder, and the shape of the back-off."""

from __future__ import annotations

import math
import pickle
import shutil
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgbgw._core import CopyDecoder, CopyError, backoff, decode_copy
from tests.copybinary import SIGNATURE, TRAILER, header, row, stream

ROOT = Path(__file__).parents[2]
BACKOFF_H = ROOT / "c_templates" / "static" / "backoff.h"
ALL_TYPES = ["int2", "int4", "int8", "bool", "float8", "text", "jsonb", "timestamptz"]
ONE_QUARTER = 2**32 - 1

# What PostgreSQL 15 sent for
# COPY (VALUES (1::int2, -70000::int4, 9007199254740993::int8, true, -2.5::float8, 'héllo €'::text,
#               '{"b": [1, null], "a": "é"}'::jsonb, timestamptz '2024-02-29 13:14:15.000017+02'),
#              ('-32768', NULL, '-9223372036854775808', false, 'infinity', '', 'null', '0001-01-01 00:00:00+00'),
#              (NULL, NULL, NULL, NULL, '-infinity', NULL, NULL, '9999-12-31 23:59:59.999999+00'))
# TO STDOUT (FORMAT binary)
FROM_SERVER = bytes.fromhex(
    "5047434f50590aff0d0a000000000000000000000800000002000100000004fffeee90000000080020000000000001000000"
    "010100000008c0040000000000000000000a68c3a96c6c6f20e282ac0000001c017b2261223a2022c3a9222c202262223a20"
    "5b312c206e756c6c5d7d000000080002b58220daafd10008000000028000ffffffff00000008800000000000000000000001"
    "00000000087ff00000000000000000000000000005016e756c6c00000008ff1fe2ffc59c60000008ffffffffffffffffffff"
    "ffffffffffff00000008fff0000000000000ffffffffffffffff000000080380e70b913b7fffffff"
)
ROWS_FROM_SERVER = [
    (
        *(1, -70000, 9007199254740993, True, -2.5, "héllo €", '{"a": "é", "b": [1, null]}'),
        datetime(2024, 2, 29, 11, 14, 15, 17, tzinfo=UTC),
    ),
    (-32768, None, -(2**63), False, math.inf, "", "null", datetime.min.replace(tzinfo=UTC)),
    (None, None, None, None, -math.inf, None, None, datetime.max.replace(tzinfo=UTC)),
]


def int8(number: int) -> bytes:
    return struct.pack(">q", number)


def fault(data: bytes, *types: str) -> CopyError:
    with pytest.raises(CopyError) as caught:
        decode_copy(data, types)
    return caught.value


# Values


def test_what_a_server_sends() -> None:
    decoded = decode_copy(FROM_SERVER, ALL_TYPES)
    assert decoded == ROWS_FROM_SERVER
    assert [[type(item) for item in items] for items in decoded] == [
        [type(item) for item in items] for items in ROWS_FROM_SERVER
    ]
    assert decoded[0][-1].utcoffset() == timedelta(0)


def test_one_byte_at_a_time_gives_the_same() -> None:
    decoder = CopyDecoder(ALL_TYPES)
    rows = []
    for index in range(len(FROM_SERVER)):
        assert not decoder.finished
        rows += decoder.feed(FROM_SERVER[index : index + 1])
    decoder.close()
    assert decoder.finished
    assert rows == ROWS_FROM_SERVER


def test_a_row_is_given_as_soon_as_it_is_complete() -> None:
    decoder = CopyDecoder(["int8"])
    assert decoder.feed(header() + row(int8(1)) + row(int8(2))[:-1]) == [(1,)]
    assert decoder.feed(row(int8(2))[-1:]) == [(2,)]
    assert decoder.feed(b"") == []
    assert decoder.feed(TRAILER[:1]) == []
    assert not decoder.finished
    assert decoder.feed(TRAILER[1:]) == []
    assert decoder.finished


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer(kind: type) -> None:
    assert decode_copy(kind(stream(row(int8(7)))), ["int8"]) == [(7,)]


def test_a_chunk_can_be_changed_after_it_was_fed() -> None:
    chunk = bytearray(stream(row(b"abc")))
    decoder = CopyDecoder(["text"])
    decoder.feed(memoryview(chunk)[:-4])
    tail = bytes(chunk[-4:])
    chunk[:] = bytes(len(chunk))
    assert decoder.feed(tail) == [("abc",)]


def test_not_a_number() -> None:
    ((number,),) = decode_copy(stream(row(struct.pack(">d", math.nan))), ["float8"])
    assert math.isnan(number)


def test_no_rows_and_no_columns() -> None:
    assert decode_copy(stream(), ["int8"]) == []
    assert decode_copy(stream(row(), row()), []) == [(), ()]


# The header


@pytest.mark.parametrize("size", range(1, len(SIGNATURE) + 1))
def test_a_wrong_signature_is_refused_at_its_first_wrong_byte(size: int) -> None:
    decoder = CopyDecoder(["int8"])
    wrong = SIGNATURE[: size - 1] + bytes([SIGNATURE[size - 1] ^ 1])
    with pytest.raises(CopyError, match="signature") as caught:
        decoder.feed(wrong)
    assert caught.value.row is None
    assert "FORMAT binary" in str(caught.value.hint)


@pytest.mark.parametrize("bit", range(16, 32))
def test_critical_flags_are_refused(bit: int) -> None:
    assert f"0x{1 << bit:08x}" in str(fault(header(1 << bit) + TRAILER, "int8"))


def test_other_flags_are_ignored() -> None:
    assert decode_copy(header(0xFFFF) + row(int8(1)) + TRAILER, ["int8"]) == [(1,)]


def test_the_extension_is_left_out_however_it_is_cut() -> None:
    decoder = CopyDecoder(["int8"])
    whole = header(extension=b"\xff" * 10) + row(int8(1)) + TRAILER
    assert [decoder.feed(whole[:25]), decoder.feed(whole[25:])] == [[], [(1,)]]


def test_a_negative_extension_is_refused() -> None:
    assert "-1" in str(fault(SIGNATURE + struct.pack(">Ii", 0, -1), "int8"))


# Rows


@pytest.mark.parametrize("count", [-32768, -2, 0, 1, 3, 32767])
def test_a_wrong_field_count_is_refused(count: int) -> None:
    error = fault(stream(row(int8(1), int8(2)), struct.pack(">h", count)), "int8", "int8")
    assert str(error) == f"row 2: {count} fields instead of 2"
    assert (error.row, error.column) == (2, None)


@pytest.mark.parametrize(
    ("kind", "size"), [("int2", 2), ("int4", 4), ("int8", 8), ("bool", 1), ("float8", 8), ("timestamptz", 8)]
)
@pytest.mark.parametrize("difference", [-1, 1])
def test_fixed_lengths_are_exact(kind: str, size: int, difference: int) -> None:
    error = fault(stream(row(None, bytes(size + difference))), "text", kind)
    assert str(error) == f"row 1, column 2: {kind}: length {size + difference} instead of {size}"


@pytest.mark.parametrize("kind", ALL_TYPES)
def test_only_minus_one_is_null(kind: str) -> None:
    assert decode_copy(stream(row(None)), [kind]) == [(None,)]
    for length in (-2, -(2**31)):
        assert f"{kind}: negative length {length}" in str(fault(stream(struct.pack(">hi", 1, length)), kind))


@pytest.mark.parametrize("kind", ["text", "jsonb"])
def test_a_length_above_the_limit_is_refused_before_its_bytes(kind: str) -> None:
    assert "1073741823 bytes" in str(fault(header() + struct.pack(">hi", 1, 0x40000000), kind))


def test_a_row_above_the_limit_is_refused_before_its_bytes() -> None:
    decoder = CopyDecoder(["text"])
    with pytest.raises(CopyError, match="row 1: the row is longer"):
        decoder.feed(header() + struct.pack(">hi", 1, 0x3FFFFFFF))


def test_a_claimed_length_takes_no_memory() -> None:
    import tracemalloc

    decoder = CopyDecoder(["text"])
    tracemalloc.start()
    try:
        assert decoder.feed(header() + struct.pack(">hi", 1, 0x3FFFFFF0) + b"x" * 1000) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_decoded_bytes_are_let_go() -> None:
    import tracemalloc

    decoder = CopyDecoder(["text"])
    decoder.feed(header())
    chunk = row(b"x" * 1000) * 100
    tracemalloc.start()
    try:
        for _ in range(20):
            assert len(decoder.feed(chunk)) == 100
        assert tracemalloc.get_traced_memory()[0] < len(chunk)
    finally:
        tracemalloc.stop()


# The end


@pytest.mark.parametrize("size", range(len(FROM_SERVER)))
def test_a_cut_stream_is_refused_on_close(size: int) -> None:
    assert "without its trailer" in str(fault(FROM_SERVER[:size], *ALL_TYPES))


def test_bytes_after_the_trailer_are_refused() -> None:
    assert str(fault(stream() + b"abc", "int8")) == "3 bytes follow the trailer of the stream"
    decoder = CopyDecoder(["int8"])
    decoder.feed(stream())
    assert decoder.feed(b"") == []
    with pytest.raises(CopyError, match="1 bytes follow"):
        decoder.feed(b"a")


def test_a_decoder_that_has_failed_stays_so() -> None:
    decoder = CopyDecoder(["int8"])
    with pytest.raises(CopyError, match="0 fields"):
        decoder.feed(header() + row() + row(int8(1)))
    with pytest.raises(CopyError, match="failed before"):
        decoder.feed(b"")
    with pytest.raises(CopyError, match="failed before"):
        decoder.close()


# Bytes of a value


def test_a_bool_is_0_or_1() -> None:
    assert decode_copy(stream(row(b"\0"), row(b"\1")), ["bool"]) == [(False,), (True,)]
    assert "byte 2 instead of 0 or 1" in str(fault(stream(row(b"\2")), "bool"))


@pytest.mark.parametrize("prefix", [b"", b"\x01"])
def test_text_is_utf_8(prefix: bytes) -> None:
    kind = "jsonb" if prefix else "text"
    error = fault(stream(row(prefix + b"ok"), row(prefix + b"caf\xe9")), kind)
    assert str(error).startswith(f"row 2, column 1: {kind}: not UTF-8")
    assert "client_encoding" in str(error.hint)


def test_jsonb_has_a_version() -> None:
    assert "no version byte" in str(fault(stream(row(b"")), "jsonb"))
    assert "version 2" in str(fault(stream(row(b"\x02{}")), "jsonb"))


EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("microseconds", "reason"),
    [
        (2**63 - 1, "infinite"),
        (-(2**63), "infinite"),
        (2**63 - 2, "year"),
        (FIRST - 1, "year"),
        (LAST + 1, "year"),
    ],
)
def test_timestamps_that_datetime_does_not_hold(microseconds: int, reason: str) -> None:
    error = fault(stream(row(int8(FIRST)), row(int8(LAST)), row(int8(microseconds))), "timestamptz")
    assert (error.row, error.column) == (3, 1)
    assert reason in str(error)
    assert "as text" in str(error.hint)


# Arguments


def test_unknown_types_are_refused() -> None:
    with pytest.raises(ValueError, match="'integer': use one of int2, int4") as caught:
        CopyDecoder(["int8", "integer"])
    assert not isinstance(caught.value, CopyError)
    with pytest.raises(TypeError, match="one str"):
        CopyDecoder("text")
    with pytest.raises(ValueError, match="1665 column types"):
        CopyDecoder(["int8"] * 1665)
    assert decode_copy(stream(row(*[int8(5)] * 1664)), ["int8"] * 1664) == [(5,) * 1664]


@pytest.mark.parametrize("wrong", ["text", None, 5, [1, 2]])
def test_what_is_no_bytes_is_refused_and_does_no_harm(wrong: object) -> None:
    decoder = CopyDecoder(["int8"])
    with pytest.raises(TypeError):
        decoder.feed(wrong)  # type: ignore[arg-type]
    assert decoder.feed(stream(row(int8(1)))) == [(1,)]


def test_the_error_survives_pickling() -> None:
    error = fault(stream(row(b"\x02{}")), "jsonb")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.row, copy.column, copy.hint) == (str(error), 1, 1, error.hint)


# Back-off


def test_the_wait_doubles_up_to_the_cap() -> None:
    assert [backoff(attempt, 10, 100, 0) for attempt in range(-1, 8)] == [10, 10, 10, 20, 40, 80, 100, 100, 100]


def test_at_most_a_quarter_is_taken_off() -> None:
    assert backoff(1, 1000, 5000, ONE_QUARTER) == 750
    assert backoff(1, 1000, 5000, 2**31) == 875
    assert backoff(9, 1000, 5000, ONE_QUARTER) == 3750
    assert [backoff(1, base, 9, ONE_QUARTER) for base in (1, 2, 3, 4, 5)] == [1, 2, 3, 3, 4]


def test_the_back_off_does_not_overflow() -> None:
    largest = 2**63 - 1
    assert backoff(2**31 - 1, 1, largest, 0) == largest
    assert backoff(63, 1, largest, 0) == 2**62
    assert backoff(64, 1, largest, 0) == largest
    assert backoff(2, largest, largest, ONE_QUARTER) == largest - ((largest // 4 + 1) * ONE_QUARTER >> 32)
    assert backoff(-(2**31), 5, 50, 0) == 5


@pytest.mark.parametrize(("base", "cap"), [(0, 10), (-1, 10), (10, 0), (10, -1), (-(2**63), -(2**63))])
def test_without_base_or_cap_there_is_no_wait(base: int, cap: int) -> None:
    assert backoff(3, base, cap, 12345) == 0


@pytest.mark.parametrize("arguments", [(2**31, 1, 1, 0), (1, 2**63, 1, 0), (1, 1, 1, 2**32), (1, 1, 1, -1)])
def test_the_back_off_refuses_what_c_does_not_hold(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(OverflowError):
        backoff(*arguments)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_header_compiles_by_itself(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text('#include "backoff.h"\nint64_t alone(void);\nint64_t\nalone(void)\n{\n'
                      "\treturn pgbgw_backoff(1, 2, 3, 4);\n}\n")  # fmt: skip
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wdeclaration-after-statement", "-Werror"]
    done = subprocess.run(
        [compiler, *flags, "-I", BACKOFF_H.parent, "-c", source, "-o", tmp_path / "alone.o"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_layout_of_rows_compiles_by_itself(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text('#include "wire.h"\n')
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-Wno-unused-function"]
    done = subprocess.run(
        [compiler, *flags, "-I", ROOT / "pgbgw" / "core", "-c", source, "-o", tmp_path / "alone.o"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


PGINDENT = (
    *("-bad", "-bap", "-bbb", "-bc", "-bl", "-cli1", "-cp33", "-cdb", "-nce", "-d0", "-di12", "-nfc1", "-i4"),
    *("-l79", "-lp", "-lpl", "-nip", "-npro", "-sac", "-tpg", "-ts4"),
)


def test_pgindent_leaves_the_header_as_it_is(tmp_path: Path) -> None:
    typedefs = tmp_path / "typedefs"
    typedefs.write_text("int32_t\nint64_t\nuint32_t\nuint64_t\n")
    copy = Path(shutil.copy(BACKOFF_H, tmp_path / "in.h"))
    subprocess.run(["pg_bsd_indent", *PGINDENT, f"-U{typedefs}", copy, tmp_path / "out.h"], check=True)
    assert (tmp_path / "out.h").read_text() == BACKOFF_H.read_text()
