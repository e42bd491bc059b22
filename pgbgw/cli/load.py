"""``pgbgw load``: the extension into a database of a running server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pgbgw.check import Target
from pgbgw.cli import options, steps, terminal
from pgbgw.lower import lower
from pgbgw.server.load import Loaded, connect
from pgbgw.server.load import load as load_extension

__all__ = ["load", "report_loaded"]


@click.command(
    short_help="Create the extension in a running server and wait for its workers.",
    epilog=options.examples(
        "pgbgw load postgresql://postgres@db.example/shopdb shop.py",
        'pgbgw load "host=/run/postgresql dbname=shopdb" shop.py --timeout 60',
    ),
)
@click.argument("dsn")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--timeout",
    type=options.Span(),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the workers.",
)
@options.processes_option
@options.json_option
def load(dsn: str, file: Path | None, timeout: float, slots: int, as_json: bool) -> None:
    """Create the extension that FILE declares in the database at DSN, and wait until every worker runs.

    DSN is a connection string as psql takes it. FILE may be left out where the current folder has one declaration. If
    the workers do not run, the reason is told, with what to type. Only SQL is used: the files must be on the server
    (pgbgw install), and the library must be preloaded.
    """
    if dsn.endswith(".py"):
        raise click.UsageError(f"DSN comes first: pgbgw load DSN {dsn}")
    module = lower(steps.checked(file or steps.the_declaration(Path.cwd()), Target(max_worker_processes=slots)))
    with terminal.steps() as step:
        step.tell("connecting")
        with connect(dsn) as connection:
            loaded = load_extension(connection, module, timeout=timeout, progress=step.tell)
    if as_json:
        terminal.json_result(asdict(loaded))
    else:
        report_loaded(loaded)


def report_loaded(loaded: Loaded) -> None:
    """What became of the extension and its workers, in a few lines."""
    for text in loaded.warnings:
        terminal.warning(text)
    on = terminal.console()
    done = "created" if loaded.created else "was there already"
    on.print(f'extension "{loaded.extension}" {loaded.version} {done} in database "{loaded.database}"')
    for each in loaded.processes:
        on.print(f'worker "{each.title}" runs, process {each.pid}: {each.state}')
    for name in dict.fromkeys(each.database for each in loaded.elsewhere):
        terminal.warning(f'workers of database "{name}" wait for the extension there')
