"""``pgbgw show``: what a declaration becomes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pgbgw.check import Target
from pgbgw.cli import options, steps
from pgbgw.cli.steps import Emitted
from pgbgw.ir.dump import dump

__all__ = ["show"]


@click.command(
    short_help="Print the C, the SQL, or another form of a declaration.",
    epilog=options.examples(
        "pgbgw show shop.py --c | less",
        "pgbgw show shop.py --sql",
        "pgbgw show shop.py --file Makefile",
    ),
)
@options.file_argument
@click.option("--c", "form", flag_value="c", help="All C, headers and sources, each under a line with its name.")
@click.option("--sql", "form", flag_value="sql", help="The script that CREATE EXTENSION runs.")
@click.option("--conf", "form", flag_value="conf", help="The lines for postgresql.conf.")
@click.option("--ir", "form", flag_value="ir", help="The middle form: every name, number and statement decided.")
@click.option("--list", "form", flag_value="list", help="The names of all emitted files.")
@click.option("--file", "path", metavar="PATH", help="One emitted file, by a name that --list gives.")
@options.processes_option
def show(file: Path, form: str | None, path: str | None, slots: int) -> None:
    """Print what the declaration in FILE becomes; nothing is written or compiled.

    The same declaration gives the same bytes, wherever and whenever it is shown.
    """
    if (form is None) == (path is None):
        raise click.UsageError("give one of --c, --sql, --conf, --ir, --list and --file PATH")
    shown = steps.emitted(file, Target(max_worker_processes=slots))
    # As bytes: the same wherever, whatever the locale's encoding.
    sys.stdout.buffer.write(_text(shown, form, path).encode())


def _text(shown: Emitted, form: str | None, path: str | None) -> str:
    module, files = shown.module, shown.tree.files
    match form:
        case "c":
            names = [name for name in files if name.endswith((".h", ".c"))]
            return "\n".join(f"/* ==== {name} ==== */\n{files[name]}" for name in names)
        case "sql":
            return files[f"{module.name}--{module.version}.sql"]
        case "conf":
            return files[f"{module.name}.conf"]
        case "ir":
            return dump(module)
        case "list":
            return "".join(f"{name}\n" for name in files)
    if path is None or path not in files:
        raise click.UsageError(f'no file "{path}" is emitted; there are {", ".join(files)}')
    return files[path]
