"""The shape of one row in the table of codes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum

__all__ = ["PREAMBLE", "Code", "Severity", "error", "warning"]


class Severity(Enum):
    """How grave a finding is; only errors stop the pipeline."""

    ERROR = "error"
    WARNING = "warning"


PREAMBLE = """\
from pgbgw import (
    NEVER, Boolean, Counter, Extension, Gauge, Integer, Json, Payload, SharedStats, Text, Timestamp,
    call, catch_up, days, hours, milliseconds, minutes, seconds, sql,
)

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


class MailStats(SharedStats):
    sent = Counter("Mails handed over.")
    alive = Gauge("Processes that are alive.")
    status = Text(64, "What the worker did last.")


stats = shop.shared_stats("mail", MailStats)
mail = shop.queue("mail", Mail)
"""
"""What the examples of the table continue, unless they declare an extension of their own."""


@dataclass(frozen=True, slots=True)
class Code:
    """One code: what a diagnostic of it means, why the rule exists, and how it is put right.

    ``explanation`` is paragraphs parted by a blank line; ``wrong`` and ``right`` are Python that continues PREAMBLE.
    """

    code: str
    severity: Severity
    title: str
    explanation: str
    wrong: str
    right: str

    @property
    def example_imports_only(self) -> bool:
        """Whether the examples declare an extension of their own, and so need the imports of PREAMBLE only."""
        return "Extension(" in self.right


def error(code: str, title: str, explanation: str, *, wrong: str, right: str) -> Code:
    """A row that stops the pipeline."""
    return _row(Severity.ERROR, code, title, explanation, wrong, right)


def warning(code: str, title: str, explanation: str, *, wrong: str, right: str) -> Code:
    """A row that is shown and stops nothing."""
    return _row(Severity.WARNING, code, title, explanation, wrong, right)


def _row(severity: Severity, code: str, title: str, explanation: str, wrong: str, right: str) -> Code:
    return Code(code, severity, title, *(inspect.cleandoc(text) for text in (explanation, wrong, right)))
