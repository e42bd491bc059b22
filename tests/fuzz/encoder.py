"""Rows of Python's objects, some of them hostile, to COPY BINARY: refused by name, or read back as they were."""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address
from typing import Any, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

from pgbgw._core import CopyEncoder, CopyError, Layout, decode_copy
from tests.copybinary import TRAILER, header
from tests.fuzz.draw import Draw, kinds

__all__ = ["check"]


class Raised(Exception):
    """What the code of a hostile value has raised."""


# What the encoder may meet in a value and passes on as the cause of a CopyError.
_CAUSES = (Raised, UnicodeEncodeError, OverflowError, ValueError, RuntimeError)


def check(data: bytes) -> None:
    """Encode some rows, whole and in blocks, and read them back."""
    draw = Draw(data)
    types = kinds(draw)
    layout = Layout(None, types)
    encoder = CopyEncoder(layout)
    sent = b""
    expected: list[tuple[Any, ...]] = []
    for _ in range(draw.below(4)):
        rows = [_row(draw, types, encoder) for _ in range(draw.below(4))]
        try:
            sent += encoder.feed(rows)
        except CopyError as error:
            assert error.row is not None
            assert error.row > len(expected), "rows count over all calls"
            cause = error.__cause__
            assert cause is None or isinstance(cause, _CAUSES), f"{cause!r} in the encoder"
            # What stands before the fault is good, and so is what comes after it.
            good = rows[: error.row - len(expected) - 1]
            rows = [row for row in good if not _changes(row)]
            sent += encoder.feed(rows)
        except Raised:
            continue
        expected += [tuple(row) for row in rows]
    sent += encoder.close()
    assert sent.startswith(header())
    assert sent.endswith(TRAILER)
    found = decode_copy(sent, layout)
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for kind, value, given in zip(types, row, wanted, strict=True):
            assert _changes([given]) or _same(kind, value, given), (kind, value, given)
    _check_blocks(draw, layout, sent, expected)


def _check_blocks(draw: Draw, layout: Layout, sent: bytes, rows: list[tuple[Any, ...]]) -> None:
    if not any(_changes(row) for row in rows):
        other = CopyEncoder(layout)
        assert b"".join(other.blocks(iter(rows), draw.below(300))) + other.close() == sent


def _row(draw: Draw, types: list[str | int], encoder: CopyEncoder) -> Any:
    values = [_value(draw, kind, encoder) for kind in types]
    if draw.chance(64):
        return draw.pick([values[1:], [*values, None], None, "row", Long(values), 5])
    return tuple(values) if draw.below(2) else values


def _value(draw: Draw, kind: str | int, encoder: CopyEncoder) -> Any:
    if draw.chance(8):
        return None
    if draw.chance(24):
        kind = draw.pick(list(_VALUES))
    if draw.chance(16):
        return _hostile(draw, encoder)
    if isinstance(kind, int):
        return draw.raw(10)
    return _list(draw, kind.removesuffix("[]"), encoder) if kind.endswith("[]") else _VALUES[kind](draw)


def _list(draw: Draw, kind: str, encoder: CopyEncoder) -> Any:
    sizes = [draw.below(4) for _ in range(draw.pick([1, 1, 1, 2, 3, 7]))]

    def made(depth: int) -> Any:
        if depth == len(sizes):
            return _value(draw, kind, encoder)
        size = draw.below(4) if draw.chance(32) else sizes[depth]
        items: Any = [made(depth + 1) for _ in range(size)]
        if draw.chance(64):
            items.append(draw.pick([items, Grows(items), Shrinks(items)]))
        return draw.pick([list, list, list, tuple, Long])(items)

    return made(0)


# Hostile values


class Word(str):
    """A str that lies in all its methods."""

    def __str__(self) -> NoReturn:
        raise Raised

    def __contains__(self, other: object) -> NoReturn:
        raise Raised

    def encode(self, *arguments: Any, **options: Any) -> NoReturn:
        raise Raised


class Bytes(bytes):
    """Bytes that lie about themselves."""

    def __bytes__(self) -> bytes:
        return b"other"

    def __len__(self) -> int:
        return 2**40


class Number(int):
    """An int whose methods raise."""

    def __index__(self) -> NoReturn:
        raise Raised

    def __int__(self) -> NoReturn:
        raise Raised

    def to_bytes(self, *arguments: Any, **options: Any) -> NoReturn:
        raise Raised


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Long(list[Any]):
    """A list that says it is longer than it is."""

    def __len__(self) -> int:
        return super().__len__() + 1

    def __getitem__(self, index: Any) -> NoReturn:
        raise Raised


class Acts:
    """What does something when it is asked for a number."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __index__(self) -> int:
        self.act()
        return 1

    def __float__(self) -> float:
        self.act()
        return 1.5


class Grows(Acts):
    """Makes the list longer that it is in."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(lambda: items.append(1) if len(items) < 50 else None)


class Shrinks(Acts):
    """Empties the list that it is in."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(items.clear)


class Claims:
    """Says that it is of another class."""

    def __init__(self, claimed: type) -> None:
        self.claimed = claimed

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self.claimed


class Unnamed:
    """Raises where it is asked for its class."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise Raised


def _raise() -> NoReturn:
    raise Raised


def _hostile(draw: Draw, encoder: CopyEncoder) -> Any:
    text = draw.raw(6).decode("latin-1")
    endless: list[Any] = []
    endless.append(endless)
    return draw.pick(
        [
            *(Word(text), Bytes(b"abc"), bytearray(text.encode()), memoryview(b"abcdef")[::2], Colour.RED, Size.LARGE),
            *(Acts(_raise), Acts(lambda: encoder.feed([])), Acts(encoder.close), Acts(lambda: 1)),
            *(endless, Unnamed(), Decimal("sNaN"), text, Number(draw.signed(32))),
            *(
                Claims(draw.pick([str, bytes, int, bool, float, list, UUID, Decimal, datetime, timedelta, date, time])),
                Claims(draw.pick([IPv4Network, IPv6Interface])),
            ),
            *(_released(), object(), float("nan"), 10**400, type, NotImplemented, {}, set(), ...),
        ]
    )


def _released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


def _changes(values: Any) -> bool:
    """Whether there is a value that is another one when it is looked at again."""
    flat = list(_leaves(values, 0))
    return any(type(each) in (Grows, Shrinks, Acts, Claims, Unnamed, Long, Word, Bytes, Number) for each in flat)


def _leaves(value: Any, depth: int) -> Iterator[Any]:
    yield value
    if type(value) in (list, tuple) and depth < 8:
        for each in value:
            yield from _leaves(each, depth + 1)


# Values of a type


def _text(draw: Draw) -> str:
    pieces = ["", "a", "ä€😀", "x" * 13, "y" * 63, "\0", "\ud800", "\x7f\x80"]
    return "".join(chr(draw.below(0x110000)) if draw.chance(8) else draw.pick(pieces) for _ in range(draw.below(4)))


def _numeric(draw: Draw) -> Decimal | int:
    if draw.chance(8):
        return int(draw.signed(64) * 10 ** draw.below(50))
    if draw.chance(128):
        count = draw.pick([131071, 131072, 131073, 147455])
        return Decimal((draw.below(2), (9,) * count, -draw.pick([0, 1, 16383, 16384])))
    digits = tuple(digit % 10 for digit in draw.raw(12))
    return Decimal((draw.below(2), digits, draw.signed(32) if draw.chance(8) else draw.below(40) - 20))


def _zone(draw: Draw) -> timezone:
    return timezone(timedelta(seconds=draw.below(2 * 86399) - 86399))


def _moment(draw: Draw) -> datetime:
    start = draw.pick([datetime.min, datetime(2000, 1, 1), datetime.max])
    with suppress(OverflowError):
        start += timedelta(microseconds=draw.signed(64) >> draw.below(32))
    return start.replace(fold=draw.below(2))


def _aware(draw: Draw) -> datetime:
    moment = _moment(draw)
    zones = [UTC, _zone(draw), ZoneInfo("Europe/Berlin")]
    # Next to the ends of datetime the moment in UTC may be beyond them, which is sent and can't be read.
    near = min(moment - datetime.min, datetime.max - moment) < timedelta(days=2)
    return moment.replace(tzinfo=UTC if near else draw.pick(zones))


def _address(draw: Draw) -> Any:
    if draw.chance(8):
        return draw.pick([ip_address("fe80::1%eth0"), IPv6Interface("fe80::1%eth0/64")])
    packed = draw.exact(draw.pick([4, 16]))
    if draw.below(2):
        return ip_address(packed)
    return (IPv4Interface if len(packed) == 4 else IPv6Interface)((packed, draw.below(8 * len(packed) + 1)))


def _network(draw: Draw) -> Any:
    if draw.chance(16):
        return IPv6Network("fe80::%eth0/64")
    packed = draw.exact(draw.pick([4, 16]))
    kind = IPv4Network if len(packed) == 4 else IPv6Network
    return kind((packed, draw.below(8 * len(packed) + 1)), strict=False)


_VALUES: dict[str, Callable[[Draw], Any]] = {
    "int2": lambda draw: draw.signed(16),
    "int4": lambda draw: draw.signed(32),
    "int8": lambda draw: draw.signed(64),
    "oid": lambda draw: draw.signed(32) & 0xFFFFFFFF,
    "bool": lambda draw: draw.below(2) == 1,
    "float4": lambda draw: struct.unpack(">f", draw.exact(4))[0],
    "float8": lambda draw: struct.unpack(">d", draw.exact(8))[0],
    "numeric": _numeric,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "name": _text,
    "char": _text,
    "json": lambda draw: _text(draw).encode("utf-8", "replace") if draw.below(2) else _text(draw),
    "jsonb": lambda draw: _text(draw).encode("utf-8", "replace") if draw.below(2) else _text(draw),
    "bytea": lambda draw: draw.raw(30),
    "uuid": lambda draw: UUID(bytes=draw.exact(16)),
    "date": lambda draw: _moment(draw).date(),
    "time": lambda draw: _moment(draw).time(),
    "timetz": lambda draw: _moment(draw).time().replace(tzinfo=_zone(draw)),
    "timestamp": lambda draw: _moment(draw),
    "timestamptz": _aware,
    "interval": lambda draw: timedelta(draw.signed(32) % 1999999998 - 999999999, 0, draw.signed(64) % 86400000000),
    "inet": _address,
    "cidr": _network,
}


def _same(kind: str | int, found: Any, given: Any) -> bool:
    """Whether what was read is what was sent."""
    if given is None or found is None:
        return found is given
    if isinstance(found, list):
        return len(found) == len(given) and all(
            _same(str(kind).removesuffix("[]"), one, other) for one, other in zip(found, given, strict=True)
        )
    if kind == "float4":
        return struct.pack(">f", found) == struct.pack(">f", given) or (math.isnan(found) and math.isnan(given))
    if isinstance(found, float | Decimal) and found != found:
        return bool(float(given) != float(given)) if isinstance(found, float) else given.is_nan()
    if isinstance(found, float):
        # an integer of more than 53 bits is rounded
        return bool(found == float(given))
    if isinstance(given, IPv4Interface | IPv6Interface) and given.network.prefixlen == given.max_prefixlen:
        given = given.ip
    if isinstance(found, str) and isinstance(given, bytes | bytearray | memoryview):
        return found.encode() == bytes(given)
    if isinstance(found, datetime):
        return bool(_since(found) == _since(given))
    return bool(found == given)


def _since(moment: datetime) -> timedelta:
    """By the fields alone: comparing two of different zones looks at both folds."""
    return moment.replace(tzinfo=None) - datetime(2000, 1, 1) - (moment.utcoffset() or timedelta(0))
