"""Subjects in processes of their own: what one leaves in memory, or a thread of it does, is no cost of the next.

``python -m bench.apart MODULE SUBJECT SETTING`` is such a process. It makes the subject of that name ready, and then
measures it once for each line that it reads. Its CPU time is that of all its threads, in user and system mode
(getrusage(2)); the server's is not in it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, TypeAlias, runtime_checkable

from bench.environments import Unavailable

__all__ = ["Apart", "Makers", "Prepared", "Setting", "Step", "Taken", "standing", "wanted"]

_ROOT = Path(__file__).parents[1]

Setting: TypeAlias = Mapping[str, Any]
"""What a subject is told: where the server is, and what to measure; in types of JSON."""

Step: TypeAlias = Callable[[Setting], int]
"""One measurement: what it is asked to do, and how many rows or round trips that were."""


@runtime_checkable
class Prepared(Protocol):
    """A step that something is done before which does not count: ``prepare`` is called with what is asked for."""

    def prepare(self, asked: Setting) -> None:
        """Make ready for one measurement."""

    def __call__(self, asked: Setting) -> int:
        """Measure, as any step."""


Makers: TypeAlias = Mapping[str, Callable[[Setting], Step]]
"""The subjects of a benchmark by name, and how each is made ready."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement: how many rows or round trips, in how many seconds, with how many seconds of the client's CPU."""

    count: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds

    @property
    def each(self) -> float:
        """CPU time of one, in nanoseconds."""
        return self.cpu / self.count * 1e9


def wanted(module: str) -> Any:
    """A module that a subject needs.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable(f"needs {error.name}: pip install 'pgbgw[bench]'") from error


class Apart:
    """A subject in a process of its own, which is ready once this is made; ``close`` ends it."""

    def __init__(self, module: str, subject: str, setting: Setting) -> None:
        """Start it.

        Raises:
            Unavailable: it can't be made ready.
        """
        self.name = subject
        self._said: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - close() does
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.apart", module, subject, json.dumps(setting)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )  # fmt: skip
        try:
            told = self._read()
        except RuntimeError as error:
            self.close()
            raise Unavailable(f"could not be made ready: {error}") from error
        if "unavailable" in told:
            self.close()
            raise Unavailable(told["unavailable"])

    def take(self, **asked: Any) -> Taken:
        """Measure once.

        Raises:
            RuntimeError: the process has failed; its last words.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return Taken(**self._read())

    def close(self) -> None:
        """End the process, and wait until it has."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()
        self._said.close()

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            last = [each.strip() for each in self._said.read().splitlines() if each.strip()]
            raise RuntimeError(f"{self.name}: {last[-1] if last else 'it ended without a word'}")
        told: dict[str, Any] = json.loads(line)
        return told


@contextlib.contextmanager
def standing(
    module: str, subjects: Makers, setting: Setting, missing: dict[str, str] | None = None
) -> Iterator[list[Apart]]:
    """The processes of all subjects that can be had; ``missing`` is told why the others can't."""
    with contextlib.ExitStack() as stack:
        ready = []
        for name in subjects:
            try:
                ready.append(stack.enter_context(Apart(module, name, setting)))
            except Unavailable as error:
                if missing is None:
                    raise
                missing[name] = str(error)
        yield ready


def main(module: str, subject: str, setting: str) -> None:
    """Make a subject ready and measure it whenever a line comes; answers are lines of JSON."""
    # Once a block of this size was freed, the C library keeps what a batch frees for the next one. Before that it gives
    # it back to the kernel in one batch and not in the other, which costs more than what is measured.
    bytearray(1 << 24)
    try:
        step = importlib.import_module(f"bench.{module}").SUBJECTS[subject](json.loads(setting))
    except Unavailable as error:
        print(json.dumps({"unavailable": str(error)}), flush=True)
        return
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(_measured(step, json.loads(line))), flush=True)


def _measured(step: Step, asked: Setting) -> dict[str, float]:
    gc.collect()
    total = {"count": 0.0, "seconds": 0.0, "cpu": 0.0}
    for _ in range(asked.get("repeats", 1)):
        if isinstance(step, Prepared):
            step.prepare(asked)
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        total["count"] += step(asked)
        total["seconds"] += time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
        total["cpu"] += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
