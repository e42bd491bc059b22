"""Charts as SVG, with matplotlib; the same numbers give the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.outcome import Chart, Line

__all__ = ["draw"]

# Neither a date nor random ids: what is drawn again can be compared.
matplotlib.rcParams.update({"svg.hashsalt": "pgbgw", "svg.fonttype": "none", "font.size": 9})


def draw(chart: Chart, path: Path) -> None:
    """Draw a chart: lines where it has positions, else groups of bars."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    if chart.positions:
        _lines(axes, chart)
    else:
        _bars(axes, chart)
    axes.set_title(chart.title)
    axes.set_ylabel(f"{chart.unit} (logarithmic)" if chart.logarithmic else chart.unit)
    if chart.logarithmic:
        axes.set_yscale("log")
    axes.grid(axis="y", alpha=0.3)
    if len(chart.lines) > 1:
        figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _errors(line: Line) -> tuple[list[float], list[float]] | None:
    """How far the spread reaches below and above each value."""
    if not line.low:
        return None
    below = [value - low for value, low in zip(line.values, line.low, strict=True)]
    above = [high - value for value, high in zip(line.values, line.high, strict=True)]
    return below, above


def _lines(axes: Axes, chart: Chart) -> None:
    for line in chart.lines:
        axes.errorbar(chart.positions, line.values, yerr=_errors(line), label=line.name, marker="o", capsize=3)
    axes.set_xlabel(chart.positions_of)


def _bars(axes: Axes, chart: Chart) -> None:
    width = 0.8 / len(chart.lines)
    for number, line in enumerate(chart.lines):
        places = [place + (number - (len(chart.lines) - 1) / 2) * width for place in range(len(line.values))]
        axes.bar(places, line.values, width, yerr=_errors(line), label=line.name, capsize=2)
    axes.set_xticks(range(len(chart.labels)), chart.labels)
