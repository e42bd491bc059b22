"""Running the checks, each on a clean stage, and what came of them."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import psycopg

from pgbgw.build import StageError
from pgbgw.faults import checks as _checks  # noqa: F401  fills CHECKS
from pgbgw.faults.check import CHECKS, Check, unmet
from pgbgw.faults.stage import Stage

__all__ = ["Outcome", "Row", "chosen", "run_checks"]

Outcome: TypeAlias = Literal["passed", "failed", "not applicable"]

_LOG_LINES = 40


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one check: ``seen`` is what was found, ``seconds`` how long it took.

    ``log`` holds the last lines of the server log where it failed.
    """

    check: Check
    outcome: Outcome
    seen: str
    seconds: float
    log: tuple[str, ...] = ()


def chosen(patterns: Iterable[str]) -> list[Check]:
    """The checks whose names match one of some patterns, in order; all of them without patterns.

    Raises:
        LookupError: a pattern matches none; its argument is the pattern.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if not fnmatch.filter(CHECKS, pattern):
            raise LookupError(pattern)
    return [c for name, c in CHECKS.items() if not wanted or any(fnmatch.fnmatch(name, p) for p in wanted)]


def run_checks(
    stage: Stage, checks: Iterable[Check], progress: Callable[[Check], None] = lambda check: None
) -> Iterator[Row]:
    """Run checks one after the other; a fault in one leaves the stage clean for the next."""
    for check in checks:
        progress(check)
        yield _run(stage, check)


def _run(stage: Stage, check: Check) -> Row:
    reason = unmet(check, stage)
    if reason is not None:
        return Row(check, "not applicable", reason, 0.0)
    began = time.monotonic()
    since = stage.mark()
    outcome: Outcome = "failed"
    try:
        stage.clean()
        since = stage.mark()
        seen = check.run(stage)
        outcome = "passed"
    except (AssertionError, psycopg.Error, StageError) as error:
        seen = " ".join(str(error).split()) or type(error).__name__
    seconds = time.monotonic() - began
    log = stage.cluster.log_lines(since).lines[-_LOG_LINES:] if outcome == "failed" else ()
    return Row(check, outcome, seen, seconds, log)
