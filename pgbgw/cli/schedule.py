"""``pgbgw schedule``: when a cron expression is due, or each worker of a declaration that runs by the calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click

from pgbgw.calendar import CronError, Gap, Repeated, Schedule, ZoneMissing
from pgbgw.check import Target, check_file
from pgbgw.cli import options, terminal
from pgbgw.declare.schedules import CronWorker

__all__ = ["marked", "schedule"]

# How many processes a server has room for plays no part here.
_ANY = 262_143


@click.command(
    short_help="Show when a cron expression is due.",
    epilog=options.examples(
        'pgbgw schedule "*/15 * * * *"',
        'pgbgw schedule "30 2 * * *" --time-zone Europe/Paris --from 2027-03-27 -n 3',
        'pgbgw schedule "0 9 * * tue#2,friL" --time-zone America/New_York --json',
        "pgbgw schedule shop.py -n 1",
    ),
)
@click.argument("expression", metavar="EXPRESSION|FILE")
@click.option("--time-zone", "zone", metavar="ZONE",
              help="By which clocks, as the tz database calls them.  [default: UTC]")  # fmt: skip
@click.option("--from", "begin", metavar="TIME",
              help="Only times after TIME, in ISO 8601; by the clocks of the zone without an offset.  "
                   "[default: now]")  # fmt: skip
@click.option("-n", "--number", type=click.IntRange(1, 100_000), default=5, show_default=True, metavar="N",
              help="How many times to show.")  # fmt: skip
@click.option("--gap", type=click.Choice(["after", "skip"]),
              help="A fixed time that clocks leave out is due right after the gap, or not at all.  "
                   "[default: after]")  # fmt: skip
@click.option("--repeated", type=click.Choice(["first", "both"]),
              help="A fixed time that clocks show twice is due the first time, or both times.  "
                   "[default: first]")  # fmt: skip
@options.json_option
def schedule(
    expression: str,
    zone: str | None,
    begin: str | None,
    number: int,
    gap: Gap | None,
    repeated: Repeated | None,
    as_json: bool,
) -> None:
    """Show when EXPRESSION is due next, one time a line in ISO 8601, and what it means.

    EXPRESSION has five fields (minute, hour, day of the month, month, day of the week) or six, seconds first; or it is
    a name such as @daily. FILE is a declaration, whose name ends in .py: its schedules are shown as they are declared.
    """
    if expression.endswith(".py"):
        if zone or gap or repeated:
            raise click.UsageError("--time-zone, --gap and --repeated go with an expression; a declaration has its own")
        _declared(Path(expression), begin, number, as_json)
        return
    try:
        wanted = Schedule(expression, zone or "UTC", gap=gap or "after", repeated=repeated or "first")
    except CronError as error:
        raise click.UsageError(marked(error)) from error
    except ZoneMissing as error:
        raise click.UsageError(f"--time-zone: {error}\n{error.hint}") from error
    shown = _shown(wanted, begin, number)
    if as_json:
        terminal.json_result(shown)
        return
    terminal.note(f"{shown['sentence']}, {shown['time_zone']}")
    terminal.console().print("\n".join(shown["due"]))


def _declared(file: Path, begin: str | None, number: int, as_json: bool) -> None:
    """The schedules of a declaration, a paragraph each."""
    result, found = check_file(file, Target(max_worker_processes=_ANY))
    terminal.diagnostics(found)
    if result is None:
        raise click.exceptions.Exit(1)
    workers = [worker for worker in result.extension.workers if isinstance(worker, CronWorker)]
    shown = [
        {"worker": worker.name, "jitter": str(worker.jitter) if worker.jitter else None}
        | _shown(worker.times, begin, number)
        for worker in workers
    ]
    if as_json:
        terminal.json_result(shown)
    elif not shown:
        terminal.note(f"{file}: no worker runs by the calendar")
    for each in [] if as_json else shown:
        text = f"{each['worker']}: {each['sentence']}, {each['time_zone']} ({each['expression']})"
        for option in ("not_before", "not_after"):
            if each[option] is not None:
                text += f", {option.replace('_', ' ')} {each[option]}"
        if each["jitter"] is not None:
            text += f", beginning up to {each['jitter']} later"
        terminal.console().print("\n".join([text, *(f"  {due}" for due in each["due"])]))


def _shown(wanted: Schedule, begin: str | None, number: int) -> dict[str, Any]:
    return {
        "expression": wanted.cron.text,
        "time_zone": wanted.zone.name,
        "gap": wanted.gap,
        "repeated": wanted.repeated,
        "not_before": _told(wanted.not_before, wanted),
        "not_after": _told(wanted.not_after, wanted),
        "sentence": wanted.sentence(),
        "due": [time.isoformat() for time in islice(wanted.upcoming(_begin(begin, wanted)), number)],
    }


def _told(at: datetime | None, wanted: Schedule) -> str | None:
    return None if at is None else at.astimezone(wanted.zone.info).isoformat()


def _begin(text: str | None, wanted: Schedule) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        begin = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--from is not a time in ISO 8601: {text}") from error
    return begin if begin.tzinfo is not None else begin.replace(tzinfo=wanted.zone.info)


def marked(error: CronError) -> str:
    """The fault under the characters that it is in."""
    # what does not show would move the mark
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in error.text)
    mark = " " * error.at + "^" * max(error.length, 1)
    return f"not a schedule: {error.message}\n  {shown}\n  {mark}\n{error.hint}"
