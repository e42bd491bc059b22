"""``pgbgw check``: every fault of a declaration in one run."""

from __future__ import annotations

from pathlib import Path

import click

from pgbgw.check import Checked, check_file
from pgbgw.cli import options, terminal
from pgbgw.cli.steps import count_faults
from pgbgw.diagnostics import Diagnostic, Severity, to_json

__all__ = ["check"]


@click.command(
    short_help="Find every fault in a declaration.",
    epilog=options.examples(
        "pgbgw check shop.py",
        "pgbgw check shop.py --major 16 --major 17",
        "pgbgw check shop.py --json | jq '.diagnostics[].message'",
    ),
)
@options.file_argument
@options.majors_option
@options.processes_option
@click.option("--strict", is_flag=True, help="Let warnings count as faults.")
@options.json_option
def check(file: Path, majors: tuple[int, ...], slots: int, strict: bool, as_json: bool) -> None:
    """Check the declaration in FILE and print every fault, with its place, reason and way out, on standard error.

    Exits 0 without errors, 1 with errors, and with --strict also 1 with warnings.
    """
    result, found = check_file(file, options.target(majors, slots))
    if as_json:
        terminal.json_result(
            {
                "ok": result is not None,
                "errors": sum(each.severity is Severity.ERROR for each in found),
                "warnings": sum(each.severity is Severity.WARNING for each in found),
                "diagnostics": [to_json(each) for each in found],
            }
        )
    else:
        terminal.diagnostics(found)
        _summary(file, result, found)
    if result is None or (strict and found):
        raise click.exceptions.Exit(1)


def _summary(file: Path, result: Checked | None, found: list[Diagnostic]) -> None:
    line = f"{file}: {count_faults(found)}"
    if result is None:
        terminal.note(line)
        return
    extension = result.extension
    parts = (
        (len(extension.workers), "worker"),
        (len(extension.queues), "queue"),
        (len(extension.shared), "shared state"),
        (len(extension.settings), "setting"),
    )
    has = ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in parts if number)
    terminal.console().print(f'{line}; extension "{extension.name}" has {has or "no workers"}')
