"""``pgbgw schedule``: when a cron expression is due."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import click

from pgbgw.calendar import CronError, Gap, Repeated, Schedule, ZoneMissing
from pgbgw.cli import options, terminal

__all__ = ["schedule"]


@click.command(
    short_help="Show when a cron expression is due.",
    epilog=options.examples(
        'pgbgw schedule "*/15 * * * *"',
        'pgbgw schedule "30 2 * * *" --time-zone Europe/Paris --from 2027-03-27 -n 3',
        'pgbgw schedule "0 9 * * tue#2,friL" --time-zone America/New_York --json',
    ),
)
@click.argument("expression")
@click.option("--time-zone", "zone", default="UTC", show_default=True, metavar="ZONE",
              help="By which clocks, as the tz database calls them.")  # fmt: skip
@click.option("--from", "begin", metavar="TIME",
              help="Only times after TIME, in ISO 8601; by the clocks of ZONE without an offset.  "
                   "[default: now]")  # fmt: skip
@click.option("-n", "--number", type=click.IntRange(1, 100_000), default=5, show_default=True, metavar="N",
              help="How many times to show.")  # fmt: skip
@click.option("--gap", type=click.Choice(["after", "skip"]), default="after", show_default=True,
              help="A fixed time that clocks leave out is due right after the gap, or not at all.")  # fmt: skip
@click.option("--repeated", type=click.Choice(["first", "both"]), default="first", show_default=True,
              help="A fixed time that clocks show twice is due the first time, or both times.")  # fmt: skip
@options.json_option
def schedule(
    expression: str, zone: str, begin: str | None, number: int, gap: Gap, repeated: Repeated, as_json: bool
) -> None:
    """Show when EXPRESSION is due next, one time a line in ISO 8601, and what it means.

    EXPRESSION has five fields (minute, hour, day of the month, month, day of the week) or six, seconds first; or it is
    a name such as @daily.
    """
    try:
        wanted = Schedule(expression, zone, gap=gap, repeated=repeated)
    except CronError as error:
        raise click.UsageError(_marked(error)) from error
    except ZoneMissing as error:
        raise click.UsageError(f"--time-zone: {error}\n{error.hint}") from error
    due = [time.isoformat() for time in islice(wanted.upcoming(_begin(begin, wanted)), number)]
    if as_json:
        terminal.json_result({
            "expression": wanted.cron.text, "time_zone": zone, "gap": gap, "repeated": repeated,
            "sentence": wanted.sentence(), "due": due,
        })  # fmt: skip
        return
    terminal.note(f"{wanted.sentence()}, {zone}")
    terminal.console().print("\n".join(due))


def _begin(text: str | None, wanted: Schedule) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        begin = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--from is not a time in ISO 8601: {text}") from error
    return begin if begin.tzinfo is not None else begin.replace(tzinfo=wanted.zone.info)


def _marked(error: CronError) -> str:
    """The fault under the characters that it is in."""
    # what does not show would move the mark
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in error.text)
    mark = " " * error.at + "^" * max(error.length, 1)
    return f"not a schedule: {error.message}\n  {shown}\n  {mark}\n{error.hint}"
