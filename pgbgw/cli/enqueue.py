"""``pgbgw enqueue``: jobs from the command line, or from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any

import click

from pgbgw.cli import options, terminal
from pgbgw.cli.fields import Fields
from pgbgw.cli.queues import dsn_option, opened, queue_argument
from pgbgw.client import copy_in, operations, run

__all__ = ["enqueue"]

# Longer jobs are cut where they are quoted in an error.
_WIDEST = 200


@click.command(
    short_help="Put jobs into a queue.",
    epilog=options.examples(
        'pgbgw enqueue mail \'{"address": "a@example.org", "body": "hello"}\'',
        "pgbgw enqueue mail --from mails.ndjson --priority 7",
        'pgbgw enqueue mail \'{"address": "a@example.org"}\' --at 2030-01-01T08:00+01:00',
    ),
)
@queue_argument
@click.argument("jobs", nargs=-1, metavar="[JSON]...")
@click.option("--from", "source", type=click.File(encoding="utf-8"), metavar="FILE",
              help="Read one JSON object a line, from FILE or, for -, standard input; all go in at once.")  # fmt: skip
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="0 comes first.")
@click.option("--at", "run_at", metavar="TIME", help="When they may run, in ISO 8601 with a zone.")
@click.option("--key", help="A key of which there is one job at a time.")
@dsn_option
@options.json_option
def enqueue(
    queue: str, jobs: tuple[str, ...], source: IO[str] | None, priority: int, run_at: str | None, key: str | None,
    dsn: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Put jobs into QUEUE: JSON objects with the fields of its payload.

    The answer is the id of each, or how many came from a file.
    """
    if bool(jobs) == (source is not None):
        raise click.UsageError("give jobs as JSON objects, or a file of them with --from")
    if source is not None and (run_at or key):
        raise click.UsageError("--at and --key go with jobs on the command line")
    if key is not None and len(jobs) > 1:
        raise click.UsageError("--key goes with one job")
    connection, handle = opened(dsn, queue)
    fields = Fields(handle)
    try:
        with connection:
            if source is not None:
                with terminal.counted("jobs", lambda: None) as told:
                    count = copy_in(connection, handle, _lines(source, fields), priority, told)
                _answer(as_json, {"jobs": count}, f"{count} jobs")
            else:
                at = _time(run_at)
                with connection.transaction():
                    found = [_object(text, text, fields) for text in jobs]
                    wanted = [operations.enqueue(handle, each, priority, at, key, None) for each in found]
                    ids = [run(connection, operation) for operation in wanted]
                lines = ["the key is taken" if each is None else str(each) for each in ids]
                _answer(as_json, {"ids": ids}, "\n".join(lines))
    except (TypeError, ValueError) as error:
        raise click.UsageError(terminal.printable(str(error), lines=True)) from error
    except RecursionError as error:
        raise click.UsageError("a job is nested too deeply") from error


def _answer(as_json: bool, value: dict[str, Any], text: str) -> None:
    if as_json:
        terminal.json_result(value)
    else:
        terminal.console().print(text)


def _lines(source: IO[str], fields: Fields) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(source, 1):
        if line.strip():
            yield _object(line, f"line {number} of {source.name}", fields)


def _object(text: str, where: str, fields: Fields) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_constant, parse_float=_float)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise click.UsageError(f"not JSON: {_short(where)}: {why}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"not a JSON object: {_short(where)}")
    problem = fields.problem(value)
    if problem is not None:
        raise click.UsageError(f"{problem}: {_short(where)}")
    return value


def _short(where: str) -> str:
    """Where it is, as far as it tells one from the others."""
    text = terminal.printable(where)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _constant(text: str) -> float:
    raise ValueError(f'{text} is no number of JSON; write "{text}" where the field is of a type that has it')


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f'{text} is too large; write "{text}" where the field is numeric')
    return number


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--at is not a time in ISO 8601: {text}") from error
    if time.tzinfo is None:
        raise click.UsageError(f"--at has no time zone: write {text}Z, or with an offset such as +01:00")
    return time
