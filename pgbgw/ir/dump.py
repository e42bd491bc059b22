"""The middle form as stable text: what golden tests keep and ``pgbgw show --ir`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from pgbgw.ir.model import ModuleIR
from pgbgw.origin import Origin

__all__ = ["dump"]


def dump(module: ModuleIR) -> str:
    """One value a line, nested values indented, positions as line and column; no path, so that copies agree."""
    return "\n".join(_lines("module", module, 0)) + "\n"


def _lines(name: str, value: object, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Origin):
        yield f"{indent}{name}: {value.line}:{value.column}"
    elif is_dataclass(value):
        yield f"{indent}{name}: {type(value).__name__}"
        for field in fields(value):
            yield from _lines(field.name, getattr(value, field.name), depth + 1)
    elif isinstance(value, Mapping):
        yield f"{indent}{name}: {len(value)} names"
    elif isinstance(value, tuple) and value:
        yield f"{indent}{name}:"
        for number, item in enumerate(value):
            yield from _lines(str(number), item, depth + 1)
    else:
        yield f"{indent}{name}: {value!r}"
