"""The extension of ``declarations/post.py`` on a server, and what tests of the client do with its queue of mails."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from pgbgw.build.pgconfig import Pg
from pgbgw.client import Consumer, handle_of
from tests.server.declarations import post as declared
from tests.server.running import Server, module_of, serving

__all__ = ["FOLDER", "SEEN", "Mail", "clear", "conninfo", "consuming", "declared", "left", "mail", "note", "pid_of",
           "post_server", "put"]  # fmt: skip

FOLDER = Path(__file__).parent / "declarations"

Mail = declared.Mail
mail = declared.mail

SEEN: list[str] = []


@contextlib.contextmanager
def post_server(pg: Pg) -> Iterator[Server]:
    """A server with the extension."""
    setup = (FOLDER / "post.sql").read_text()
    with serving(pg, module_of(FOLDER / "post.py"), setup) as server:
        yield server


def clear(server: Server) -> None:
    """Leave no jobs to the next test."""
    for table in (
        "mail",
        "mail_later",
        "mail_failed",
        "mail_running",
        "mail_keys",
        "mail_done",
        "anything",
        "brief",
        "brief_running",
    ):
        server.rows(f"DELETE FROM post.{table}")
    SEEN.clear()


def left(server: Server) -> Counter[str]:
    """How many jobs there are by status."""
    return Counter(row[0] for row in server.rows("SELECT status FROM post.mail_jobs"))


def conninfo(server: Server) -> str:
    """Where it is, for a client."""
    return server.cluster.conninfo("postgres")


def note(payload: Any) -> None:
    """A handler that is quick."""
    SEEN.append(payload.address)


def pid_of(payload: Any) -> None:
    """A handler that notes in the server which process has run it."""
    with psycopg.connect(payload.body, autocommit=True) as connection:
        connection.execute("SELECT pg_notify('pids', %s)", [str(os.getpid())])


def put(server: Server, count: int) -> None:
    """Put mails in, addressed by number."""
    with server.connect() as connection:
        mail.enqueue_many(connection, (Mail(address=str(n), body=None) for n in range(count)))


def consuming(server: Server, handler: Callable[..., Any], **options: Any) -> tuple[Consumer[Any], threading.Thread]:
    """A consumer in a thread of its own."""
    consumer = Consumer(handle_of(mail), handler, conninfo(server), **options)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    return consumer, thread
