"""Whether values of JSON are such as the columns of a queue take: a cast would make text of nearly everything."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pgbgw.client import Handle
from pgbgw.client.handle import Column

__all__ = ["Fields"]

# What a value must be for a type, by what format_type() calls it, beside a string with the type's own input.
_WANTED = {
    "smallint": "an integer",
    "integer": "an integer",
    "bigint": "an integer",
    "real": "a number",
    "double precision": "a number",
    "numeric": "a number",
    "boolean": "true or false",
}

# Types whose values are strings in JSON.
_STRINGS = frozenset(
    {
        "text", "character varying", "character", "bytea", "uuid", "date", "time without time zone",
        "time with time zone", "timestamp without time zone", "timestamp with time zone", "interval", "inet", "cidr",
    }
)  # fmt: skip

_TAKES: dict[str, Callable[[Any], bool]] = {
    "an integer": lambda value: value.__class__ is int,
    "a number": lambda value: value.__class__ in (int, float),
    "true or false": lambda value: value.__class__ is bool,
}


class Fields:
    """The columns of a queue's payload, as far as what they take can be told from their types."""

    def __init__(self, handle: Handle[Any]) -> None:
        self._columns = {column.name: (column, *_kind(column)) for column in handle.columns}

    def problem(self, job: Mapping[str, Any]) -> str | None:
        """The first field whose value its column does not take, and why; None where there is none.

        Fields that are unknown or missing are told elsewhere.
        """
        for name, value in job.items():
            if value is None or name not in self._columns:
                continue
            column, wanted, array = self._columns[name]
            if wanted == "anything" and not array:
                continue
            why = _array(value, wanted) if array else _single(value, wanted)
            if why is not None:
                return f'field "{name}" is of type {column.type} and {why}'
        return None


def _kind(column: Column) -> tuple[str, bool]:
    """What a value must be, or each of an array."""
    if column.json:
        return "anything", column.type.endswith("[]")
    base = re.sub(r"\([\d,]+\)", "", column.type.removesuffix("[]"))
    wanted = "a string" if base in _STRINGS else _WANTED.get(base, "no object")
    return wanted, column.type.endswith("[]")


def _array(value: Any, wanted: str) -> str | None:
    if value.__class__ is str and wanted != "anything":
        return _text(value)
    if value.__class__ is not list:
        return f"takes an array, not {_named(value)}"
    if wanted == "anything":
        return None
    for each in value:
        why = None if each is None else _array(each, wanted) if each.__class__ is list else _single(each, wanted)
        if why is not None:
            return why
    return None


def _single(value: Any, wanted: str) -> str | None:
    if value.__class__ is str:
        # the server reads it
        return _text(value)
    if wanted == "no object":
        # a domain or a type of the database's own
        return f"takes no {_named(value)[3:]}" if value.__class__ is dict else None
    if wanted == "a string" or not _TAKES[wanted](value):
        return f"takes {wanted}, not {_named(value)}"
    return None


def _text(value: str) -> str | None:
    if "\0" in value:
        return r"can't have \u0000, which PostgreSQL has no text with"
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        return "can't have half a surrogate pair"
    return None


def _named(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return "a string"
        case list():
            return "an array"
    return "an object"
