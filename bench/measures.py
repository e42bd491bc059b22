"""Statistics of a run: samples of one subject, and ratios between two, round by round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Measure", "Span", "alternate", "percentile", "ratio"]

Subject = TypeVar("Subject")
Sample = TypeVar("Sample")


@dataclass(frozen=True, slots=True)
class Span:
    """The median of some samples between the lowest and the highest of them; all in the unit of the samples."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Span:
        """The span of at least one sample.

        Raises:
            ValueError: there is none.
        """
        if not samples:
            raise ValueError("no sample was taken")
        return cls(statistics.median(samples), min(samples), max(samples))


@dataclass(frozen=True, slots=True)
class Measure:
    """What one subject came to: a sample a round, in the order of the rounds."""

    subject: str
    samples: tuple[float, ...]

    @property
    def span(self) -> Span:
        """Median, lowest and highest."""
        return Span.of(self.samples)


def ratio(above: Measure, below: Measure) -> Span:
    """How many times ``below`` goes into ``above``.

    Samples of the same round are divided, since what else the machine does changes from round to round and meets both.

    Raises:
        ValueError: the two did not take part in the same number of rounds.
    """
    if len(above.samples) != len(below.samples):
        raise ValueError(
            f"{above.subject} and {below.subject} have {len(above.samples)} and {len(below.samples)} rounds"
        )
    return Span.of([a / b if b else math.inf for a, b in zip(above.samples, below.samples, strict=True)])


def percentile(samples: Sequence[float], part: float) -> float:
    """The smallest sample that is not exceeded by ``part`` (0 to 1) of all: the nearest-rank method.

    Raises:
        ValueError: there is no sample.
    """
    if not samples:
        raise ValueError("no sample was taken")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def alternate(
    subjects: Sequence[Subject], rounds: int, take: Callable[[Subject], Sample]
) -> list[tuple[Subject, list[Sample]]]:
    """Take a sample of each subject in each round; every other round goes backwards.

    So no subject is always the one that runs after a certain other one, and slow drifts meet all of them.
    """
    taken: list[tuple[Subject, list[Sample]]] = [(subject, []) for subject in subjects]
    for number in range(rounds):
        for subject, samples in taken if number % 2 == 0 else reversed(taken):
            samples.append(take(subject))
    return taken
