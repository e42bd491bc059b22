"""What a benchmark returns: tables to print, charts to draw, ratios to hold against goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bench.measures import Span

__all__ = ["Chart", "Line", "Outcome", "Ratio", "Table", "number", "spread", "times"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; ``missing`` are subjects that could not be measured, and why."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    missing: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A series of a chart: for bars a value a label, for lines a value a position; low and high are its spread."""

    name: str
    values: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, spans: Sequence[Span]) -> Line:
        """A series of medians with their spread."""
        return cls(name, *(tuple(getattr(span, part) for span in spans) for part in ("median", "low", "high")))


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture: groups of bars named by ``labels``, or lines over ``positions`` (numbers, and what they count)."""

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    labels: tuple[str, ...] = ()
    positions: tuple[float, ...] = ()
    positions_of: str = ""
    logarithmic: bool = True


@dataclass(frozen=True, slots=True)
class Ratio:
    """How two subjects of one run compare, and the bound that the project wants of it: at least, or at most.

    ``unit`` stands behind the figures: "x" for how many times, or what else is counted.
    """

    what: str
    seen: Span
    bound: float
    wanted: Literal["at least", "at most"] = "at least"
    unit: str = "x"

    @property
    def kept(self) -> bool:
        """Whether the median keeps the bound."""
        return self.seen.median >= self.bound if self.wanted == "at least" else self.seen.median <= self.bound


@dataclass(slots=True)
class Outcome:
    """All that a benchmark measured.

    ``notes`` say what is compared; ``server`` is the version and the settings that were changed; ``samples`` are the
    figures themselves, in the order of the rounds.
    """

    benchmark: str
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    server: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def ratio_table(self) -> Table | None:
        """The ratios against their bounds, or None where the benchmark has none."""
        if not self.ratios:
            return None
        rows = tuple(
            (
                each.what,
                f"{each.wanted} {each.bound:g} {each.unit}",
                *(f"{cell} {each.unit}" for cell in spread(each.seen)),
                "yes" if each.kept else "no",
            )
            for each in self.ratios
        )
        columns = ("ratio", "goal", "median", "low", "high", "kept")
        return Table(f"{self.benchmark}: ratios of this run against the goals", columns, rows)

    def as_json(self) -> dict[str, Any]:
        """Everything, in types of JSON."""
        return {**asdict(self), "ratios": [{**asdict(each), "kept": each.kept} for each in self.ratios]}


def number(value: float) -> str:
    """A figure with as many digits as it can carry: 1234567 becomes 1 230 000, 0.1234 becomes 0.123."""
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return "0" if value == 0 else str(value)
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", " ") if abs(rounded) >= 100 else f"{rounded:g}"


def times(value: float) -> str:
    """A ratio: 23.4 x."""
    return f"{number(value)} x"


def spread(span: Span, shown: Any = number) -> tuple[str, str, str]:
    """Median, low and high as cells."""
    return shown(span.median), shown(span.low), shown(span.high)
