"""The benchmarks that there are: one module each, named here in the order in which they run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.outcome import Outcome
from bench.plan import Plan

__all__ = ["MODULES", "Benchmark", "Unknown", "find", "select"]

# To add one: a module below bench/ whose BENCHMARK is a Benchmark with the module's name, and its name here.
MODULES = (
    "decode", "parse", "encode", "stream", "load", "claim", "drain", "leases", "bloat", "enqueue", "wake", "rivals",
    "consume", "schedules",
)  # fmt: skip


class Unknown(ValueError):
    """A benchmark was asked for that does not exist."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: how it is called, what it measures in a sentence, and how it is run."""

    name: str
    summary: str
    run: Callable[[Plan], Outcome]


def find(name: str) -> Benchmark:
    """The benchmark of a module; it is imported now, so that one that can't be imported does not stop the others.

    Raises:
        Unknown: there is none of that name.
    """
    if name not in MODULES:
        raise Unknown(f'there is no benchmark "{name}"; there are {", ".join(MODULES)}')
    found: Benchmark = importlib.import_module(f"bench.{name}").BENCHMARK
    return found


def select(names: Iterable[str]) -> Sequence[str]:
    """The names that were asked for, in the order of MODULES, each once; all where none was asked for.

    Raises:
        Unknown: one of them does not exist.
    """
    wanted = [name.strip() for name in names if name.strip()]
    for name in wanted:
        if name not in MODULES:
            raise Unknown(f'there is no benchmark "{name}"; there are {", ".join(MODULES)}')
    return [name for name in MODULES if name in wanted or not wanted]
