"""Columns as numpy and Arrow see them, against the tuples of the same rows."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow

from pgbgw._core import Columns, CopyError, Layout

__all__ = ["check_columns"]

_NAMES = {
    Layout(None, [name]).types[0]: name
    for base in ("numeric", "timetz", "inet", "cidr", "uuid", "time", "timestamptz")
    for name in (base, f"{base}[]")
}

# Values of a tuple that do not go into Arrow.
_BEYOND_ARROW = ("dimensions", "a value that a column does not hold")

# What Arrow holds of some input before, when all else of it is gone.
_kept: deque[tuple[Any, str]] = deque()


def check_columns(columns: Columns, rows: list[tuple[Any, ...]] | None) -> None:
    """Read them all; ``rows`` are the tuples of the same rows, where these could be had."""
    assert rows is None or len(columns) == len(rows)
    for number, name in enumerate(columns.names):
        assert 0 <= columns.nulls(name) <= len(columns)
        kind = _NAMES.get(columns.layout.types[number], "")
        values = None if rows is None else [items[number] for items in rows]
        _check_numpy(columns, name, kind, values)
    _check_arrow(columns, rows)


def _check_numpy(columns: Columns, name: str, kind: str, values: list[Any] | None) -> None:
    try:
        array = columns.numpy(name)
    except CopyError:
        assert values is None
        return
    assert len(array) == len(columns)
    found = array.tolist()
    if values is not None:
        assert repr(found) == repr([_as_numpy(kind, value) for value in values]), (kind, found, values)
        assert found.count(None) == columns.nulls(name)


def _as_numpy(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "timestamptz":
        return value.replace(tzinfo=None)
    return _since_midnight(value) if kind == "time" else value


def _since_midnight(value: Any) -> timedelta:
    return timedelta(0, value.hour * 3600 + value.minute * 60 + value.second, value.microsecond)


def _check_arrow(columns: Columns, rows: list[tuple[Any, ...]] | None) -> None:
    try:
        batch = pyarrow.record_batch(columns)
        table = pyarrow.table(columns)
    except (CopyError, pyarrow.ArrowException, OSError) as error:
        assert rows is None or any(beyond in str(error) for beyond in _BEYOND_ARROW), error
        return
    for made in (batch, table):
        made.validate(full=True)
    assert batch.num_rows == table.num_rows == len(columns)
    for number in range(batch.num_columns):
        column = batch.column(number)
        assert column.null_count == columns.nulls(columns.names[number])
        kind = _NAMES.get(columns.layout.types[number], "")
        if rows is not None:
            found, wanted = column.to_pylist(), [_as_arrow(kind, items[number]) for items in rows]
            assert _text(found) == _text(wanted), (kind, found, wanted)
    if _kept:
        kept, text = _kept.popleft()
        assert repr(kept.column(0).to_pylist()) == text, "what Arrow holds has changed"
    if rows:
        _kept.append((batch, repr(batch.column(0).to_pylist())))


def _as_arrow(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind.endswith("[]"):
        return [_as_arrow(kind.removesuffix("[]"), each) for each in value]
    if kind == "uuid":
        return value.bytes
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if kind in ("timetz", "inet", "cidr") else value


def _text(values: list[Any]) -> list[Any]:
    """As text, in which NaN is like NaN, and zones are known by their offset."""
    return [
        _text(each) if isinstance(each, list) else each.isoformat() if hasattr(each, "isoformat") else repr(each)
        for each in values
    ]
