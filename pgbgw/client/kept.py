"""A connection of a consumer's own, which is made again when it is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgbgw.client.ending import Ending

__all__ = ["Kept", "Stopped", "connected"]

T = TypeVar("T")

_log = logging.getLogger("pgbgw.client")

# How long a connection that was lost is waited for at first, and at most, s.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

# What a program leaves to libpq is meant for somebody who looks on: without these a network that drops everything is
# noticed after two hours, and a host that does not answer after two minutes (libpq, "Parameter Key Words").
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# Of what psycopg has in the class of lost connections the server says only this of itself, and the rest of a statement:
# that it took too long, waited for a lock, or wanted more memory than there was (appendix "PostgreSQL Error Codes").
_SAYS_SO_WHEN_AWAY = ("08", "57P")

# A server that was promoted or demoted says so with an error of another class than those of lost connections.
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)


class Stopped(Exception):
    """There is no more time to wait for a server."""


def connected(conninfo: str, who: str) -> psycopg.Connection[Any]:
    """A connection in autocommit that notices when nobody is at the other end; ``who`` is its application_name.

    Raises:
        psycopg.OperationalError: the server can't be reached.
    """
    given = conninfo_to_dict(conninfo)
    options: dict[str, Any] = {name: value for name, value in _PATIENCE.items() if name not in given}
    if "PGCONNECT_TIMEOUT" in os.environ:
        options.pop("connect_timeout", None)
    # errors of handlers have any characters, whatever encoding the environment asks for
    return psycopg.connect(conninfo, autocommit=True, application_name=who[:63], client_encoding="utf8", **options)


class Kept:
    """A connection that is waited for, longer each time, while the server is away; used by one thread.

    ``patient`` is whether it is waited for after ``stop`` as well, as long as handlers may go on.
    """

    def __init__(self, conninfo: str, who: str, queue: str, ending: Ending, *, patient: bool) -> None:
        self.patient = patient
        self.connection: psycopg.Connection[Any] | None = None
        self._conninfo = conninfo
        self._who = who
        self._queue = queue
        self._ending = ending

    def ask(self, question: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Ask the server, again and again while it is away.

        A question may have reached the server although the answer did not come: it is asked again then as well.

        Raises:
            Stopped: it is away, and the time after ``stop`` is over.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                if self.connection is None:
                    self.connection = connected(self._conninfo, self._who)
                return question(self.connection)
            except _AWAY as error:
                self.close()
                if self._ending.left <= pause or (self._ending.stopped and not self.patient):
                    raise Stopped from error
                what = "is away" if _is_away(error) else "has refused"
                _log.warning("queue %s: the server %s, trying again in %.1f s: %s", self._queue, what, pause, error)
            jittered = pause * (0.75 + random.random() / 4)
            if self._ending.stopped:
                time.sleep(jittered)
            else:
                self._ending.wait(jittered)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def cut(self) -> None:
        """Have the thread that waits for an answer find the connection closed; called by another thread."""
        connection = self.connection
        if connection is None or connection.closed:
            return
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as same,
        ):
            same.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next question makes another one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _is_away(error: psycopg.Error) -> bool:
    """Whether there was no answer of a server, or that of one that goes or comes."""
    return error.sqlstate is None or error.sqlstate.startswith(_SAYS_SO_WHEN_AWAY)
