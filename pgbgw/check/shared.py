"""Shared state: values of actions against the fields that they change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pgbgw.check.target import Rule, Target
from pgbgw.check.uses import actions
from pgbgw.declare.extension import Extension
from pgbgw.declare.places import argument, shown
from pgbgw.declare.shared import Action, Boolean, Counter, Field, Float, Text, Timestamp
from pgbgw.diagnostics import Diagnostic

__all__ = ["RULES"]


def values(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW605 to BGW607: what is added or set has the type of the field and fits into it."""
    for worker in extension.workers:
        for option, action in actions(worker):
            field = type(action.target.stats)._fields[action.target.field]
            found = _value(field, action)
            if found is not None:
                code, message, detail, hint = found
                yield Diagnostic(code, f"{message}, in {option} of {worker}",
                                 argument(worker.origin, option), detail, hint)  # fmt: skip


def _value(field: Field[Any], action: Action) -> tuple[str, str, str, str] | None:
    """Code, message, detail and hint for a value that does not fit."""
    value = action.value
    if action.operation in {"now", "report"}:
        return None
    if not _has_type(field, value):
        return (
            "BGW606",
            f'value does not fit field "{field.name}": {shown(value)}',
            f"A {type(field).__name__.lower()} takes {_wanted(field)}.",
            f"Give {_wanted(field)}.",
        )
    if isinstance(field, Counter) and isinstance(value, int) and value < 0:
        return (
            "BGW605",
            f'counter "{field.name}" would go down by {-value}',
            "A counter only grows, so that readers can take differences.",
            "Make the field a Gauge, or add what is not negative.",
        )
    if isinstance(field, Text) and isinstance(value, str) and len(value.encode()) >= field.size:
        return (
            "BGW607",
            f'text is longer than field "{field.name}": {len(value.encode())} bytes',
            f"The field has {field.size} bytes, one of them for the ending NUL; the text will be cut.",
            "Shorten the text, or give the field more bytes.",
        )
    return None


def _has_type(field: Field[Any], value: object) -> bool:
    if isinstance(field, Boolean):
        return isinstance(value, bool)
    if isinstance(field, Text):
        return isinstance(value, str) and "\0" not in value and _encodable(value)
    if isinstance(field, Float):
        return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _wanted(field: Field[Any]) -> str:
    if isinstance(field, Boolean):
        return "True or False"
    if isinstance(field, Text):
        return "text without NUL"
    if isinstance(field, Timestamp):
        return "now()"
    return "a finite number" if isinstance(field, Float) else "an integer of 64 bits"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


RULES: tuple[Rule, ...] = (values,)
