"""Answers that are in a connection's socket before it asks: what a client does itself, without anybody to wait for."""

from __future__ import annotations

import os
import socket
import struct

import psycopg

from bench.clients import READY

__all__ = ["Answers", "answer_to", "bound"]


class Answers:
    """Stands at the other end of a connection until it is closed, with so many equal answers given beforehand.

    Each is a message that is read by itself, as from a server that says no more until it is asked (unix(7),
    SOCK_SEQPACKET).
    """

    def __init__(self, number: int, answer: bytes, count: int) -> None:
        """Take the place of the server at the socket of that number."""
        self._number = number
        self._real = os.dup(number)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        for _ in range(count):
            self._ours.send(answer)
        theirs.setblocking(os.get_blocking(number))
        os.dup2(theirs.fileno(), number)
        theirs.close()

    def close(self) -> None:
        """Let the connection have its server again."""
        os.dup2(self._real, self._number)
        os.close(self._real)
        self._ours.close()


def answer_to(conninfo: str, statement: bytes, *values: bytes) -> bytes:
    """What the server answers to a prepared statement, described and executed, with values in binary."""
    with psycopg.connect(conninfo, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(b"PREPARE asked AS " + statement)
        with socket.socket(fileno=os.dup(connection.fileno())) as plug:
            os.set_blocking(plug.fileno(), True)
            plug.sendall(bound(b"asked", *values, described=True))
            answer = b""
            while not answer.endswith(READY):
                answer += plug.recv(1 << 16)
    return answer


def bound(name: bytes, *values: bytes, described: bool = False) -> bytes:
    """Bind in binary, Execute and Sync ("Message Formats" in the chapter on the protocol); or also Describe."""
    given = b"".join(struct.pack("!i", len(each)) + each for each in values)
    bind = b"\0" + name + b"\0" + struct.pack("!hhh", 1, 1, len(values)) + given + struct.pack("!hh", 1, 1)
    describe = ((b"D", b"P\0"),) if described else ()
    messages = ((b"B", bind), *describe, (b"E", b"\0" + bytes(4)), (b"S", b""))
    return b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages)
