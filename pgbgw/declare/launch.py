"""How the arguments of a dynamic worker lie in bgw_extra, the 128 bytes that a launch carries (bgworker.h).

Values of fixed size travel as themselves, everything else in its text form; texts share the room that values leave.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgbgw.declare.workers import Argument

__all__ = ["EXTRA_BYTES", "FIXED_BYTES", "OWN_BYTES", "argument_room", "needed_bytes"]

EXTRA_BYTES = 128  # BGW_EXTRALEN
OWN_BYTES = 16  # slot, generation, database and role, four bytes each

FIXED_BYTES = {
    "bool": 1, "int2": 2, "int4": 4, "int8": 8, "float4": 4, "float8": 8, "oid": 4, "date": 4, "timestamp": 8,
    "timestamptz": 8,
    **dict.fromkeys(
        ("regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc",
         "regprocedure", "regrole", "regtype"), 4),
}  # fmt: skip

_UUID_TEXT = 37  # 32 digits, four hyphens, NUL
_SHORTEST_TEXT = 8  # NUL included; anything less could not hold a useful value


def argument_room(args: Sequence[Argument]) -> tuple[int, ...] | None:
    """Bytes for each argument, a text's with its NUL; None where they do not fit."""
    if needed_bytes(args) > EXTRA_BYTES:
        return None
    room = _SHORTEST_TEXT
    while any(_size(arg, 0) == 0 for arg in args) and _total(args, room + 1) <= EXTRA_BYTES:
        room += 1
    return tuple(_size(arg, room) for arg in args)


def needed_bytes(args: Sequence[Argument]) -> int:
    """The size of the struct that holds the arguments, with texts as short as we let them be."""
    return _total(args, _SHORTEST_TEXT)


def _total(args: Sequence[Argument], room: int) -> int:
    """sizeof() by the rules of the System V ABI: each member aligned to its size, the end to eight bytes at most."""
    at = OWN_BYTES
    widest = 4
    for arg in args:
        size = _size(arg, room)
        alignment = size if _is_fixed(arg) else 1
        widest = max(widest, alignment)
        at = -(-at // alignment) * alignment + size
    return -(-(at + len(args)) // widest) * widest


def _size(arg: Argument, room: int) -> int:
    if _is_fixed(arg):
        return FIXED_BYTES[arg.type.internal]
    return _UUID_TEXT if arg.type.internal == "uuid" and not arg.type.array else room


def _is_fixed(arg: Argument) -> bool:
    return not arg.type.array and arg.type.oid is not None and arg.type.internal in FIXED_BYTES
