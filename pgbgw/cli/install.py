"""``pgbgw install``: the compiled extension into a server's folders."""

from __future__ import annotations

from pathlib import Path

import click

from pgbgw.build import find_server
from pgbgw.cli import options, steps, terminal
from pgbgw.ir.model import ModuleIR
from pgbgw.server import install as install_files
from pgbgw.server import remaining_steps

__all__ = ["install"]


@click.command(
    short_help="Build, and install into a server's folders.",
    epilog=options.examples(
        "sudo pgbgw install shop.py --pg-config /usr/lib/postgresql/15/bin/pg_config",
        "pgbgw install shop.py --destdir /tmp/package",
    ),
)
@options.file_argument
@options.pg_config_option
@click.option(
    "--destdir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Install below DIR, for packages; the server's own folders are left alone.",
)
@options.processes_option
@options.json_option
def install(file: Path, pg_config: str | None, destdir: Path | None, slots: int, as_json: bool) -> None:
    """Check FILE, build it in build/NAME-MAJOR and install it: all files or none.

    No running server is touched. What remains to be done is printed: the line that preloads the library, a restart,
    CREATE EXTENSION.
    """
    pg = find_server(pg_config)
    emitted = steps.emitted(file, options.target((pg.major,), slots))
    artifact = steps.compiled(emitted.tree, pg, steps.default_out(emitted.tree, pg))
    installation = install_files(artifact, pg, destdir=destdir)
    remaining = remaining_steps(emitted.module.name, database=_database(emitted.module))
    if as_json:
        files = [str(path) for path in installation.files]
        terminal.json_result({"extension": artifact.extension, "files": files, "remaining": remaining})
        return
    on = terminal.console()
    on.print(f"installed {artifact.extension} {artifact.version} for {pg.version}:")
    for path in installation.files:
        on.print(f"  {path}")
    if destdir is None:
        on.print("what remains to be done:")
        for step in remaining:
            on.print(f"  {step}")
        on.print(f"or, once it is preloaded and restarted: pgbgw load DSN {file}")


def _database(module: ModuleIR) -> str:
    """The database that the workers serve, as far as the declaration tells."""
    for source in module.databases:
        default = next((s.default for s in module.settings if s.variable == source.variable), None)
        name = source.value if source.variable is None else default
        if name:
            return str(name)
    return "postgres"
