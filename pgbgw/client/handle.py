"""A queue as a program sees it: where it stands, and what its jobs are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from psycopg.types.json import Json, Jsonb

from pgbgw import _core
from pgbgw.declare.derived import queue_channel
from pgbgw.declare.queues import Payload, Queue
from pgbgw.sqltext import SqlType, quote_ident

__all__ = ["JSON_TYPES", "Casts", "Column", "Handle", "cast_for", "handle_of", "spelled_type"]

JSON_TYPES = frozenset({"json", "jsonb", "json[]", "jsonb[]"})
"""Types whose values are JSON, or arrays of such."""

_parse = msgspec.json.Decoder().decode

# json.dumps() makes an encoder for each call that has an option.
_dumps = json.JSONEncoder(ensure_ascii=False).encode

# What format_type() calls a type, and what the core does.
_CORE_TYPES = {
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "numeric": "numeric",
    "text": "text",
    "character varying": "varchar",
    "character": "bpchar",
    "bytea": "bytea",
    "json": "json",
    "jsonb": "jsonb",
    "uuid": "uuid",
    "date": "date",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "interval": "interval",
    "inet": "inet",
    "cidr": "cidr",
}

# Types whose text the server reads as it is, or refuses: a payload may well declare them as str.
_WRITTEN = frozenset({"inet", "cidr", "uuid", "interval"})

_BY_OID = {
    oid: f"{spelled}{array}"
    for array in ("", "[]")
    for oid, spelled in zip(
        _core.Layout(None, [f"{name}{array}" for name in _CORE_TYPES.values()]).types, _CORE_TYPES, strict=True
    )
}

# What else the core reads, by OID.
_READ_NAMES = [*_CORE_TYPES.values(), "char", "name", "oid"]
_READ = dict(zip(_core.Layout(None, _READ_NAMES).types, _READ_NAMES, strict=True))
_READ_ARRAYS = frozenset(_core.Layout(None, [f"{name}[]" for name in _READ_NAMES]).types)

P = TypeVar("P")

Casts: TypeAlias = tuple[tuple[str, str | None], ...]
"""The columns of a table in order, each with what it is cast to where the core can't read it as it is."""


def cast_for(oid: int, element: int) -> str | None:
    """What a column is cast to so that the core reads it, by the type in which it is sent and that of its elements, or
    0; None where it is read as it is. What has no reader is read as text, and an array of it as one of texts.
    """
    if oid in _READ or oid in _READ_ARRAYS:
        return None
    # the elements of an array are those of a domain
    return f"{_READ.get(element, 'text')}[]" if element else "text"


def spelled_type(oid: int) -> str:
    """What ``format_type()`` calls a type, as far as the core knows it."""
    return _BY_OID.get(oid, f"a type of OID {oid}")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the payload, with its type as ``format_type()`` spells it, and its schema if that is not pg_catalog.

    ``core`` is what the compiled core calls that type, or None where it has no name for it.
    """

    name: str
    type: str
    nullable: bool = True

    @property
    def json(self) -> bool:
        """Whether its values are JSON, or arrays of such."""
        return self.type in JSON_TYPES

    @property
    def core(self) -> str | None:
        """The type by its name in ``pg_type``, such as "int8[]" for "bigint[]"."""
        base = re.sub(r"\([\d,]+\)", "", self.type.removesuffix("[]"))
        name = _CORE_TYPES.get(base)
        return f"{name}[]" if name is not None and self.type.endswith("[]") else name

    @property
    def oid(self) -> int | None:
        """Its type by OID, or None where the core has no name for it."""
        return None if self.core is None else _core.Layout(None, [self.core]).types[0]


@dataclass(frozen=True, slots=True)
class Handle(Generic[P]):
    """Names of a queue's objects, and its payload; ``payload`` is its class, or None where jobs are mappings.

    ``lease_seconds`` is how long a lease lasts unless it is said otherwise: None where sessions can't claim.
    """

    extension: str
    version: str | None
    schema: str
    name: str
    table: str
    view: str
    columns: tuple[Column, ...]
    payload: type[P] | None
    unique: bool
    lease_seconds: float | None
    history: bool
    channel: str
    # the columns whose values are JSON, which the core leaves as it was sent
    json_columns: tuple[str, ...]

    def __str__(self) -> str:
        return f'queue "{self.name}"'

    def __hash__(self) -> int:
        # Layouts are looked up by it at every claim, and there is one of each name.
        return hash(self.table)

    def wants_casts(self) -> bool:
        """Whether only its database knows how the core reads all of its columns."""
        return any(column.core is None for column in self.columns)

    def named(self, ending: str = "") -> str:
        """The table, or another object named after it, qualified and quoted."""
        return f"{quote_ident(self.schema)}.{quote_ident(self.table + ending)}"

    def values(self, job: P | Mapping[str, Any], looked_at: _core.CopyEncoder | None = None) -> list[Any]:
        """The values of a job in the order of the columns, ready to be sent by psycopg.

        psycopg and the server convert what the core refuses, such as text into numbers. So that it does not matter by
        which way a job goes in, the core looks at the values of a declared payload: in ``encoder()`` for many of them.

        Raises:
            CopyError: a value does not fit its column; it says in which row, counted by the encoder.
            TypeError: it is neither of the payload class nor a mapping with exactly its fields.
        """
        found = self._found(job)
        if self.payload is not None:
            layout, left = _looked_at(self)
            row = [None if isinstance(value, each) else value for each, value in zip(left, found, strict=True)]
            (looked_at or _core.CopyEncoder(layout)).feed([row])
        return [_ready(column, value) for column, value in zip(self.columns, found, strict=True)]

    def encoder(self) -> _core.CopyEncoder:
        """What looks at the values of jobs one after another."""
        return _core.CopyEncoder(_looked_at(self)[0])

    def _found(self, job: P | Mapping[str, Any]) -> list[Any]:
        if isinstance(job, Mapping):
            given: Mapping[str, Any] = job
            unknown = given.keys() - {column.name for column in self.columns}
            missing = [c.name for c in self.columns if c.name not in given and not c.nullable]
            if unknown or missing:
                problem = f"unknown {', '.join(sorted(unknown))}" if unknown else f"missing {', '.join(missing)}"
                fields = ", ".join(column.name for column in self.columns)
                raise TypeError(f"job of {self}: {problem}; its fields are {fields}")
            return [given.get(column.name) for column in self.columns]
        if self.payload is not None and not isinstance(job, self.payload):
            raise TypeError(f"job of {self} is a {type(job).__name__}, not a {self.payload.__name__} or a mapping")
        return [getattr(job, column.name) for column in self.columns]

    def built(self, values: dict[str, Any]) -> P:
        """The payload of a job, from the values of its columns: of the payload class, or the dict itself."""
        for name in self.json_columns:
            values[name] = _loaded(values[name])
        if self.payload is None:
            return values  # type: ignore[return-value]  # P is Any there
        made = object.__new__(self.payload)
        # A dict of nobody else's: taken as it is, it need not be copied.
        made.__dict__ = values
        return made

    def layout(self) -> _core.Layout | None:
        """How rows for COPY are laid out: the payload and the priority; None where the core knows some type not."""
        return _layout(self)

    def rows(
        self, jobs: Iterable[P | Mapping[str, Any]], priority: int, progress: Callable[[int], object] | None
    ) -> _core.JobRows:
        """The rows of jobs in that layout; ``progress`` is called with how many there were."""
        converters = [partial(_dumped, column) if column.json else None for column in self.columns]
        names = [column.name for column in self.columns]
        return _core.JobRows(
            jobs, self.payload, names, converters, priority, lambda job: self.row(job, priority), progress
        )

    def row(self, job: P | Mapping[str, Any], priority: int) -> list[Any]:
        """The values of a row of that layout."""
        row = self._found(job)
        for number, column in enumerate(self.columns):
            if column.json and row[number] is not None:
                row[number] = _dumped(column, row[number])
        row.append(priority)
        return row


@lru_cache(maxsize=256)
def _layout(handle: Handle[Any]) -> _core.Layout | None:
    types = [column.core for column in handle.columns]
    if handle.payload is None or None in types:
        return None
    # errors tell columns by their names
    names = [*(column.name for column in handle.columns), "priority"]
    return _core.Layout(names, [*(each for each in types if each is not None), "int2"])


@lru_cache(maxsize=256)
def _looked_at(handle: Handle[Any]) -> tuple[_core.Layout, tuple[type | tuple[()], ...]]:
    """The columns of a payload, and of each the class whose values the core does not look at: every value where it has
    no name for the type, or psycopg makes JSON of it.
    """
    columns = handle.columns
    layout = _core.Layout([column.name for column in columns], [column.core or "text" for column in columns])
    return layout, tuple(
        object if column.core is None or column.json else str if column.core in _WRITTEN else () for column in columns
    )


def _loaded(value: Any) -> Any:
    """JSON as the core gives it, as objects of Python: those that ``json.loads`` makes."""
    if value.__class__ is str:
        try:
            return _parse(value)
        except msgspec.DecodeError:
            # A number that is too large for it, or half a surrogate pair.
            return json.loads(value)
    return None if value is None else [_loaded(each) for each in value]


def _dumped(column: Column, value: Any) -> Any:
    """Objects of Python as JSON for the core."""
    if column.type.endswith("[]"):
        return [None if each is None else _dumps(each) for each in value]
    return _dumps(value)


def _ready(column: Column, value: Any) -> Any:
    """JSON has to be marked as such, or a list would be an array."""
    if value is None or not column.json:
        return value
    if column.type.endswith("[]"):
        return [None if each is None else _marked(column, each) for each in value]
    return _marked(column, value)


def _marked(column: Column, value: Any) -> Any:
    return Json(value) if column.type.startswith("json") and not column.type.startswith("jsonb") else Jsonb(value)


def _qualified(declared: SqlType, schema: str) -> str:
    """A type with its schema: without one it is of the extension's, where CREATE EXTENSION looks for it."""
    name = quote_ident(declared.internal)
    named = declared.sql.removeprefix(name)
    alone = declared.oid is None and named != declared.sql and not named.startswith(".")
    return f"{quote_ident(schema)}.{declared.sql}" if alone else declared.sql


PayloadClass = TypeVar("PayloadClass", bound=Payload)


@lru_cache(maxsize=256)
def handle_of(queue: Queue[PayloadClass]) -> Handle[PayloadClass]:
    """The queue of a declaration."""
    extension = queue.extension
    return Handle(
        extension=extension.name,
        version=extension.version,
        schema=extension.schema,
        name=queue.name,
        table=queue.table,
        view=queue.view,
        columns=tuple(
            Column(column.name, _qualified(column.type, extension.schema), column.nullable) for column in queue.columns
        ),
        payload=queue.payload,
        unique=queue.unique,
        lease_seconds=queue.lease.us / 1_000_000 if queue.lease is not None else None,
        history=queue.history is not None,
        channel=queue_channel(queue),
        json_columns=tuple(column.name for column in queue.columns if column.type.sql in JSON_TYPES),
    )
