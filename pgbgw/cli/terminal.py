"""What people see: results on standard output, everything else on standard error, colour on terminals only.

Rich decides about colour: none where the stream is no terminal, where NO_COLOR is set, or where TERM is "dumb".
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
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
    "drop_output",
    "error",
    "json_result",
    "json_text",
    "note",
    "printable",
    "program",
    "refusal",
    "spell_what_cannot_be_written",
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


def printable(text: str, *, lines: bool = False) -> str:
    """Text of others, without what a terminal takes for commands; with ``lines``, ends of lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or (lines and each in "\n\t") else each.encode("unicode_escape").decode()
        for each in text
    )


def spell_what_cannot_be_written() -> None:
    """Characters that an output has none for come as escapes, unless PYTHONIOENCODING says what else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Forget what could not be written: Python would try again when it ends, and say so."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def note(text: str) -> None:
    """A line about what happens, on standard error."""
    console(stderr=True).print(printable(text, lines=True))


def warning(text: str) -> None:
    """A line about something to look at."""
    console(stderr=True).print(Text.assemble(("warning", "bold yellow"), f": {printable(text, lines=True)}"))


def error(problem: StageError | ClientError) -> None:
    """An error of a later stage, in the form of a diagnostic; a compiler's messages each with their place."""
    if isinstance(problem, CompileError) and problem.messages:
        for message in problem.messages:
            _compiler_message(message)
        number = len(problem.messages)
        _parts(problem.message, f"The compiler reported {_count(number, 'error')}.", problem.hint)
    else:
        _parts(problem.message, problem.detail, problem.hint)


def refusal(message: str, detail: str | None, hint: str | None) -> None:
    """Something that a verb can't do, where it goes on with the rest."""
    _parts(message, detail, hint)


def diagnostics(found: Sequence[Diagnostic]) -> None:
    """All diagnostics, an empty line between two, on standard error."""
    coloured = _coloured(console(stderr=True))
    for diagnostic in found:
        click.echo(render(diagnostic, color=coloured) + "\n", err=True, color=coloured)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    wrap_last: bool = False,
    cut: Collection[str] = (),
    stderr: bool = False,
) -> None:
    """Rows under headings on standard output, or on standard error; None is shown as nothing.

    With ``wrap_last`` a terminal that is too narrow shortens the last column alone, into more lines; with ``cut`` those
    columns alone, whose ends are left out, so that a row stays on one line.
    """
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns, 1):
        kept = column not in cut if cut else wrap_last and number < len(columns)
        shown.add_column(Text(printable(column)), no_wrap=kept, overflow="ellipsis" if cut else "fold")
    for row in rows:
        shown.add_row(*(_cell(value, one_line=bool(cut)) for value in row))
    on = console(stderr=stderr)
    if on.is_terminal:
        on.print(shown)
        return
    # A pipe has no width, and a cell that was cut would be of no use to whoever reads it.
    on.width = 10_000
    with on.capture() as capture:
        on.print(shown)
    click.echo(
        "\n".join(line.rstrip() for line in capture.get().splitlines()), file=sys.stderr if stderr else sys.stdout
    )


def _cell(value: object, *, one_line: bool) -> Text:
    if value is None:
        return Text("")
    cell = value.copy() if isinstance(value, Text) else Text(printable(str(value), lines=True))
    cell.no_wrap = one_line or None
    return cell


def json_result(value: Any) -> None:
    """A result for scripts, on standard output; numbers that JSON does not have are text, as PostgreSQL has them."""
    shown = json_text(value)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        shown.encode(encoding)
    except UnicodeEncodeError:
        # nothing but JSON's own escapes is JSON
        shown = "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in shown)
    click.echo(shown, file=sys.stdout)


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """JSON whose text has nothing in it that a terminal takes for a command, or that can't be written there."""
    try:
        shown = json.dumps(value, indent=indent, default=str, ensure_ascii=False, allow_nan=False)
    except ValueError:
        shown = json.dumps(_finite(value), indent=indent, default=str, ensure_ascii=False, allow_nan=False)
    # outside of strings there are no other characters than these
    if shown.isascii() and "\x7f" not in shown:
        return shown
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1].replace("\x7f", "\\u007f")
        for each in shown
    )


def _finite(value: Any) -> Any:
    """The same without numbers that JSON does not have."""
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
    return value


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
    on.print(Text.assemble(("error", "bold red"), (f": {printable(message, lines=True)}", "bold")))
    for label, text in (("detail", detail), ("hint", hint)):
        if text:
            first, *more = printable(text, lines=True).splitlines()
            on.print(Text.assemble("  ", ("=", "bold blue"), " ", (label, "bold"), f": {first}"))
            for line in more:
                on.print(f"      {line}")


def _coloured(on: Console) -> bool:
    return on.is_terminal and not on.no_color and os.environ.get("TERM") != "dumb"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
