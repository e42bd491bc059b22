"""``pgbgw consume``: a consumer from the command line."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from pgbgw.cli import options, terminal
from pgbgw.cli.queues import dsn_option, opened, the_dsn
from pgbgw.client import Consumer, Handle, handle_of
from pgbgw.declare.queues import Queue

__all__ = ["consume"]


@click.command(
    short_help="Hand jobs of a queue to a Python function.",
    epilog=options.examples(
        "pgbgw consume shop:mail handlers:deliver --dsn postgresql://app@db.example/shopdb",
        "pgbgw consume shop:mail handlers:deliver --concurrency 8",
        "pgbgw consume mail handlers:deliver --processes 2 --until-empty",
    ),
)
@click.argument("queue", metavar="QUEUE")
@click.argument("handler", metavar="MODULE:FUNCTION")
@click.option("--concurrency", type=click.IntRange(1), default=1, show_default=True,
              help="How many handlers run at once, as threads or as tasks of an event loop.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1), help="Run handlers in so many processes instead.")
@click.option("--lease", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="For how long jobs are claimed at a time, unless it is as declared.")  # fmt: skip
@click.option("--grace", type=click.FloatRange(0), default=30.0, show_default=True, metavar="SECONDS",
              help="How long handlers may go on after SIGTERM.")  # fmt: skip
@click.option("--until-empty", is_flag=True, help="End when there is nothing more to do.")
@dsn_option
@options.json_option
def consume(
    queue: str, handler: str, concurrency: int, processes: int | None, lease: float | None, grace: float,
    until_empty: bool, dsn: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Hand jobs of QUEUE to a function until SIGTERM or Ctrl-C; then jobs that were not begun go back.

    QUEUE is MODULE:NAME of a declaration, whose jobs come as objects of the payload class, or the name of a queue,
    whose jobs come as dicts. Modules are looked for in this folder first.
    """
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    sys.path.insert(0, str(Path.cwd()))
    handle = _queue(queue, dsn)
    called = _named(handler, "the handler")
    with contextlib.ExitStack() as stack:
        executor: Executor | None = None
        if processes is not None:
            # of its own, since threads of this one may hold locks when it is copied
            executor = stack.enter_context(ProcessPoolExecutor(processes, mp_context=get_context("spawn")))
        consumer = Consumer(
            handle, called, the_dsn(dsn), concurrency=processes or concurrency, executor=executor,
            lease=None if lease is None else timedelta(seconds=lease), grace=timedelta(seconds=grace),
            until_empty=until_empty,
        )  # fmt: skip
        terminal.note(f"consuming {handle}; Ctrl-C ends it")
        found = consumer.run()
    if as_json:
        terminal.json_result(asdict(found))
    else:
        terminal.console().print(", ".join(f"{count} {what}" for what, count in asdict(found).items()))


def _queue(text: str, dsn: str | None) -> Handle[Any]:
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
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise click.UsageError(f"{what} can't be imported: {error}") from error
    except AttributeError as error:
        raise click.UsageError(f"module {module} has no {name}") from error
