"""Values of columns as the command line reads and shows them: what Python has no object for stays the server's text."""

from __future__ import annotations

import json
import math
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.datetime import (
    DateLoader,
    IntervalLoader,
    TimeLoader,
    TimestampLoader,
    TimestamptzLoader,
    TimetzLoader,
)

from pgbgw.cli import terminal

__all__ = ["as_json_value", "cell", "lenient", "whole"]

# JSON that is nested deeper than this stays text: Python reads and writes it by recursion.
_DEEPEST = 200

# Longer values are cut in tables.
_WIDEST = 60


def lenient(cursor: psycopg.Cursor[Any]) -> psycopg.Cursor[Any]:
    """The same cursor, which gives text for values that Python has no object for, such as the time 'infinity'."""
    for name, load in _LOADERS.items():
        cursor.adapters.register_loader(name, load)
    return cursor


def _or_text(strict: type[Loader]) -> type[Loader]:
    """A loader that falls back to the text as it came."""
    made = strict.load

    def load(self: Loader, data: Buffer) -> Any:
        try:
            return made(self, data)
        except (psycopg.Error, NotImplementedError):
            return bytes(data).decode()

    return type(strict.__name__, (strict,), {"load": load})


class _JsonLoader(Loader):
    def load(self, data: Buffer) -> Any:
        text = bytes(data)
        try:
            value = json.loads(text, parse_float=_finite)
        except (ValueError, RecursionError):
            return text.decode(errors="replace")
        shallow = text.count(b"[") + text.count(b"{") <= _DEEPEST
        return value if shallow or _depth(value) <= _DEEPEST else text.decode(errors="replace")


_LOADERS: dict[str, type[Loader]] = {
    "date": _or_text(DateLoader),
    "time": _or_text(TimeLoader),
    "timetz": _or_text(TimetzLoader),
    "timestamp": _or_text(TimestampLoader),
    "timestamptz": _or_text(TimestamptzLoader),
    "interval": _or_text(IntervalLoader),
    "json": _JsonLoader,
    "jsonb": _JsonLoader,
}


def _finite(text: str) -> float | str:
    """A number of JSON, as text where it is too large for a float."""
    number = float(text)
    return number if math.isfinite(number) else text


def _depth(value: Any) -> int:
    deepest, left = 0, [(value, 1)]
    while left:
        each, depth = left.pop()
        deepest = max(deepest, depth)
        if isinstance(each, dict | list):
            left += [(inner, depth + 1) for inner in (each.values() if isinstance(each, dict) else each)]
    return deepest


def as_json_value(value: Any) -> Any:
    """A value of a column, as JSON has it: bytes in hexadecimal, as PostgreSQL prints them."""
    return f"\\x{bytes(value).hex()}" if isinstance(value, bytes | bytearray | memoryview) else value


def whole(value: Any) -> str:
    """A value as people read it, on as many lines as it has; what a terminal takes for commands is escaped."""
    text = value if isinstance(value, str) else terminal.json_text(as_json_value(value), indent=None)
    return terminal.printable(text, lines=True)


def cell(value: Any) -> str:
    """A value in a cell of a table, on one line."""
    if value is None:
        return ""
    text = terminal.printable(" ".join(whole(value).strip('"').split()))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
