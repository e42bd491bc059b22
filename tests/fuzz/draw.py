"""What a fuzzer's bytes stand for: rows that are mostly as a server sends them, and what becomes of them on the way."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from pgbgw._core import Layout
from tests.copybinary import TRAILER, header, row

__all__ = [
    "ARRAYS",
    "EDGES",
    "NAMES",
    "SCALARS",
    "UNKNOWN",
    "Draw",
    "damaged",
    "field",
    "fields",
    "kinds",
    "layout",
    "stream",
    "types_of",
]

T = TypeVar("T")

DAY = 86_400_000_000

UNKNOWN = 600
"""The OID of a type that the core does not know, whose values are bytes: point."""


class Draw:
    """Decisions, one after the other, by the bytes of an input; once these are used up all are the first of a choice.

    So a short input is a simple case, and each byte that is changed changes one decision.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def exact(self, size: int) -> bytes:
        """So many bytes, zeros at the end of the input."""
        taken = self._data[self._place : self._place + size]
        self._place += len(taken)
        return taken.ljust(size, b"\0")

    def raw(self, most: int) -> bytes:
        """Up to so many bytes."""
        return self.exact(self.below(most + 1))

    def below(self, bound: int) -> int:
        """A number from 0 up to, but without, the bound."""
        size = (bound.bit_length() + 7) // 8
        return int.from_bytes(self.exact(size), "big") % bound

    def chance(self, one_in: int) -> bool:
        """Whether what is rare happens; never at the end of the input."""
        return self.below(one_in) == one_in - 1

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self.below(len(items))]

    def signed(self, bits: int) -> int:
        """A number of so many bits: an edge, one of some magnitude, or any."""
        how = self.below(4)
        if how < 2:
            return self.pick(EDGES[bits])
        number = int.from_bytes(self.exact(bits // 8), "big", signed=True)
        return number if how == 2 else number >> self.below(bits)


EDGES: dict[int, tuple[int, ...]] = {
    bits: (
        *(0, 1, -1, 2, 7, 12, 13, 100),
        *(sign * 2**power + near for power in range(bits - 2, 0, -7) for sign in (1, -1) for near in (-1, 0, 1)),
        *(2 ** (bits - 1) - 1, 2 ** (bits - 1) - 2, -(2 ** (bits - 1)), -(2 ** (bits - 1)) + 1),
    )
    for bits in (16, 32, 64)
}
"""Numbers at which something may change."""

# The first and the last moment and day of datetime and of the server, and what stands for infinity, beside them.
_MOMENTS = [
    *(0, -63082281600000000, 252455615999999999, 2**63 - 1, -(2**63)),
    *(9223371331200000000, -211813488000000000, 946684800000000, 2**63 - 1 - 946684800000000),
]
_DAYS = [0, -730119, 2921939, 2**31 - 1, -(2**31), 2145031948, -2451545, 2**31 - 1 - 10957]
_TIMES = [0, 1, DAY - 1, DAY, 12 * 3_600_000_000]
_ZONES = [0, 3600, -7200, 57599, -57599, 57600, 86399, -86399, 86400]
_WORDS = [b"", b"a", b"ready", "ä€😀".encode(), b"x" * 12, b"y" * 13, b"\xed\xa0\x80", b"\xc3", b"\xf4\x90\x80\x80"]


def _moment(draw: Draw) -> int:
    if draw.below(2):
        return draw.signed(64)
    return _within(draw.pick(_MOMENTS) + draw.below(3) - 1, 64)


def _day(draw: Draw) -> int:
    return draw.signed(32) if draw.below(2) else _within(draw.pick(_DAYS) + draw.below(3) - 1, 32)


def _within(number: int, bits: int) -> int:
    highest: int = 2 ** (bits - 1) - 1
    return min(max(number, -highest - 1), highest)


def _time(draw: Draw) -> int:
    return draw.signed(64) if draw.chance(8) else draw.pick([*_TIMES, draw.below(DAY)])


def _zone(draw: Draw) -> int:
    return draw.signed(32) if draw.chance(8) else draw.pick(_ZONES)


def _interval(draw: Draw) -> bytes:
    if draw.chance(8):
        return draw.pick([struct.pack(">qii", sign - 1 + 2**63 - 1, 2**31 - 1, 2**31 - 1) for sign in (1, 0)])
    return struct.pack(">qii", draw.signed(64), draw.signed(32), draw.signed(32))


def _text(draw: Draw) -> bytes:
    # From 8192 bytes on a job gives a view.
    if draw.chance(128):
        return draw.pick([b"z", b"\xc3"]) * (8190 + draw.below(4))
    return b"".join(draw.raw(8) if draw.chance(4) else draw.pick(_WORDS) for _ in range(draw.below(5)))


def _numeric(draw: Draw) -> bytes:
    groups = [draw.below(65536) if draw.chance(16) else draw.below(10000) for _ in range(draw.below(6))]
    if draw.chance(64):
        groups *= draw.pick([5461, 8192, 6553, 9216])
    count = draw.signed(16) if draw.chance(16) else len(groups)
    sign = draw.pick([0, 0x4000, 0xC000, 0xD000, 0xF000, draw.below(65536)])
    scale = draw.below(65536) if draw.chance(8) else draw.below(20)
    weight = draw.signed(16) if draw.chance(4) else draw.below(8) - 4
    return struct.pack(f">HhHH{len(groups)}H", count & 0xFFFF, weight, sign, scale, *groups)


def _address(draw: Draw) -> bytes:
    size = 16 if draw.below(2) else 4
    family = draw.below(256) if draw.chance(16) else 2 if size == 4 else 3
    prefix = draw.below(256) if draw.chance(8) else draw.below(8 * size + 1)
    # Mostly one that is a network of that prefix as well.
    number = int.from_bytes(draw.exact(size), "big")
    if prefix < 8 * size and not draw.chance(4):
        number = number >> (8 * size - prefix) << (8 * size - prefix)
    told = draw.below(256) if draw.chance(16) else size
    return bytes((family, prefix, draw.below(2), told)) + number.to_bytes(size, "big")


_FIELDS: dict[str, Callable[[Draw], bytes]] = {
    "int2": lambda draw: struct.pack(">h", draw.signed(16)),
    "int4": lambda draw: struct.pack(">i", draw.signed(32)),
    "int8": lambda draw: struct.pack(">q", draw.signed(64)),
    "oid": lambda draw: struct.pack(">I", draw.signed(32) & 0xFFFFFFFF),
    "bool": lambda draw: draw.exact(1) if draw.chance(8) else bytes([draw.below(2)]),
    "float4": lambda draw: struct.pack(">f", draw.signed(16)) if draw.below(2) else draw.exact(4),
    "float8": lambda draw: struct.pack(">d", draw.signed(32)) if draw.below(2) else draw.exact(8),
    "numeric": _numeric,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "name": _text,
    "char": lambda draw: draw.exact(1),
    "json": _text,
    "jsonb": lambda draw: (draw.exact(1) if draw.chance(8) else b"\1") + _text(draw),
    "bytea": _text,
    "uuid": lambda draw: draw.exact(16),
    "date": lambda draw: struct.pack(">i", _day(draw)),
    "time": lambda draw: struct.pack(">q", _time(draw)),
    "timetz": lambda draw: struct.pack(">qi", _time(draw), _zone(draw)),
    "timestamp": lambda draw: struct.pack(">q", _moment(draw)),
    "timestamptz": lambda draw: struct.pack(">q", _moment(draw)),
    "interval": _interval,
    "inet": _address,
    "cidr": _address,
}
SCALARS = tuple(_FIELDS)
ARRAYS = tuple(f"{kind}[]" for kind in SCALARS)
NAMES = {Layout(None, [name]).types[0]: name for name in (*SCALARS, *ARRAYS)}
"""Types by their OID."""


def types_of(found: Layout) -> list[str | int]:
    """The types of a layout by name, or by OID where they have none."""
    return [NAMES.get(oid, oid) for oid in found.types]


def kinds(draw: Draw) -> list[str | int]:
    """Types of columns."""
    choice: list[str | int] = [*SCALARS, *SCALARS, *ARRAYS, UNKNOWN]
    return [draw.pick(choice) for _ in range(1 + draw.below(5))]


# What a job has beside its payload, with a type that it may have; jobs are read with and without them.
_OWN = {"id": "int8", "priority": "int2", "attempt": "int4", "attempts": "int4", "created_at": "timestamptz"}
_OWN |= {"lease_end": "timestamptz", "token": "int8", "who": "text"}


def layout(draw: Draw) -> Layout:
    """A layout with names, such as that of a queue or any other."""
    types = kinds(draw)
    names = [f"c{number}" for number in range(len(types))]
    for own, kind in _OWN.items():
        if draw.chance(4):
            names.append(own)
            types.append(kind if not draw.chance(8) else draw.pick(SCALARS))
    payload = [name for name in names if draw.chance(2)] if draw.below(2) else None
    return Layout(names, types, json=draw.pick(["str", "bytes"]), queue=draw.pick([None, "q"]), payload=payload)


def _array(draw: Draw, kind: str) -> bytes:
    sizes = [1 + draw.below(3) for _ in range(draw.pick([1, 1, 1, 0, 2, 3]))]
    count = 1
    for size in sizes:
        count *= size
    elements = [field(draw, kind) for _ in range(count if sizes else 0)]
    oid = Layout(None, [kind]).types[0] if not draw.chance(16) else draw.pick([16400, 25, 23, 0])
    head = struct.pack(">iiI", draw.signed(32) if draw.chance(16) else len(sizes), None in elements, oid)
    bounds = [(draw.signed(32) if draw.chance(16) else size, draw.pick([1, 0, -5])) for size in sizes]
    told = b"".join(struct.pack(">ii", size, lower) for size, lower in bounds)
    return head + told + row(*elements)[2:]


def field(draw: Draw, kind: str | int) -> bytes | None:
    """A value of a type as its send function writes it, or None for NULL; now and then it is something else."""
    if draw.chance(8):
        return None
    if draw.chance(32) or isinstance(kind, int):
        return draw.raw(20)
    return _array(draw, kind.removesuffix("[]")) if kind.endswith("[]") else _FIELDS[kind](draw)


def fields(draw: Draw, types: Sequence[str | int], most: int = 4) -> list[list[bytes | None]]:
    """Rows of values; now and then one has another number of them."""
    rows = []
    for _ in range(draw.below(most + 1)):
        rows.append([field(draw, kind) for kind in types])
    if rows and draw.chance(8):
        rows *= draw.pick([2, 16, 33])
    return rows


def stream(draw: Draw, types: Sequence[str | int]) -> bytes:
    """A COPY BINARY stream of rows of these types, which may have been damaged."""
    rows = [row(*values) for values in fields(draw, types)]
    extension = draw.raw(5) if draw.chance(8) else b""
    flags = draw.signed(32) & 0xFFFFFFFF if draw.chance(16) else 0
    whole = header(flags, extension) + b"".join(rows) + TRAILER
    return damaged(draw, whole) if draw.below(2) else whole


def damaged(draw: Draw, data: bytes) -> bytes:
    """The bytes with up to three things wrong with them."""
    found = bytearray(data)
    for _ in range(1 + draw.below(3)):
        place = draw.below(len(found) + 1)
        match draw.below(6):
            case 0:
                found[place : place + 1] = bytes([draw.below(256)])
            case 1:
                found[place : place + 4] = struct.pack(">i", draw.signed(32))
            case 2:
                del found[place:]
            case 3:
                del found[place : place + 1 + draw.below(8)]
            case 4:
                found[place:place] = draw.raw(8)
            case _:
                found[place:place] = found[draw.below(len(found) + 1) : place]
    return bytes(found)
