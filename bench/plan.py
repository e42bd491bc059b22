"""How much is measured: the numbers of rounds and jobs, smaller in a quick run, larger in a full one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Plan"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to do.

    ``seconds`` is how long a measurement should take at least: the sizes follow from it and from how fast a subject
    was in a first, smaller measurement. ``tell`` is called with a line about what is done now.
    """

    rounds: int
    quick: bool
    full: bool
    tell: Callable[[str], None]

    @property
    def seconds(self) -> float:
        """The time that a drain should take at least; the error of the clock that ends it is about 5 ms."""
        return 0.1 if self.quick else 0.5

    def pick(self, quick: T, usual: T, full: T | None = None) -> T:
        """A number for this kind of run."""
        if self.quick:
            return quick
        return full if self.full and full is not None else usual

    def size(self, rate: float, *, least: int, most: int) -> int:
        """How many jobs make a measurement of ``seconds`` at ``rate`` jobs a second, in two digits."""
        wanted = min(most, max(least, round(rate * self.seconds)))
        return int(float(f"{wanted:.1e}"))
