"""How a consumer ends: when it was told to, until when its handlers may go on, and by which signals."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Bell", "Ending", "hearing"]

# The longest that poll() and Event.wait() are asked for, s: some weeks are too long for them. Who waits looks again.
_LONGEST_WAIT = 86_400.0


class Bell:
    """Wakes a thread that waits for file descriptors; it hangs while the block lasts that it is the context of.

    A signal handler may ring it, and so may who comes too early or too late.
    """

    def __init__(self) -> None:
        self._heard: socket.socket | None = None
        self._rung: socket.socket | None = None

    def __enter__(self) -> Bell:
        # sockets know that they are closed; the number of a pipe would be that of another file by then
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)
        return self

    def __exit__(self, *raised: object) -> None:
        for each in (self._heard, self._rung):
            if each is not None:
                each.close()

    def ring(self) -> None:
        """End the wait that goes on, or the next one."""
        with contextlib.suppress(OSError):
            if self._rung is not None:
                self._rung.send(b"x")

    def fileno(self) -> int:
        """What can be read once it has rung, for who waits for other things as well."""
        assert self._heard is not None
        return self._heard.fileno()

    def wait(self, timeout: float, also: int | None = None) -> bool:
        """Wait until it rings, or the file descriptor ``also`` can be read, s; whether ``also`` can be."""
        assert self._heard is not None
        # poll() has no highest number of a file, as select() has
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        if also is not None:
            poll.register(also, select.POLLIN)
        found = {number for number, _ in poll.poll(min(max(timeout, 0), _LONGEST_WAIT) * 1000)}
        if self._heard.fileno() in found:
            with contextlib.suppress(BlockingIOError):
                self._heard.recv(4096)
        return also in found


class Ending:
    """Whether a consumer was stopped, and how long what goes on may go on, ``grace`` seconds after that."""

    def __init__(self, grace: float) -> None:
        self.fault: BaseException | None = None
        self._grace = grace
        self._stopped = threading.Event()
        self._deadline = float("inf")
        self._told: list[Callable[[], None]] = []

    @property
    def stopped(self) -> bool:
        """Whether nothing new is begun."""
        return self._stopped.is_set()

    @property
    def left(self) -> float:
        """How long handlers may still go on, s: infinite until it is stopped, and 0 at the end."""
        return self.left_and(0.0)

    def left_and(self, more: float) -> float:
        """How long it is until so many seconds after the end."""
        return max(self._deadline + more - time.monotonic(), 0.0)

    def tell(self, told: Callable[[], None]) -> None:
        """Call a function whenever it is stopped, in the thread that does so."""
        self._told.append(told)

    def stop(self) -> None:
        """Begin nothing new. May be called again, by any thread, and by no signal handler."""
        if not self._stopped.is_set():
            self._deadline = min(self._deadline, time.monotonic() + self._grace)
            self._stopped.set()
        for each in self._told:
            each()

    def hurry(self) -> None:
        """End the time for handlers."""
        self._deadline = min(self._deadline, time.monotonic())
        self.stop()

    def failed(self, error: BaseException) -> None:
        """Stop for an error that ``run`` raises at the end; the first of several."""
        self.fault = self.fault or error
        self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is stopped; whether it is."""
        return self._stopped.wait(None if timeout is None else min(timeout, _LONGEST_WAIT))


@contextlib.contextmanager
def hearing(bell: Bell) -> Iterator[list[int]]:
    """Collect SIGTERM, SIGINT and SIGHUP in a list, and ring for each; in the main thread, which handles signals.

    The handler does no more, since it may interrupt the thread while that holds any lock. SIGHUP stays ignored where
    it is, as under nohup, and is never a second one: both a shell and the kernel send it when a terminal closes.
    """
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP or not heard:
            heard.append(number)
        bell.ring()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            # None: it was set by something that is not Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
