"""``pgbgw explain``: the whole story of a diagnostic."""

from __future__ import annotations

import difflib

import click

from pgbgw.cli import options, terminal
from pgbgw.diagnostics import codes

__all__ = ["explain"]


@click.command(
    short_help="Tell the whole story of a diagnostic.",
    epilog=options.examples(
        "pgbgw explain BGW201",
        "pgbgw explain 201",
        "pgbgw explain | grep queue",
    ),
)
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Explain CODE: what it means, why the rule exists, an example that breaks it and one that keeps it.

    Without CODE, list all of them.
    """
    if code is None:
        rows = [(row.code, row.severity.value, row.title) for row in codes.CODES.values()]
        terminal.table(["code", "severity", "title"], rows)
        return
    try:
        terminal.console().print(codes.explain(code), end="")
    except KeyError:
        raise click.UsageError(f'there is no code "{code}"; {_suggestion(code)}') from None


def _suggestion(code: str) -> str:
    digits = "".join(each for each in code if each.isdigit())
    near = difflib.get_close_matches(f"BGW{digits or code}", codes.CODES, n=3, cutoff=0.6)
    if not near:
        return "pgbgw explain lists all of them"
    return f"did you mean {' or '.join(sorted(near))}? pgbgw explain lists all of them"
