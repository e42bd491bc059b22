"""``python -m bench``: run benchmarks, print their tables, write JSON and charts."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import click

from bench import registry
from bench.machine import described, surroundings
from bench.outcome import Outcome
from bench.plan import Plan
from bench.report import print_outcome, write_outcome
from pgbgw.cli import terminal

ROOT = Path(__file__).parents[1]


def _listed(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked:
        terminal.table(["benchmark", "what it measures"], [(n, registry.find(n).summary) for n in registry.MODULES])
        context.exit()


@click.command()
@click.argument("names", nargs=-1)
@click.option("--list", is_flag=True, expose_value=False, is_eager=True, callback=_listed, help="List them and exit.")
@click.option("--quick", is_flag=True, help="Small sizes: whether it works, not how fast it is.")
@click.option("--full", is_flag=True, help="Sizes that take much longer.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Samples of each subject.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "build" / "bench",
    help="Folder for JSON and SVG; build/bench unless given.",
)
def main(names: tuple[str, ...], quick: bool, full: bool, rounds: int, out: Path) -> None:
    """Run the benchmarks NAMES (several with commas or spaces), or all.

    Exits 1 where one could not be run; a goal that was missed is no error.
    """
    try:
        selected = registry.select(name for given in names for name in given.split(","))
    except registry.Unknown as error:
        raise click.UsageError(str(error)) from error
    plan = Plan(rounds, quick, full, terminal.note)
    around = surroundings(plan, sys.argv[1:])
    click.echo(described(around))
    failed = False
    for name in selected:
        outcome = _run(name, plan)
        print_outcome(outcome)
        for path in write_outcome(out, outcome, around):
            terminal.note(f"wrote {path}")
        failed |= outcome.error is not None
    if quick:
        terminal.note("this was a quick run: its figures say that the benchmarks work, and nothing more")
    sys.exit(1 if failed else 0)


def _run(name: str, plan: Plan) -> Outcome:
    """One benchmark; one that fails says so in its outcome and does not keep the next from being run."""
    try:
        return registry.find(name).run(plan)
    except Exception as error:
        terminal.note(traceback.format_exc())
        return Outcome(name, error=f"{type(error).__name__}: {error}".partition("\n")[0])


if __name__ == "__main__":
    main()
