"""What people see: results on standard output, everything else on standard error, colour on terminals only.

Rich decides about colour: none where the stream is no terminal, where NO_COLOR is set, or where TERM is "dumb".
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from pgbgw.build import CompileError, CompilerMessage, StageError
from pgbgw.client import ClientError
from pgbgw.diagnostics import Diagnostic, Severity, render

__all__ = [
    "Steps",
    "console",
    "counted",
    "counting",
    "diagnostics",
    "error",
    "json_result",
    "note",
    "program",
    "steps",
    "table",
    "warning",
    "working",
]


# How often a long piece of work is told of where there is no terminal, s.
_BETWEEN_LINES = 10.0


def console(*, stderr: bool = False) -> Console:
    """A console on the stream as it is now; text is printed as it stands, never read as markup or wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=True)


def program() -> str:
    """How this command is typed here: by its name where the path finds it, else by the way that was used."""
    typed = Path(sys.argv[0])
    if typed.name != "pgbgw":
        return "python -m pgbgw"
    if shutil.which("pgbgw") == str(typed):
        return "pgbgw"
    return os.path.relpath(typed) if typed.is_relative_to(Path.cwd()) else str(typed)


def note(text: str) -> None:
    """A line about what happens, on standard error."""
    console(stderr=True).print(text)


def warning(text: str) -> None:
    """A line about something to look at."""
    console(stderr=True).print(Text.assemble(("warning", "bold yellow"), f": {text}"))


def error(problem: StageError | ClientError) -> None:
    """An error of a later stage, in the form of a diagnostic; a compiler's messages each with their place."""
    if isinstance(problem, CompileError) and problem.messages:
        for message in problem.messages:
            _compiler_message(message)
        number = len(problem.messages)
        _parts(problem.message, f"The compiler reported {_count(number, 'error')}.", problem.hint)
    else:
        _parts(problem.message, problem.detail, problem.hint)


def diagnostics(found: Sequence[Diagnostic]) -> None:
    """All diagnostics, an empty line between two, on standard error."""
    coloured = _coloured(console(stderr=True))
    for diagnostic in found:
        click.echo(render(diagnostic, color=coloured) + "\n", err=True, color=coloured)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headings on standard output; None is shown as nothing."""
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*("" if value is None else Text(str(value)) for value in row))
    on = console()
    if on.is_terminal:
        on.print(shown)
        return
    # A pipe has no width, and a cell that was cut would be of no use to whoever reads it.
    on.width = 10_000
    with on.capture() as capture:
        on.print(shown)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def json_result(value: Any) -> None:
    """A result for scripts, on standard output."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Steps:
    """Tells what is done now: a moving line on a terminal, a line each elsewhere."""

    tell: Callable[[str], None]


@contextlib.contextmanager
def steps() -> Iterator[Steps]:
    """A place for the steps of one command; the line is gone when the block ends."""
    on = console(stderr=True)
    if not on.is_terminal:
        yield Steps(lambda text: on.print(text))
        return
    with on.status("", spinner="line") as status:
        yield Steps(lambda text: status.update(Text(text)))


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A moving line on a terminal while one statement runs that may take long; nothing elsewhere."""
    on = console(stderr=True)
    with on.status(Text(what), spinner="line") if on.is_terminal else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Progress in countable pieces: a bar on a terminal, a line for each elsewhere; call it with what was done."""
    on = console(stderr=True)
    if not on.is_terminal:
        on.print(what)
        yield lambda done: on.print(f"  {done}")
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=on, transient=True) as progress:
        task = progress.add_task(what, total=total)

        def done(name: str) -> None:
            progress.update(task, advance=1, description=f"{what}: {name}")

        yield done


@contextlib.contextmanager
def counted(what: str, total: Callable[[], int | None]) -> Iterator[Callable[[int], None]]:
    """Progress of something long: call it with how many there are by now.

    On a terminal that is a bar, with how many a second and how long it takes still; ``total`` is asked for about how
    many there will be. Elsewhere it is a line every ten seconds, so that a log tells that it goes on.
    """
    on = console(stderr=True)
    if not on.is_terminal:
        yield _NowAndThen(on, what)
        return
    columns = (TextColumn("{task.completed} {task.description}", markup=False), BarColumn(), TaskProgressColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=on, transient=True) as progress:
        task = progress.add_task(what, total=total(), rate="")

        def told(count: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=count, rate=f"{speed:,.0f} a second" if speed else "")

        yield told


@dataclass(slots=True)
class _NowAndThen:
    """A line every ten seconds."""

    on: Console
    what: str
    next: float = 0.0

    def __post_init__(self) -> None:
        self.next = time.monotonic() + _BETWEEN_LINES

    def __call__(self, count: int) -> None:
        if time.monotonic() >= self.next:
            self.on.print(f"{count} {self.what}")
            self.next = time.monotonic() + _BETWEEN_LINES


@dataclass(frozen=True, slots=True)
class _CompilerFinding(Diagnostic):
    """A compiler's message, printed as a diagnostic is; it has no code of its own."""

    @property
    def severity(self) -> Severity:
        return Severity.ERROR


def _compiler_message(message: CompilerMessage) -> None:
    coloured = _coloured(console(stderr=True))
    place = str(message).partition(": error: ")[0]
    finding = _CompilerFinding("C", message.text, message.origin, detail=f"The compiler stopped at {place}.")
    text = render(finding, color=coloured) + (f"\n{message.excerpt}" if message.excerpt else "")
    click.echo(text + "\n", err=True, color=coloured)


def _parts(message: str, detail: str | None, hint: str | None) -> None:
    on = console(stderr=True)
    on.print(Text.assemble(("error", "bold red"), (f": {message}", "bold")))
    for label, text in (("detail", detail), ("hint", hint)):
        if text:
            first, *more = text.splitlines()
            on.print(Text.assemble("  ", ("=", "bold blue"), " ", (label, "bold"), f": {first}"))
            for line in more:
                on.print(f"      {line}")


def _coloured(on: Console) -> bool:
    return on.is_terminal and not on.no_color and os.environ.get("TERM") != "dumb"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
