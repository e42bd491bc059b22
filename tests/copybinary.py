"""An encoder of COPY BINARY, written from the reference page of COPY, to hold the decoder against."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
TRAILER = b"\xff\xff"

_FIXED = {"int2": ">h", "int4": ">i", "int8": ">q", "bool": ">?", "float8": ">d"}
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def header(flags: int = 0, extension: bytes = b"") -> bytes:
    """The signature, the flags and the header's extension with its length."""
    return SIGNATURE + struct.pack(">II", flags, len(extension)) + extension


def field(data: bytes | None) -> bytes:
    """The length of a value and its bytes; None is NULL."""
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def row(*fields: bytes | None) -> bytes:
    """A row of values that are encoded already."""
    return struct.pack(">h", len(fields)) + b"".join(map(field, fields))


def stream(*rows: bytes) -> bytes:
    """A whole stream of encoded rows."""
    return header() + b"".join(rows) + TRAILER


def value(kind: str, content: object) -> bytes | None:
    """One value as its type's send function writes it; jsonb takes the JSON text."""
    if content is None:
        return None
    if kind in _FIXED:
        return struct.pack(_FIXED[kind], content)
    if isinstance(content, datetime):
        return struct.pack(">q", (content - _EPOCH) // timedelta(microseconds=1))
    text = str(content).encode()
    return b"\x01" + text if kind == "jsonb" else text


def rows(kinds: Sequence[str], contents: Iterable[Sequence[object]]) -> bytes:
    """A whole stream of rows of Python values."""
    return stream(*(row(*(value(kind, item) for kind, item in zip(kinds, items, strict=True))) for items in contents))
