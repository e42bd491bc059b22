"""Arguments and options that several verbs have."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pgbgw.build.pgconfig import NEWEST, OLDEST
from pgbgw.calendar import Zone, ZoneMissing
from pgbgw.check import Target

__all__ = [
    "Span",
    "examples",
    "file_argument",
    "json_option",
    "majors_option",
    "pg_config_option",
    "processes_option",
    "setup_option",
    "target",
    "zone_of",
]

F = TypeVar("F", bound=Callable[..., Any])

# Before so many days there are no times that datetime has, and poll() waits for no more than 2^31 milliseconds.
_MOST_DAYS, _MOST_SECONDS = 700_000, 1_000_000

_PATH = click.Path(path_type=Path)


def file_argument(function: F) -> F:
    """FILE, the declaration; that it can be read is checked with the rest of it."""
    return click.argument("file", type=_PATH)(function)


def pg_config_option(function: F) -> F:
    """--pg-config."""
    return click.option(
        "--pg-config",
        metavar="PG_CONFIG",
        help="pg_config of the server to build for, or a folder with it; else $PG_CONFIG, the one on PATH, and at last "
        "the embedded server.",
    )(function)


def majors_option(function: F) -> F:
    """--major, any number of times."""
    return click.option(
        "--major",
        "majors",
        type=click.IntRange(OLDEST, NEWEST),
        multiple=True,
        metavar="N",
        help=f"Check for PostgreSQL N; may be repeated. Without it, for {OLDEST} to {NEWEST}.",
    )(function)


def processes_option(function: F) -> F:
    """--max-worker-processes."""
    return click.option(
        "--max-worker-processes",
        "slots",
        type=click.IntRange(0, 262143),
        default=Target().max_worker_processes,
        show_default=True,
        metavar="N",
        help="The server's setting of that name, which bounds the processes of all its extensions.",
    )(function)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(function)


class Span(click.FloatRange):
    """So many seconds, or days, as a process can wait for or PostgreSQL can subtract from a time."""

    name = "number"

    def __init__(self, *, min_open: bool = False, days: bool = False) -> None:
        super().__init__(0, _MOST_DAYS if days else _MOST_SECONDS, min_open=min_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; NaN is none, although it is outside of no range."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def zone_of(_context: click.Context, _option: click.Parameter, name: str | None) -> Zone | None:
    """For the callback of an option: the time zone of that name, or what is spelt like it."""
    try:
        return None if name is None else Zone(name)
    except ZoneMissing as error:
        raise click.BadParameter(f"{error}\n{error.hint}") from error


def setup_option(function: F) -> F:
    """--setup."""
    return click.option(
        "--setup",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="SQL",
        help="Script with your tables and handlers, run before the workers start.  [default: FILE with .sql, if there]",
    )(function)


def target(majors: tuple[int, ...], slots: int) -> Target:
    """The server that the options describe."""
    return Target(majors=majors or Target().majors, max_worker_processes=slots)


def examples(*lines: str) -> str:
    """The end of a verb's help: commands to try, each on a line of its own."""
    # A line with a backspace alone keeps click from filling the paragraph.
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
