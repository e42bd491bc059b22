"""The diagnostic itself, and how one is reported: raised at once, or collected under ``pgbgw check``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pgbgw.diagnostics import codes
from pgbgw.diagnostics.code import Severity
from pgbgw.origin import Origin

__all__ = ["DeclarationError", "Diagnostic", "Severity", "collecting", "report", "report_all"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding in a declaration: what, where, why, and what to do.

    ``message`` starts in lower case and has no full stop, as PostgreSQL's primary messages do; ``detail`` and ``hint``
    are sentences (see "Error Message Style Guide" in PostgreSQL's documentation).
    """

    code: str
    message: str
    origin: Origin | None = None
    detail: str | None = None
    hint: str | None = None

    @property
    def severity(self) -> Severity:
        """As the table of codes says."""
        return codes.severity(self.code)


class DeclarationError(Exception):
    """One or more diagnostics of severity error; ``str()`` of it is what ``pgbgw check`` would print."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        from pgbgw.diagnostics.render import render

        super().__init__("\n" + "\n".join(render(diagnostic) for diagnostic in diagnostics))
        self.diagnostics = diagnostics


_collector: ContextVar[list[Diagnostic] | None] = ContextVar("pgbgw_collector", default=None)


def report(diagnostic: Diagnostic) -> None:
    """Raise the diagnostic, or note it where somebody collects.

    Constructors call this and then go on with the best value they have, so that one run lists every fault.
    A warning is never raised: outside ``collecting()`` it is dropped, and ``pgbgw check`` shows it.

    Raises:
        DeclarationError: for an error outside ``collecting()``.
    """
    collected = _collector.get()
    if collected is not None:
        collected.append(diagnostic)
    elif diagnostic.severity is Severity.ERROR:
        raise DeclarationError([diagnostic])


def report_all(diagnostics: list[Diagnostic]) -> None:
    """Report several at once, so that whoever does not collect sees all errors in one exception.

    Raises:
        DeclarationError: for errors outside ``collecting()``.
    """
    collected = _collector.get()
    errors = [each for each in diagnostics if each.severity is Severity.ERROR]
    if collected is not None:
        collected += diagnostics
    elif errors:
        raise DeclarationError(errors)


@contextmanager
def collecting() -> Iterator[list[Diagnostic]]:
    """Collect what is reported inside the block instead of raising it."""
    collected: list[Diagnostic] = []
    token = _collector.set(collected)
    try:
        yield collected
    finally:
        _collector.reset(token)
