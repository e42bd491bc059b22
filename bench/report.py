"""Putting an outcome in front of people: tables on standard output, JSON and SVG into a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.outcome import Outcome, Table
from pgbgw.cli import terminal

__all__ = ["print_outcome", "write_outcome"]


def print_outcome(outcome: Outcome) -> None:
    """Print the server, every table, the ratios against their goals, and what is compared."""
    if outcome.server:
        settings = ", ".join(f"{name} = {value}" for name, value in outcome.server["settings"].items())
        click.echo(f"\n{outcome.benchmark}: PostgreSQL {outcome.server['version']}, {settings}")
    goals = outcome.ratio_table()
    for table in [*outcome.tables, *([goals] if goals is not None else [])]:
        _print_table(table)
    for note in outcome.notes:
        click.echo(f"\n{note}")
    if outcome.error is not None:
        click.echo(f"\n{outcome.benchmark}: not measured: {outcome.error}")


def _print_table(table: Table) -> None:
    click.echo(f"\n{table.title}\n")
    terminal.table(table.columns, table.rows)
    for name, why in table.missing:
        click.echo(f"{name}: not measured, since it {why}")


def write_outcome(folder: Path, outcome: Outcome, surroundings: dict[str, Any]) -> list[Path]:
    """Write ``<benchmark>.json`` and an SVG for each chart; the files that were written.

    Charts are left out where matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{outcome.benchmark}.json"]
    content = _finite({**surroundings, **outcome.as_json()})
    written[0].write_text(json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8")
    try:
        from bench.charts import draw
    except ImportError:
        terminal.note("no charts: matplotlib is not installed (the extra bench brings it)")
        return written
    for chart in outcome.charts:
        if chart.lines:
            written.append(folder / f"{chart.name}.svg")
            draw(chart, written[-1])
    return written


def _finite(value: Any) -> Any:
    """JSON knows no infinity; a ratio to nothing becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return value
