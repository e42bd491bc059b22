"""``pgbgw consume``: consumers from the command line."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from pathlib import Path

import click

from pgbgw.cli import options, terminal
from pgbgw.cli.processes import Work, consumer_of, leave_handlers, look_after
from pgbgw.cli.queues import dsn_option, the_dsn

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
              help="How many handlers run at once in a process, as threads or as tasks of an event loop.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1), metavar="N",
              help="Consume in N processes, and start again those that die.")  # fmt: skip
@click.option("--lease", type=options.Span(min_open=True), metavar="SECONDS",
              help="For how long jobs are claimed at a time, unless it is as declared.")  # fmt: skip
@click.option("--grace", type=options.Span(), default=30.0, show_default=True, metavar="SECONDS",
              help="How long handlers may go on after SIGTERM.")  # fmt: skip
@click.option("--until-empty", is_flag=True, help="End when there is nothing more to do.")
@dsn_option
@options.json_option
def consume(
    queue: str, handler: str, concurrency: int, processes: int | None, lease: float | None, grace: float,
    until_empty: bool, dsn: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Hand jobs of QUEUE to a function until SIGTERM, SIGHUP or Ctrl-C; then jobs that were not begun go back.

    QUEUE is MODULE:NAME of a declaration, whose jobs come as objects of the payload class, or the name of a queue,
    whose jobs come as dicts. Modules are looked for in this folder first.
    """
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    sys.path.insert(0, str(Path.cwd()))
    work = Work(queue, handler, the_dsn(dsn), concurrency, lease, grace, until_empty)
    consumer = consumer_of(work)
    many = "" if processes is None else f" in {processes} process{'' if processes == 1 else 'es'}"
    terminal.note(f"consuming {consumer.handle}{many}; Ctrl-C ends it")
    if processes is None:
        told = asdict(consumer.run())
    else:
        found, restarted = look_after(work, processes)
        told = asdict(found) | ({"restarted": restarted} if as_json or restarted else {})
    if as_json:
        terminal.json_result(told)
    else:
        terminal.console().print(", ".join(f"{count} {what}" for what, count in told.items()))
    leave_handlers(consumer)
