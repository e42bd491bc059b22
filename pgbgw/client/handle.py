"""A queue as a program sees it: where it stands, and what its jobs are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from psycopg.types.json import Json, Jsonb

from pgbgw.declare.derived import queue_channel
from pgbgw.declare.queues import Payload, Queue
from pgbgw.sqltext import quote_ident

__all__ = ["Column", "Handle", "handle_of"]

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the payload, with its type as ``format_type()`` spells it."""

    name: str
    type: str
    nullable: bool = True


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

    def __str__(self) -> str:
        return f'queue "{self.name}"'

    def named(self, ending: str = "") -> str:
        """The table, or another object named after it, qualified and quoted."""
        return f"{quote_ident(self.schema)}.{quote_ident(self.table + ending)}"

    def values(self, job: P | Mapping[str, Any]) -> list[Any]:
        """The values of a job in the order of the columns, ready to be sent.

        Raises:
            TypeError: it is neither of the payload class nor a mapping with exactly its fields.
        """
        if isinstance(job, Mapping):
            given: Mapping[str, Any] = job
            unknown = given.keys() - {column.name for column in self.columns}
            missing = [c.name for c in self.columns if c.name not in given and not c.nullable]
            if unknown or missing:
                problem = f"unknown {', '.join(sorted(unknown))}" if unknown else f"missing {', '.join(missing)}"
                fields = ", ".join(column.name for column in self.columns)
                raise TypeError(f"job of {self}: {problem}; its fields are {fields}")
            found = [given.get(column.name) for column in self.columns]
        else:
            if self.payload is not None and not isinstance(job, self.payload):
                raise TypeError(f"job of {self} is a {type(job).__name__}, not a {self.payload.__name__} or a mapping")
            found = [getattr(job, column.name) for column in self.columns]
        return [_ready(column, value) for column, value in zip(self.columns, found, strict=True)]

    def built(self, values: Mapping[str, Any]) -> P:
        """The payload of a job from the values of its columns: of the payload class, or a dict."""
        if self.payload is None:
            return dict(values)  # type: ignore[return-value]  # P is Any there
        made = object.__new__(self.payload)
        made.__dict__.update(values)
        return made


def _ready(column: Column, value: Any) -> Any:
    """JSON has to be marked as such, or a list would be an array."""
    if value is None or column.type not in ("json", "jsonb"):
        return value
    return Json(value) if column.type == "json" else Jsonb(value)


PayloadClass = TypeVar("PayloadClass", bound=Payload)


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
        columns=tuple(Column(column.name, column.type.sql, column.nullable) for column in queue.columns),
        payload=queue.payload,
        unique=queue.unique,
        lease_seconds=queue.lease.us / 1_000_000 if queue.lease is not None else None,
        history=queue.history is not None,
        channel=queue_channel(queue),
    )
