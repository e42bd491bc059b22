"""``pgbgw build``: the emitted tree with its compiled library."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from pgbgw.build import find_server
from pgbgw.cli import options, steps, terminal

__all__ = ["build"]


@click.command(
    short_help="Write the C and compile it.",
    epilog=options.examples(
        "pgbgw build shop.py",
        "pgbgw build shop.py --pg-config /usr/lib/postgresql/15/bin/pg_config --out dist/shop",
    ),
)
@options.file_argument
@options.pg_config_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the tree, new or of an earlier build.  [default: build/NAME-MAJOR]",
)
@options.processes_option
@options.json_option
def build(file: Path, pg_config: str | None, out: Path | None, slots: int, as_json: bool) -> None:
    """Check FILE, write its C to DIR and compile it there for one server.

    DIR then needs no Python: `make -C DIR PG_CONFIG=... install` installs what was compiled.
    """
    pg = find_server(pg_config)
    emitted = steps.emitted(file, options.target((pg.major,), slots))
    artifact = steps.compiled(emitted.tree, pg, out if out is not None else steps.default_out(emitted.tree, pg))
    if as_json:
        terminal.json_result(
            {
                "extension": artifact.extension,
                "version": artifact.version,
                "directory": str(artifact.directory),
                "library": str(artifact.library),
                "pg_config": str(pg.pg_config),
                "server": pg.version,
            }
        )
        return
    on = terminal.console()
    shown = os.path.relpath(artifact.library) if artifact.library.is_relative_to(Path.cwd()) else artifact.library
    on.print(f"built {shown} for {pg.version}")
    where = f"-C {shlex.quote(str(artifact.directory))} PG_CONFIG={shlex.quote(str(pg.pg_config))}"
    on.print(f"to install it: make {where} install")
