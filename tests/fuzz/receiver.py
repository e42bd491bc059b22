"""A socket at whose other end a server says what it likes during a COPY: rows are those of the messages, the first one
that is none is refused, and all else is there as it came.

The server has said everything before anybody listens, so nobody waits for it. What it has said arrives at once or in
pieces: a socket of the kind SEQPACKET gives them one at a time (unix(7)).
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeAlias

from pgbgw._core import Columns, CopyError, CopyReceiver, Held, Job, Layout, copy_columns, copy_jobs, decode_copy
from tests.copybinary import TRAILER, header, row, stream
from tests.fuzz.decoder import check_jobs
from tests.fuzz.draw import Draw, damaged, fields, layout, types_of
from tests.fuzz.exported import check_columns
from tests.fuzz.hostile import message

__all__ = ["check"]

# A socket holds about 200 kB, with what the kernel needs for each piece.
_MOST = 60_000
_PIECES = 150

# The core of the fuzzers has room for so much whenever it receives (building.py).
_LARGEST_PIECE = 64

# PGBGW_MAX_SIZE, core/wire.h.
_LONGEST = 0x3FFFFFFF

_READY = message("Z", b"T")
_SAID = [
    message("N", b"SNOTICE\0VNOTICE\0C00000\0Mwell\0\0"),
    message("N", b"SNOTICE\0VNOTICE\0C00000\0M" + b"x" * 900 + b"\0\0"),
    message("S", b"TimeZone\0UTC\0"),
    message("A", struct.pack(">i", 7) + b"channel\0payload\0"),
    message("E", b"SERROR\0VERROR\0C57014\0Mcanceled\0\0"),
    message("c", b""),
    message("C", b"COPY 2\0"),
    message("H", struct.pack(">bhh", 1, 1, 1)),
    message("d", b""),
    message("d", TRAILER),
    message("d", header()),
    message("D", b"\0\0"),
    message("\0", b""),
    b"\xff\0\0\0\7any",
    _READY,
]


class Mine(Held):
    """A job as the client has them."""

    __slots__ = ()


Values: TypeAlias = list[tuple[Any, ...] | None]
"""Rows; None is one with a value that is none of its type."""

# Jobs of inputs before, which must go on saying what they said when others of their chunk are gone.
_kept: deque[tuple[Mine, bytes]] = deque(maxlen=50)


def check(data: bytes) -> None:
    """Receive what one server says, in one form."""
    draw = Draw(data)
    wanted = layout(draw)
    said = _said(draw, wanted)
    form = draw.pick(["jobs", "held", "tuples", "columns"])
    most = draw.pick([1, 2, 3, 5, 1000])
    kind = draw.pick([socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours:
        with theirs:
            said = _send(draw, theirs, said) if kind == socket.SOCK_SEQPACKET else _send_at_once(theirs, said)
            if kind == socket.SOCK_STREAM and draw.chance(16):
                # Something that nobody reads: the connection is reset then.
                ours.send(b"x")
        expected = _expected(said, wanted)
        receiver = CopyReceiver(ours.fileno(), wanted)
        _receive(draw, receiver, wanted, expected, form, most)
        others = receiver.others()
        assert receiver.others() == b""
        if not receiver.lost:
            others += _rest(ours)
        assert others == expected.others, "what is no row is not there as it came"


# What the server says


def _said(draw: Draw, wanted: Layout) -> bytes:
    messages = [message("H", struct.pack(">bhh", 1, 1, 1)), *_rows(draw, wanted)]
    messages += [message("c", b""), message("C", b"COPY 2\0"), _READY]
    for _ in range(draw.pick([0, 1, 1, 4])):
        messages.insert(draw.below(len(messages) + 1), draw.pick(_SAID))
    if draw.chance(8):
        del messages[draw.below(len(messages))]
    if draw.chance(8):
        number = draw.below(len(messages))
        messages[number] = _lying(draw, messages[number])
    if draw.chance(8):
        number = draw.below(len(messages))
        messages.append(messages.pop(number))
    said = b"".join(messages)
    if draw.chance(8):
        said = damaged(draw, said)
    return said[: draw.below(len(said) + 1)] if draw.chance(4) else said


def _rows(draw: Draw, wanted: Layout) -> list[bytes]:
    """CopyData as a server sends it, a row in each, the header before the first; or nearly so."""
    rows = [row(*values) for values in fields(draw, types_of(wanted))]
    if rows and draw.chance(4):
        number = draw.below(len(rows))
        rows[number] = damaged(draw, rows[number])
    if rows and draw.chance(16):
        number = draw.below(len(rows))
        rows[number] *= 2
    begin = header(draw.signed(32) & 0xFFFFFFFF, draw.raw(3)) if draw.chance(16) else header()
    copied = [*rows, TRAILER]
    if draw.chance(4):
        copied.insert(0, begin)
    else:
        copied[0] = begin + copied[0]
    if draw.chance(16):
        copied[-2:] = [b"".join(copied[-2:])]
    return [message("d", each) for each in copied]


def _lying(draw: Draw, said: bytes) -> bytes:
    """A message that tells another length than it has."""
    length = len(said) - 1 + draw.pick([-1, 1, 4, -4, 5, 300]) if draw.below(2) else draw.signed(32)
    return said[:1] + struct.pack(">I", length & 0xFFFFFFFF) + said[5:]


def _send_at_once(theirs: socket.socket, said: bytes) -> bytes:
    said = said[:_MOST]
    theirs.sendall(said)
    return said


def _send(draw: Draw, theirs: socket.socket, said: bytes) -> bytes:
    """Send pieces of a few sizes, and give what was sent."""
    place = 0
    sizes = cycle([1 + draw.below(_LARGEST_PIECE) for _ in range(1 + draw.below(4))])
    for size in (next(sizes) for _ in range(_PIECES)):
        piece = said[place : place + size]
        if not piece:
            break
        theirs.sendall(piece)
        place += len(piece)
    return said[:place]


def _rest(ours: socket.socket) -> bytes:
    """What nobody has received."""
    found = b""
    with suppress(ConnectionResetError):
        while piece := ours.recv(1 << 16):
            found += piece
    return found


# What is expected


@dataclass(slots=True)
class Expected:
    """What a server has said, message by message."""

    rows: list[bytes] = field(default_factory=list)
    """Those before the first fault, each as it is in a stream."""
    fault: bool = False
    others: bytes = b""
    """Messages that are no rows, and all that follows the end."""
    lied: bool = False
    lost: bool = True


def _expected(said: bytes, wanted: Layout) -> Expected:
    found = Expected()
    headed = trailed = False
    place = 0
    while len(said) - place >= 5:
        length = int.from_bytes(said[place + 1 : place + 5], "big")
        if not 4 <= length <= _LONGEST:
            found.fault = found.lied = True
            break
        if place + 1 + length > len(said):
            break
        kind, body = said[place : place + 1], said[place + 5 : place + 1 + length]
        if kind == b"Z":
            found.others += said[place:]
            found.lost = False
            break
        if kind != b"d":
            found.others += said[place : place + 1 + length]
        elif not found.fault:
            if not headed:
                found.fault = not body.startswith(header())
                headed, body = True, body[len(header()) :]
                if not body:
                    place += 1 + length
                    continue
            if trailed:
                found.fault = True
            elif body == TRAILER:
                trailed = True
            elif not found.fault and _is_row(body, wanted):
                found.rows.append(body)
            else:
                found.fault = True
        place += 1 + length
    return found


def _is_row(body: bytes, wanted: Layout) -> bool:
    try:
        return len(copy_jobs(stream(body), wanted)) == 1
    except CopyError:
        return False


def _tuple(body: bytes, wanted: Layout) -> tuple[Any, ...] | None:
    try:
        return decode_copy(stream(body), wanted)[0]
    except CopyError:
        return None


def _fills(body: bytes, wanted: Layout) -> bool:
    """Whether columns hold the values of a row."""
    try:
        return len(copy_columns(stream(body), wanted)) == 1
    except CopyError:
        return False


# What is received


def _receive(draw: Draw, receiver: CopyReceiver, wanted: Layout, expected: Expected, form: str, most: int) -> None:
    """Read some pieces or all, and drop the rest."""
    values = [_tuple(body, wanted) for body in expected.rows]
    good, fault = len(values), expected.fault
    makes = {
        "tuples": [value is not None for value in values],
        "columns": [_fills(body, wanted) for body in expected.rows],
    }
    if not all(makes.get(form, [])):
        good, fault = makes[form].index(False), True
    count, left = 0, draw.below(3) if draw.chance(8) else -1
    while left != 0:
        try:
            piece = _piece(receiver, form, most)
        except CopyError as error:
            assert fault, error
            assert count == good - good % most, "there was another row before the fault"
            # All rows of a piece are looked at before columns are made of them.
            assert error.row in (None, good + 1, len(values) + 1 if form == "columns" else None)
            break
        size = len(piece)
        assert size == most or (size < most and receiver.finished), "there were less, and more may come"
        if size == 0:
            assert not fault
            assert count == good, "rows are missing"
            break
        _check_piece(draw, piece, expected.rows[count:][:size], values[count:][:size])
        count += size
        left -= 1
    try:
        receiver.drain()
    except CopyError as error:
        assert expected.lied, error
    assert receiver.finished
    assert receiver.lost == expected.lost
    assert not any(_piece(receiver, each, most) for each in ("jobs", "held", "tuples", "columns")), "there is more"


def _piece(receiver: CopyReceiver, form: str, most: int) -> list[Job] | list[Mine] | list[tuple[Any, ...]] | Columns:
    match form:
        case "jobs":
            return receiver.jobs(most)
        case "held":
            return receiver.jobs(most, Mine)
        case "tuples":
            return receiver.tuples(most)
        case _:
            return receiver.columns(most)


def _check_piece(draw: Draw, piece: Any, rows: list[bytes], values: Values) -> None:
    """Hold a piece against the rows that it should have, as they were sent and as tuples."""
    assert len(piece) == len(rows), "there are rows that nobody has sent"
    whole = [each for each in values if each is not None]
    readable = whole if len(whole) == len(values) else None
    if isinstance(piece, Columns):
        check_columns(piece, readable)
    elif isinstance(piece[0], Job):
        faults = check_jobs(draw, piece, readable)
        assert (faults == 0) == (readable is not None)
    elif isinstance(piece[0], Mine):
        assert [job.row_bytes() for job in piece] == rows
        if len(_kept) == _kept.maxlen:
            job, body = _kept.popleft()
            assert job.row_bytes() == body, "a job has changed"
        number = draw.below(len(piece))
        _kept.append((piece[number], rows[number]))
    else:
        assert repr(piece) == repr(values)
