"""Results of libpq, made by hand or received from a server that sends what it likes: by pointer and through psycopg all
readers say the same, or refuse it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from psycopg import pq

from pgbgw._core import (
    CopyDecoder,
    CopyError,
    JobDecoder,
    Layout,
    result_columns,
    result_jobs,
    result_layout,
    result_tuples,
    transport,
)
from tests.fuzz.decoder import check_jobs
from tests.fuzz.draw import UNKNOWN, Draw, damaged, fields, layout, stream, types_of
from tests.fuzz.exported import check_columns
from tests.fuzz.hostile import MOST, Server, message
from tests.pgresults import BINARY, TEXT, Slow, make_result

__all__ = ["check"]

_SERVER = Server()


def check(data: bytes) -> None:
    """Read one result, or what a query has come to."""
    draw = Draw(data)
    wanted = layout(draw)
    columns = _columns(draw, wanted)
    how = draw.below(4)
    if how == 0:
        _receive_rows(draw, wanted, columns)
    elif how == 1:
        _receive_copy(draw, wanted)
    else:
        rows = fields(draw, types_of(wanted))
        status = pq.ExecStatus.COMMAND_OK if draw.chance(32) else pq.ExecStatus.TUPLES_OK
        made = make_result([(name, oid) for name, oid, _ in columns], rows, [form for *_, form in columns], status)
        _read(draw, made, wanted)


Described = list[tuple[str, int, int]]
"""Columns as a server describes them: name, OID of the type, format."""


def _columns(draw: Draw, wanted: Layout) -> Described:
    """Mostly those of the layout; otherwise as when a type has changed, or one is missing."""
    names = wanted.names or ()
    told = [(name, oid, BINARY) for name, oid in zip(names, wanted.types, strict=True)]
    for number, (name, oid, _) in enumerate(told):
        if draw.chance(16):
            told[number] = (name, draw.pick([0, 16400, 2**32 - 1, 25, 20, 1043, UNKNOWN, draw.pick(wanted.types)]), 1)
        elif draw.chance(16):
            told[number] = (name, oid, draw.pick([TEXT, TEXT, 7]))
    if draw.chance(32):
        told.append(draw.pick(told))
    return told


def _outcome(read: Callable[[], Any]) -> str:
    """What was read, or what is wrong."""
    try:
        return repr(read())
    except CopyError as error:
        return f"row {error.row}, column {error.column}"


def _read(draw: Draw, result: Any, wanted: Layout) -> None:
    """Read a result in every way and by both transports, then clear it."""
    assert transport() == "libpq"
    layouts: list[Layout | None] = [wanted, None]
    with suppress(CopyError):
        layouts[1] = result_layout(result, json=draw.pick(["str", "bytes"]), names=False)
    for found in layouts:
        fast, slow = (_outcome(lambda r=r, f=found: result_tuples(r, f)) for r in (result, Slow(result)))  # type: ignore[misc]
        assert fast == slow
    rows: list[tuple[Any, ...]] | None = None
    with suppress(CopyError):
        rows = result_tuples(result, wanted)
    try:
        jobs, slowly = result_jobs(result, wanted), result_jobs(Slow(result), wanted)
        columns = None
        with suppress(CopyError):
            columns = result_columns(Slow(result) if draw.below(2) else result, wanted)
    except CopyError:
        assert rows is None
        return
    # Both are of no use to who has the rows.
    result.clear()
    for made in (jobs, slowly):
        faults = check_jobs(draw, made, rows)
        assert (faults == 0) == (rows is not None)
    if columns is not None:
        check_columns(columns, rows)
    assert "no rows" in _refusal(lambda: result_tuples(result, wanted)), "a cleared result has none"


def _refusal(read: Callable[[], object]) -> str:
    try:
        return repr(read())
    except CopyError as error:
        return str(error)


def _receive_rows(draw: Draw, wanted: Layout, columns: Described) -> None:
    described = struct.pack(">h", len(columns)) + b"".join(
        name.encode() + b"\0" + struct.pack(">IhIhih", 0, 0, oid, -1, -1, form) for name, oid, form in columns
    )
    messages = [("T", described)]
    messages += [("D", _row(values)) for values in fields(draw, types_of(wanted))]
    messages.append(("C", b"SELECT 1\0"))
    for result in _SERVER.answers(_sent(draw, messages)):
        if result.status == pq.ExecStatus.TUPLES_OK:
            _read(draw, result, wanted)


def _row(values: Sequence[bytes | None]) -> bytes:
    sent = [b"\xff\xff\xff\xff" if value is None else struct.pack(">i", len(value)) + value for value in values]
    return struct.pack(">h", len(values)) + b"".join(sent)


def _receive_copy(draw: Draw, wanted: Layout) -> None:
    # No more of it is sent; and of megabytes in pieces of a byte there would be no end.
    sent = stream(draw, types_of(wanted))[:MOST]
    messages = [("H", struct.pack(">bhh", 1, 1, 1))]
    place = 0
    while place < len(sent):
        size = 1 + draw.below(64)
        messages.append(("d", sent[place : place + size]))
        place += size
    messages += [("c", b""), ("C", b"COPY 1\0")]
    pieces = _SERVER.copied(_sent(draw, messages))
    jobs: list[Any] = []
    tuples, decoder = CopyDecoder(wanted), JobDecoder(wanted)
    with suppress(CopyError):
        for piece in pieces:
            jobs += decoder.feed(piece)
        decoder.close()
    check_jobs(draw, jobs, None)
    with suppress(CopyError):
        for piece in pieces:
            tuples.feed(piece)
        tuples.close()


def _sent(draw: Draw, messages: list[tuple[str, bytes]]) -> bytes:
    """The messages as bytes. What stands in one may be damaged, and the last may be cut off, but their lengths are
    right: where they are not it is libpq that makes room for up to a GB.
    """
    if draw.chance(4):
        number = draw.below(len(messages))
        messages[number] = (messages[number][0], damaged(draw, messages[number][1]))
    if draw.chance(8):
        del messages[draw.below(len(messages))]
    if draw.chance(8):
        messages.insert(draw.below(len(messages) + 1), ("E", b"SERROR\0VERROR\0C57014\0Mcanceled\0\0"))
    sent = b"".join(message(kind, body) for kind, body in [*messages, ("Z", b"I")])
    return sent[: draw.below(len(sent))] if draw.chance(8) else sent
