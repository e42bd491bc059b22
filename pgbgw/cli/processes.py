"""Several processes that consume a queue, looked after: who dies is started again, and all end together."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click
import psycopg

from pgbgw.build import StageError
from pgbgw.cli import terminal
from pgbgw.cli.queues import opened
from pgbgw.client import ClientError, Consumed, Consumer, Handle, handle_of, run, verify
from pgbgw.client.ending import Bell, hearing
from pgbgw.client.kept import connected
from pgbgw.declare.queues import Queue
from pgbgw.server.load import refused

__all__ = ["Work", "consumer_of", "leave_handlers", "look_after"]

_log = logging.getLogger("pgbgw.consume")

# A process that has died is started again after this, twice as long each time, and as at first once it has lived for a
# while, s.
_FIRST_PAUSE, _LONGEST_PAUSE, _A_WHILE = 0.5, 30.0, 60.0

# Where this package, and Python and what is installed for it stand.
_OURS = str(Path(__file__).parents[1])
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

# How long a process may take to end when its handlers have had their time, s: its last answers, and Python itself.
_LAST_WORDS = 15.0

# How long after a SIGKILL there is another one, s: a process may be waiting for a disk.
_KILLED = 5.0

_OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)

# What is said to a process by its pipe, once; it says what became of jobs.
_HURRY = "hurry"

_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Work:
    """What a process consumes, in words that travel."""

    queue: str
    handler: str
    dsn: str
    concurrency: int
    lease: float | None
    grace: float
    until_empty: bool


def consumer_of(work: Work) -> Consumer[Any]:
    """The consumer that is asked for; modules are imported.

    Raises:
        UsageError: there is no such queue or handler, or the handler can't be called.
        ClientError: jobs of the queue can't be claimed by programs, or there is no queue of that name.
    """
    called = _named(work.handler, "the handler")
    handle = _queue(work.queue, work.dsn)
    try:
        return Consumer(
            handle, called, work.dsn, concurrency=work.concurrency,
            lease=None if work.lease is None else timedelta(seconds=work.lease),
            grace=timedelta(seconds=work.grace), until_empty=work.until_empty,
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _queue(text: str, dsn: str) -> Handle[Any]:
    if ":" not in text:
        connection, handle = opened(dsn, text)
        connection.close()
        return handle
    found = _named(text, "the queue")
    if not isinstance(found, Queue):
        raise click.UsageError(f"{text} is a {type(found).__name__}, not a queue of a declaration")
    return handle_of(found)


def _named(text: str, what: str) -> Any:
    module, _, name = text.partition(":")
    if not module or not name:
        raise click.UsageError(f"{what} is not MODULE:NAME: {text}")
    imported = _imported(module, what)
    try:
        return attrgetter(name)(imported)
    except AttributeError as error:
        raise click.UsageError(f"module {module} has no {name}") from error


def _imported(module: str, what: str) -> ModuleType:
    """The module, whose own code may fail in any way while it is imported."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise click.UsageError(f"{what} can't be imported: {error}") from error
        raise click.UsageError(f"{what} can't be imported: {_where(error)}{error}") from error
    except SystemExit as error:
        raise click.UsageError(
            f"{what} can't be imported: {_where(error)}module {module} ends the program, with status {error.code}"
        ) from error
    except Exception as error:
        raise click.UsageError(
            f"{what} can't be imported: {_where(error)}{terminal.printable(_words(error), lines=True)}"
        ) from error


def _where(error: BaseException) -> str:
    """Where it was raised, with a colon behind: in the code of the application, where that can be told."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}:{error.lineno}: "
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    others = [frame for frame in frames if not frame.filename.startswith((_OURS, os.path.dirname(importlib.__file__)))]
    found = [frame for frame in others if not frame.filename.startswith(_INSTALLED)] or others
    return f"{found[-1].filename}:{found[-1].lineno}: " if found else ""


def _words(error: Exception) -> str:
    if isinstance(error, ImportError | SyntaxError):
        return error.msg
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@dataclass(slots=True)
class _Place:
    """One of the processes, or the time at which there will be one again."""

    process: SpawnProcess | None = None
    pipe: Connection | None = None
    began_at: float = 0.0
    due_at: float = 0.0
    pause: float = _FIRST_PAUSE
    done: bool = False


@dataclass(slots=True)
class _Crew:
    """All of them; the thread that runs it does nothing else."""

    work: Work
    places: list[_Place]
    total: Consumed = field(default_factory=Consumed)
    restarted: int = 0
    killed_at: float = float("inf")

    @property
    def stopping(self) -> bool:
        return self.killed_at != float("inf")

    def run(self, bell: Bell, heard: list[int]) -> None:
        """Until each has ended."""
        acted = 0
        while any(place.process is not None or not self._over(place) for place in self.places):
            now = time.monotonic()
            for place in self.places:
                if place.process is None and not self._over(place) and now >= place.due_at:
                    _start(place, self.work)
            living = [place.process.sentinel for place in self.places if place.process is not None]
            wait([bell.fileno(), *living], self._until_next())
            bell.wait(0)
            # before those are started again that have ended by the same signal
            if len(heard) > acted:
                acted = len(heard)
                self.killed_at = time.monotonic() + (self.work.grace if acted == 1 else 0) + _LAST_WORDS
                if acted > 1:
                    self._hurry()
                self._signal(signal.SIGTERM)
            for place in self.places:
                if place.process is not None and not place.process.is_alive():
                    self._ended(place)
            if time.monotonic() >= self.killed_at:
                self.killed_at = time.monotonic() + _KILLED
                self._signal(signal.SIGKILL)

    def _over(self, place: _Place) -> bool:
        """Whether no process is started there any more."""
        return place.done or self.stopping

    def _until_next(self) -> float | None:
        """How long there is nothing to do, unless a process ends or a signal comes, s."""
        times = [place.due_at for place in self.places if place.process is None and not self._over(place)]
        if self.stopping:
            times.append(self.killed_at)
        return max(min(times) - time.monotonic(), 0) if times else None

    def _signal(self, number: signal.Signals) -> None:
        for place in self.places:
            if place.process is not None and place.process.pid is not None:
                if number == signal.SIGKILL:
                    _log.warning("process %d does not end, and is killed", place.process.pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(place.process.pid, number)

    def _hurry(self) -> None:
        """End the time of handlers: by the pipe, since a signal may have come from others as well."""
        for place in self.places:
            if place.pipe is not None:
                with contextlib.suppress(OSError):
                    place.pipe.send(_HURRY)

    def _ended(self, place: _Place) -> None:
        process, pipe = place.process, place.pipe
        assert process is not None
        assert pipe is not None
        with contextlib.suppress(EOFError, OSError):
            if pipe.poll():
                told = pipe.recv()
                for each in fields(Consumed):
                    setattr(self.total, each.name, getattr(self.total, each.name) + told[each.name])
        pipe.close()
        process.join()
        code, pid = process.exitcode, process.pid
        process.close()
        place.process = place.pipe = None
        if code == 0 and self.work.until_empty:
            place.done = True
        elif not self.stopping:
            if time.monotonic() - place.began_at >= _A_WHILE:
                place.pause = _FIRST_PAUSE
            place.due_at = time.monotonic() + place.pause
            how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with status {code}"
            _log.warning("process %d has ended %s; another one is started in %.1f s", pid, how, place.pause)
            place.pause = min(place.pause * 2, _LONGEST_PAUSE)
            self.restarted += 1
        elif code not in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGKILL):
            _log.warning("process %d has ended with status %s", pid, code)


def _start(place: _Place, work: Work) -> None:
    place.pipe, theirs = _context.Pipe()
    place.process = _context.Process(target=_consume, args=(work, theirs), name="pgbgw consume")
    # Until it has a group of its own Ctrl-C is for it as well; what is held back is heard here right after. What
    # multiprocessing starts beside it would end that when it begins.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_TERMINALS)
    try:
        place.process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # the end of the pipe is seen once they have ended
    theirs.close()
    place.began_at = time.monotonic()


def look_after(work: Work, count: int) -> tuple[Consumed, int]:
    """Have so many processes consume until a signal; what became of jobs, and how many were started again.

    A process that was killed has not told what it had done. The first signal has all of them end, jobs that were not
    begun go back, and handlers may go on as long as ``grace``; a second one ends that time. When this process dies the
    others end as well.

    Raises:
        ClientError, UsageError, psycopg.Error: nothing was started, since what is asked for is not there.
    """
    checked = consumer_of(work)
    with connected(work.dsn, "pgbgw consume") as connection:
        if checked.handle.payload is not None:
            run(connection, verify(checked.handle))
    crew = _Crew(work, [_Place() for _ in range(count)])
    with Bell() as bell, hearing(bell) as heard:
        crew.run(bell, heard)
    return crew.total, crew.restarted


# in each process


def _consume(work: Work, pipe: Connection) -> None:
    """Consume, and tell at the end what became of jobs."""
    # Ctrl-C is for the process that looks after this one, which then says SIGTERM
    os.setpgid(0, 0)
    for number in _OF_TERMINALS:
        # it has begun nothing yet
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_TERMINALS)
    logging.basicConfig(format="[%(process)d] %(message)s", level=logging.INFO, stream=sys.stderr)
    with _told():
        consumer = consumer_of(work)
        # Who ends a service or a terminal signals all its processes, and so does the one that looks after this one:
        # signals are not counted here.
        with Bell() as bell, hearing(bell), _obeying(consumer, bell, pipe):
            found = consumer.run(signals=False)
            with contextlib.suppress(OSError):
                # unless nobody is there any more to look after it
                pipe.send({each.name: getattr(found, each.name) for each in fields(Consumed)})
        # it ends as it is
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        leave_handlers(consumer)


@contextlib.contextmanager
def _obeying(consumer: Consumer[Any], bell: Bell, pipe: Connection) -> Iterator[None]:
    """Stop a consumer by any signal, and when the process that looks after it has died; end its grace when told to."""
    over = threading.Event()

    def obey() -> None:
        to_read: int | None = pipe.fileno()
        while True:
            readable = bell.wait(float("inf"), to_read)
            if over.is_set():
                return
            if not readable:
                consumer.stop()
                continue
            try:
                pipe.recv()
                consumer.hurry()
            except (EOFError, OSError):
                to_read = None
                consumer.stop()

    thread = threading.Thread(target=obey, name="pgbgw orders", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        bell.ring()
        thread.join()


def leave_handlers(consumer: Consumer[Any]) -> None:
    """End this process at once if handlers still run whose time is over: Python would wait for those of
    ``asyncio.to_thread``.
    """
    if consumer.left_alone:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors as the command line tells them."""
    try:
        yield
    except (ClientError, StageError) as error:
        terminal.error(error)
        _leave()
    except psycopg.Error as error:
        terminal.error(refused(error, "the server refused"))
        _leave()
    except click.UsageError as error:
        error.show()
        _leave()


def _leave() -> NoReturn:
    sys.exit(4)
