"""What a COPY sends, received from a socket: rows in messages that end anywhere, and all other messages."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from pgbgw._core import CopyError, CopyReceiver, Held, Layout, _job, is_plain
from tests.copybinary import TRAILER, header, row

LAYOUT = Layout(["id", "body"], ["int8", "bytea"], payload=["body"])
END = [(b"c", b""), (b"C", b"COPY 3\0"), (b"Z", b"T")]


class Mine(Held):
    __slots__ = ()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def sent(*rows: bytes, others: list[tuple[bytes, bytes]] | None = None) -> bytes:
    """What a server sends for some rows, with other messages before the last of them."""
    copied = [header() + rows[0], *rows[1:]] if rows else [header()]
    said = [(b"H", b"\1\0\2\0\1\0\1"), *((b"d", each) for each in copied[:-1]), *(others or []), (b"d", copied[-1])]
    return b"".join(message(*each) for each in [*said, (b"d", TRAILER), *END])


def one(number: int, body: bytes = b"some") -> bytes:
    return row(number.to_bytes(8, "big"), body)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def receiving(pair: tuple[socket.socket, socket.socket], data: bytes, layout: Layout = LAYOUT) -> CopyReceiver:
    """A receiver of what comes from another thread, after which the other side is closed."""
    ours, theirs = pair

    def send() -> None:
        # A test may have ended before.
        with contextlib.suppress(OSError):
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()
    return CopyReceiver(ours.fileno(), layout)


def taken(receiver: CopyReceiver, form: str, most: int) -> list[list[tuple[Any, ...]]]:
    """All pieces, as lists of tuples whatever the form."""
    pieces = []
    while piece := getattr(receiver, form)(*(most, Mine)[: 2 if form == "jobs" else 1]):
        if form == "jobs":
            assert all(type(job) is Mine for job in piece)
            piece = [(job.id, job.fields()["body"]) for job in piece]
        elif form == "columns":
            piece = list(zip(piece.numpy("id").tolist(), piece.numpy("body").tolist(), strict=True))
        pieces.append(list(piece))
    return pieces


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_rows_come_in_pieces(pair: tuple[socket.socket, socket.socket], form: str, size: int) -> None:
    if form == "columns":
        pytest.importorskip("numpy")
    receiver = receiving(pair, sent(*(one(n) for n in range(4))))
    pieces = taken(receiver, form, size)
    assert [len(piece) for piece in pieces] == {1: [1] * 4, 2: [2, 2], 4: [4], 100: [4]}[size]
    assert [each for piece in pieces for each in piece] == [(n, b"some") for n in range(4)]
    assert receiver.finished
    assert not receiver.lost
    assert receiver.others() == message(b"H", b"\1\0\2\0\1\0\1") + b"".join(message(*each) for each in END)
    assert receiver.others() == b""


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
def test_there_may_be_no_rows(pair: tuple[socket.socket, socket.socket], form: str) -> None:
    receiver = receiving(pair, sent())
    assert len(getattr(receiver, form)(10)) == 0
    assert receiver.finished


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
def test_messages_may_come_byte_by_byte(pair: tuple[socket.socket, socket.socket], form: str) -> None:
    if form == "columns":
        pytest.importorskip("numpy")
    ours, theirs = pair
    data = sent(one(1), one(2, b""), one(3), others=[(b"N", b"SNOTICE\0\0")])

    def send() -> None:
        with contextlib.suppress(OSError):
            for place in range(len(data)):
                theirs.sendall(data[place : place + 1])

    threading.Thread(target=send, daemon=True).start()
    receiver = CopyReceiver(ours.fileno(), LAYOUT)
    assert taken(receiver, form, 2) == [[(1, b"some"), (2, b"")], [(3, b"some")]]
    assert message(b"N", b"SNOTICE\0\0") in receiver.others()


def test_jobs_lie_where_nothing_is_received_any_more(pair: tuple[socket.socket, socket.socket]) -> None:
    """Some megabytes, in rows of which some are larger than what is received at once; a few jobs are kept."""
    bodies = [bytes([n % 251]) * (997 * n % 60_000 if n % 90 else 700_000) for n in range(600)]
    receiver = receiving(pair, sent(*(one(n, body) for n, body in enumerate(bodies))))
    kept = []
    while piece := receiver.jobs(50, Mine):
        kept += piece[::7]
    assert len(kept) > 80
    for job in kept:
        assert bytes(job.raw("body") or b"") == bodies[job.id]
        assert _job(LAYOUT, job.row_bytes(), Mine).fields() == {"body": bodies[job.id]}


def test_the_rest_can_be_dropped(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = receiving(pair, sent(*(one(n, b"x" * 1000) for n in range(2000)), others=[(b"A", b"1234a\0b\0")]))
    assert len(receiver.tuples(3)) == 3
    receiver.drain()
    assert receiver.finished
    assert message(b"A", b"1234a\0b\0") in receiver.others()
    assert receiver.tuples(3) == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (message(b"d", b"PGCOPY"), "signature"),
        (message(b"d", header(flags=1) + one(1)), "flags or an extension"),
        (message(b"d", header(extension=b"x") + one(1)), "flags or an extension"),
        (sent(row(bytes(8))), "1 fields instead of 2"),
        (sent(one(1), row(bytes(7), b"")), 'row 2, column 1: "id" int8: length 7'),
        (sent(one(1)[:-1]), "row 1: the row is cut off"),
        (sent(one(1) + b"more"), "row 1: 4 bytes follow the row"),
        (sent(one(1), TRAILER, one(2)), "bytes follow the trailer"),
        (b"d\0\0\0\3", "a length of 3 bytes"),
        (b"d\x7f\0\0\0", "a length of 2130706432 bytes"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
def test_what_is_no_row_is_told(pair: tuple[socket.socket, socket.socket], data: bytes, error: str, form: str) -> None:
    receiver = receiving(pair, data)
    with pytest.raises(CopyError, match=error):
        getattr(receiver, form)(10)
    receiver.drain()
    assert receiver.finished
    assert receiver.lost is (b"Z" not in data)


@pytest.mark.parametrize("cut", [0, 1, 4, 30, 60])
def test_a_connection_may_be_lost_anywhere(pair: tuple[socket.socket, socket.socket], cut: int) -> None:
    receiver = receiving(pair, sent(one(1), one(2))[:cut])
    taken(receiver, "tuples", 1)
    assert (receiver.finished, receiver.lost) == (True, True)


def test_what_follows_the_end_is_kept(pair: tuple[socket.socket, socket.socket]) -> None:
    """A server that ends the session says why, and may have said half of it so far."""
    last = message(b"E", b"SFATAL\0C57P01\0Mended\0\0") + b"d\0\0"
    receiver = receiving(pair, sent(one(1), one(2)) + last)
    assert taken(receiver, "tuples", 10) == [[(1, b"some"), (2, b"some")]]
    with pair[0].makefile("rb") as rest:
        assert (receiver.others() + rest.read()).endswith(message(b"Z", b"T") + last)
    assert not receiver.lost
    assert receiver.tuples(10) == []


@pytest.mark.parametrize("form", ["jobs", "tuples", "columns"])
def test_rows_are_counted_up_to_the_one_at_fault(pair: tuple[socket.socket, socket.socket], form: str) -> None:
    receiver = receiving(pair, sent(one(1), one(2), one(3)[:-1]))
    with pytest.raises(CopyError) as caught:
        getattr(receiver, form)(10)
    assert caught.value.row == 3


@pytest.mark.parametrize(("form", "kind"), [("tuples", "text"), ("columns", "jsonb")])
def test_a_value_at_fault_is_told_by_its_row(pair: tuple[socket.socket, socket.socket], form: str, kind: str) -> None:
    layout = Layout(["word"], [kind])
    receiver = receiving(pair, sent(row(b"\1a"), row(b"\1b"), row(b"\1\xff"), row(b"\1c")), layout)
    assert len(getattr(receiver, form)(1)) == 1
    with pytest.raises(CopyError, match="row 3, column 1") as caught:
        getattr(receiver, form)(10)
    assert (caught.value.row, caught.value.column) == (3, 1)


def test_a_length_is_believed_when_its_bytes_come() -> None:
    """In pieces, as they come over a network: each of them is received by itself from such a socket (unix(7))."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            theirs.sendall(b"d\x3f\xff\xff\xff")
            for _ in range(50):
                theirs.sendall(bytes(100))
        receiver = CopyReceiver(ours.fileno(), LAYOUT)
        tracemalloc.start()
        try:
            assert receiver.tuples(1) == []
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
    assert receiver.lost


def test_a_length_that_nothing_has_is_told_once(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = receiving(pair, sent(one(1), others=[(b"N", b"SNOTICE\0\0")])[:-6] + b"N\0\0\0\0more")
    with pytest.raises(CopyError, match="a length of 0 bytes"):
        receiver.drain()
    assert (receiver.finished, receiver.lost) == (True, True)
    receiver.drain()
    assert receiver.tuples(1) == []
    assert receiver.others().endswith(message(b"C", b"COPY 3\0"))


def test_a_receiver_at_work_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    """A signal's handler comes back to one that waits, and is told; it sends what is waited for then."""
    ours, theirs = pair
    receiver = CopyReceiver(ours.fileno(), LAYOUT)
    told: list[str] = []

    def come_back(number: int, frame: object) -> None:
        try:
            receiver.tuples(0)
        except RuntimeError as error:
            if not told:
                theirs.sendall(sent(one(1)))
            told.append(str(error))

    before = signal.signal(signal.SIGALRM, come_back)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        assert receiver.tuples(10) == [(1, b"some")]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert told[0] == "the receiver is at work already"


def test_a_server_that_never_ends_can_be_left(pair: tuple[socket.socket, socket.socket]) -> None:
    """There is always more to receive, so that nobody ever waits."""
    ours, theirs = pair

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                theirs.sendall(message(b"d", bytes(9000)) * 100)

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    sender = threading.Thread(target=send, daemon=True)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        sender.start()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError):
            CopyReceiver(ours.fileno(), LAYOUT).drain()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        theirs.shutdown(socket.SHUT_RDWR)
        sender.join()


_SCARCE = """
import resource, socket, threading
from pgbgw._core import CopyReceiver, Layout
ours, theirs = socket.socketpair()
receiver = CopyReceiver(ours.fileno(), Layout(None, ["bytea"]))
def send():
    theirs.sendall(b"d\\x3f\\xff\\xff\\xff")
    for _ in range(200):
        theirs.sendall(bytes(1 << 20))
thread = threading.Thread(target=send, daemon=True)
thread.start()
with open("/proc/self/statm") as told:
    used = int(told.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), used + (48 << 20)))
for read in (lambda: receiver.tuples(1), receiver.drain, lambda: receiver.jobs(1)):
    try:
        read()
    except MemoryError:
        print("told")
"""


def test_a_lack_of_memory_is_told_each_time() -> None:
    """In a process of its own, which is given little."""
    ran = subprocess.run([sys.executable, "-c", _SCARCE], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "told\n" * 3), ran.stderr


def test_what_was_not_made_ready_is_refused() -> None:
    receiver = CopyReceiver.__new__(CopyReceiver)
    for call in (receiver.drain, lambda: receiver.jobs(1), lambda: receiver.tuples(1), lambda: receiver.columns(1)):
        with pytest.raises(TypeError, match="not initialised"):
            call()
    with pytest.raises(TypeError, match="not initialised"):
        CopyReceiver(0, Layout.__new__(Layout))
    again: Any = CopyReceiver(0, LAYOUT)
    with pytest.raises(TypeError, match="for one stream"):
        again.__init__(0, LAYOUT)


def test_only_connections_of_psycopg_are_known_to_be_plain() -> None:
    assert is_plain(object()) is False
