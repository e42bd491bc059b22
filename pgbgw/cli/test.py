"""``pgbgw test``: the declaration's extension under every fault that it claims to survive."""

from __future__ import annotations

from pathlib import Path

import click

from pgbgw.build import find_server
from pgbgw.cli import options, steps, terminal
from pgbgw.faults import Check, Row, chosen, run_checks, staged
from pgbgw.ir.model import ModuleIR
from pgbgw.server import Cluster
from pgbgw.server.setup import Setup, run_setup

__all__ = ["test"]

_WORDS = {"passed": "ok", "failed": "FAILED", "not applicable": "-"}

# Lines of the server log that are shown for a check that failed; --json has more.
_LOG_LINES = 8


@click.command(
    short_help="Put it through every fault, on a throw-away server.",
    epilog=options.examples(
        "pgbgw test shop.py",
        "pgbgw test shop.py --pg-config /usr/lib/postgresql/15/bin/pg_config",
        "pgbgw test shop.py --only 'crash.*' --only shutdown.fast",
        "pgbgw test shop.py --payload \"mail='a@example.org', 'hello ' || g\"",
    ),
)
@options.file_argument
@options.pg_config_option
@options.setup_option
@click.option("--only", "patterns", multiple=True, metavar="NAME", help="Run these checks; * and ? may stand in NAME.")
@click.option(
    "--payload",
    "payloads",
    multiple=True,
    metavar="QUEUE=VALUES",
    help="SQL expressions for the payload of a queue, in which g is a number; needed where none can be made up.",
)
@click.option(
    "--thorough", is_flag=True, help="Also run what takes minutes: a million jobs, a hundred thousand failures."
)
@click.option("--list", "only_list", is_flag=True, help="Show the checks, and run none.")
@options.json_option
def test(
    file: Path,
    pg_config: str | None,
    setup: Path | None,
    patterns: tuple[str, ...],
    payloads: tuple[str, ...],
    thorough: bool,
    only_list: bool,
    as_json: bool,
) -> None:
    """Run the extension of FILE on a throw-away cluster, cause every fault, and see that no job is lost.

    Its handlers are replaced by probes that keep a ledger and misbehave on request; all else is as declared, but that
    restarts, timeouts and retries come sooner. Your own servers are not touched. The exit code is 1 if a check failed.
    """
    checks = _chosen(patterns)
    if only_list:
        _show_list(checks, as_json)
        return
    pg = find_server(pg_config)
    module = steps.emitted(file, steps.fitted(pg)).module
    given = _payloads(module, payloads)
    script = Setup.of(file, setup)

    def prepare(cluster: Cluster, database: str) -> None:
        if script is not None:
            run_setup(cluster, database, script)

    rows: list[Row] = []
    with terminal.steps() as step:
        step.tell(f"testing {module.name} on {pg.version}")
        with staged(pg, module, prepare=prepare, payloads=given, thorough=thorough, progress=step.tell) as stage:
            for row in run_checks(stage, checks, lambda check: step.tell(f"{check.name}: {check.fault}")):
                rows.append(row)
    if as_json:
        terminal.json_result(_json(module, pg.version, rows))
    else:
        _show(module, pg.version, rows)
    if any(row.outcome == "failed" for row in rows):
        raise click.exceptions.Exit(1)


def _chosen(patterns: tuple[str, ...]) -> list[Check]:
    try:
        return chosen(patterns)
    except LookupError as error:
        raise click.UsageError(f'--only "{error.args[0]}": no check has that name; see pgbgw test --list') from error


def _payloads(module: ModuleIR, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, values = each.partition("=")
        if not equals or name not in {queue.name for queue in module.queues}:
            names = ", ".join(queue.name for queue in module.queues) or "none"
            raise click.UsageError(f'--payload "{each}": write QUEUE=VALUES; the queues are: {names}')
        found[name] = values
    return found


def _show(module: ModuleIR, server: str, rows: list[Row]) -> None:
    terminal.table(("check", "", "seconds", "what was done", "what was seen"), [_cells(row) for row in rows])
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in _WORDS}
    on = terminal.console()
    for row in (each for each in rows if each.outcome == "failed"):
        on.print(f"\n{row.check.name} failed: {row.seen}")
        on.print(f"  what should happen: {row.check.answer}")
        for line in row.log[-_LOG_LINES:]:
            on.print(f"  log: {line}")
    on.print(
        f"\n{module.name} on {server}: {counts['passed']} passed, {counts['failed']} failed, "
        f"{counts['not applicable']} not applicable"
    )


def _cells(row: Row) -> tuple[str, ...]:
    seconds = f"{row.seconds:.1f}" if row.seconds else ""
    return row.check.name, _WORDS[row.outcome], seconds, row.check.fault, row.seen


def _show_list(checks: list[Check], as_json: bool) -> None:
    if as_json:
        terminal.json_result([{"check": c.name, "fault": c.fault, "answer": c.answer} for c in checks])
        return
    terminal.table(("check", "what is done", "what happens then"), [(c.name, c.fault, c.answer) for c in checks])


def _json(module: ModuleIR, server: str, rows: list[Row]) -> dict[str, object]:
    return {
        "extension": module.name,
        "version": module.version,
        "server": server,
        "failed": sum(row.outcome == "failed" for row in rows),
        "checks": [
            {
                "check": row.check.name,
                "fault": row.check.fault,
                "answer": row.check.answer,
                "outcome": row.outcome,
                "seen": row.seen,
                "seconds": round(row.seconds, 3),
                "log": list(row.log),
            }
            for row in rows
        ],
    }
