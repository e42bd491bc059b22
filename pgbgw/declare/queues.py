"""Queues: tables of jobs with typed payload columns."""

from __future__ import annotations

import datetime
import decimal
import inspect
import sys
import types
import typing
import uuid
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar, dataclass_transform

from pgbgw.declare.calls import QueueCalls
from pgbgw.declare.durations import Duration
from pgbgw.declare.naming import durable_name, sql_name
from pgbgw.declare.places import annotated_field, argument, shown
from pgbgw.declare.sql import parsed_type
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin
from pgbgw.sqltext import SqlType

if TYPE_CHECKING:
    from pgbgw.declare.extension import Extension

__all__ = ["JOB_COLUMNS", "Json", "Payload", "PayloadColumn", "Queue", "role_names", "sql_type_of"]

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
Json: TypeAlias = Annotated[JsonValue, "jsonb"]
"""A payload field of type jsonb."""

JOB_COLUMNS = ("id", "priority", "attempt", "created_at")
"""Columns that every queue has beside its payload; a statement may use them as parameters."""

_SQL_TYPES: dict[object, str] = {
    str: "text",
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    bytes: "bytea",
    decimal.Decimal: "numeric",
    datetime.datetime: "timestamp with time zone",
    datetime.date: "date",
    datetime.time: "time",
    datetime.timedelta: "interval",
    uuid.UUID: "uuid",
}

_LONGEST_BACKOFF = 366 * 86_400_000_000
_LONGEST_HISTORY = 10 * _LONGEST_BACKOFF
_HOUR = 3_600_000_000

_RESERVED_COLUMNS = frozenset(
    {*JOB_COLUMNS, "run_at", "status", "error", "sqlstate", "attempts", "failed_at", "lease_end", "token"}
    | {"context", "who", "done_at", "unique_key", "unique_for"}
    # system columns of every table
    | {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
)


@dataclass_transform(kw_only_default=True)
class Payload:
    """Base of the classes that declare a queue's payload: annotated fields, each a column.

    str, int, float, bool, bytes, Decimal, datetime, date, time, timedelta, UUID and Json have the PostgreSQL type one
    expects; ``Annotated[int, "integer"]`` names another; ``X | None`` lets NULL in.
    """

    _origin: ClassVar[Origin]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._origin = Origin.of_caller()

    def __init__(self, **values: Any) -> None:
        names = list(_annotations(type(self)))
        missing = [name for name in names if name not in values and not hasattr(type(self), name)]
        unknown = [name for name in values if name not in names]
        if missing or unknown:
            problem = f"missing {', '.join(missing)}" if missing else f"unknown {', '.join(unknown)}"
            raise TypeError(f"{type(self).__name__}(): {problem}; its fields are {', '.join(names)}")
        for name, value in values.items():
            setattr(self, name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in _annotations(type(self)))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _annotations(type(self)))
        return f"{type(self).__name__}({fields})"


P = TypeVar("P", bound=Payload)


@dataclass(frozen=True, slots=True)
class PayloadColumn:
    """One payload column."""

    name: str
    type: SqlType
    nullable: bool


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Queue(QueueCalls[P]):
    """A declared queue; its jobs are rows of ``table``, those that wait of ``table_later``, those given up of
    ``table_failed``, and the view shows them all.
    """

    extension: Extension = field(repr=False)
    name: str
    payload: type[P]
    columns: tuple[PayloadColumn, ...]
    table: str
    view: str
    retries: int
    backoff: Duration
    backoff_limit: Duration
    crashes: int = 3
    unique: bool = False
    producers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    lease: Duration | None = None
    consumers: tuple[str, ...] = ()
    history: Duration | None = None
    origin: Origin

    def __str__(self) -> str:
        return f'queue "{self.name}"'


def queue(
    extension: Extension,
    name: str,
    payload: type[P],
    retries: int,
    backoff: Duration,
    backoff_limit: Duration,
    table: str | None,
    view: str | None,
    crashes: int,
    unique: bool,
    producers: Sequence[str],
    operators: Sequence[str],
    lease: Duration | None,
    consumers: Sequence[str],
    history: Duration | None,
) -> Queue[P]:
    """Build the queue that ``Extension.queue`` notes; reports BGW501 to BGW512."""
    origin = Origin.of_caller()
    name = durable_name("queue", name, origin, 0, "name")
    table = sql_name("queue table", table, origin, "table") if table is not None else name
    backoff, backoff_limit = _backoff(name, backoff, backoff_limit, origin)
    return Queue(
        extension=extension,
        name=name,
        payload=payload,
        columns=_columns(name, payload, origin),
        table=table,
        view=sql_name("queue view", view, origin, "view") if view is not None else f"{table}_jobs",
        retries=_retries(name, retries, origin),
        backoff=backoff,
        backoff_limit=backoff_limit,
        crashes=_crashes(name, crashes, origin),
        unique=_unique(name, unique, origin),
        producers=role_names("producers", producers, origin),
        operators=role_names("operators", operators, origin),
        lease=_lease(name, lease, origin),
        consumers=_consumers(name, lease, consumers, origin),
        history=_history(name, history, origin),
        origin=origin,
    )


def _retries(name: str, retries: object, origin: Origin) -> int:
    if isinstance(retries, int) and not isinstance(retries, bool) and 0 <= retries <= 32766:
        return retries
    integer = isinstance(retries, int) and not isinstance(retries, bool)
    problem = "are out of range" if integer else "are not an integer"
    report(Diagnostic("BGW503", f'retries of queue "{name}" {problem}: {shown(retries)}',
                      argument(origin, "retries"), detail="Attempts are counted in a smallint.",
                      hint="Give a number from 0 (one attempt, no retry) to 32766."))  # fmt: skip
    return 0


def _crashes(name: str, crashes: object, origin: Origin) -> int:
    if isinstance(crashes, int) and not isinstance(crashes, bool) and 2 <= crashes <= 32766:
        return crashes
    report(Diagnostic("BGW508", f'crashes of queue "{name}" can\'t be used: {shown(crashes)}',
                      argument(origin, "crashes"),
                      detail="The first crash blames nobody, since a whole batch was in hand.",
                      hint="Give a number from 2 to 32766."))  # fmt: skip
    return 3


def _unique(name: str, unique: object, origin: Origin) -> bool:
    if isinstance(unique, bool):
        return unique
    report(Diagnostic("BGW509", f'unique of queue "{name}" is not True or False: {shown(unique)}',
                      argument(origin, "unique"),
                      hint="Write unique=True; the key of a job is given when it is put in."))  # fmt: skip
    return False


def _lease(name: str, lease: object, origin: Origin) -> Duration | None:
    if lease is None or (isinstance(lease, Duration) and 0 < lease.us <= _LONGEST_BACKOFF):
        return lease
    report(Diagnostic("BGW510", f'lease of queue "{name}" can\'t be used: {shown(lease)}', argument(origin, "lease"),
                      detail="It is a duration above 0 and up to a year, after which a job is given to another.",
                      hint="Write lease=seconds(60)."))  # fmt: skip
    return Duration(60_000_000)


def _history(name: str, history: object, origin: Origin) -> Duration | None:
    if history is None or (isinstance(history, Duration) and _HOUR <= history.us <= _LONGEST_HISTORY):
        return history
    report(Diagnostic("BGW512", f'history of queue "{name}" can\'t be used: {shown(history)}',
                      argument(origin, "history"),
                      detail="Jobs that are done are kept for an hour at least, and up to ten years.",
                      hint="Write history=days(7)."))  # fmt: skip
    return None


def _consumers(name: str, lease: object, consumers: object, origin: Origin) -> tuple[str, ...]:
    found = role_names("consumers", consumers, origin)
    if found and lease is None:
        report(Diagnostic("BGW511", f'queue "{name}" has consumers and no leases', argument(origin, "consumers"),
                          detail="Who takes jobs in a session of its own holds them by leases.",
                          hint="Write lease=seconds(60) as well, or leave consumers= out."))  # fmt: skip
    return found


def role_names(option: str, roles: object, origin: Origin, of: str = "a queue") -> tuple[str, ...]:
    """Names of roles, from one or several; reports BGW507."""
    names = (roles,) if isinstance(roles, str) else roles
    if not isinstance(names, list | tuple):
        report(Diagnostic("BGW507", f"{option} of {of} are no names of roles: {shown(roles)}",
                          argument(origin, option),
                          hint=f'Write {option}="app", or a tuple of such names.'))  # fmt: skip
        return ()
    return tuple(sql_name("role", each, origin, option) for each in names)


def _backoff(name: str, first: object, limit: object, origin: Origin) -> tuple[Duration, Duration]:
    sound = True
    for what, value in (("backoff", first), ("backoff_limit", limit)):
        if not isinstance(value, Duration) or not 0 < value.us <= _LONGEST_BACKOFF:
            report(Diagnostic("BGW504", f'{what} of queue "{name}" can\'t be used: {shown(value)}',
                              argument(origin, what), detail="It is a duration above 0 and up to a year.",
                              hint=f"Write {what}=seconds(10)."))  # fmt: skip
            sound = False
    if not (sound and isinstance(first, Duration) and isinstance(limit, Duration)):
        return Duration(1_000_000), Duration(1_000_000)
    if first > limit:
        report(Diagnostic("BGW504", f'backoff of queue "{name}" is longer than its limit: {first}',
                          argument(origin, "backoff"), detail=f"The longest wait, backoff_limit, is {limit}.",
                          hint="Raise backoff_limit, or shorten backoff."))  # fmt: skip
    return first, limit


def _columns(queue_name: str, payload: object, origin: Origin) -> tuple[PayloadColumn, ...]:
    if not isinstance(payload, type) or not issubclass(payload, Payload):
        report(Diagnostic("BGW501", f'payload of queue "{queue_name}" is not a Payload class: {shown(payload)}',
                          argument(origin, 1, "payload"),
                          hint="Derive a class from pgbgw.Payload with one annotated field a column."))  # fmt: skip
        return ()
    where: Origin = getattr(payload, "_origin", origin)  # the base class itself has none
    annotations = _annotations(payload)
    columns = [_column(payload, name, value) for name, value in annotations.items()]
    if not annotations:
        report(Diagnostic("BGW501", f'payload of queue "{queue_name}" has no fields', where,
                          hint="Annotate at least one field, such as body: str."))  # fmt: skip
    return tuple(column for column in columns if column is not None)


def _annotations(payload: type[Any]) -> dict[str, Any]:
    """Annotated fields, base classes first, with postponed annotations evaluated where they can be."""
    found: dict[str, Any] = {}
    for base in reversed(payload.__mro__):
        module = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        for name, annotation in inspect.get_annotations(base).items():
            if isinstance(annotation, str):
                try:
                    annotation = eval(annotation, module, {"Json": Json, **vars(base)})  # as typing.get_type_hints does
                except Exception as error:
                    annotation = error
            of_class: object = typing.get_origin(annotation)
            if not name.startswith("_") and of_class is not ClassVar:
                found[name] = annotation
    return found


def _column(payload: type[Payload], name: str, annotation: Any) -> PayloadColumn | None:
    owner, origin = payload.__name__, annotated_field(payload._origin, name)
    if name in _RESERVED_COLUMNS:
        report(Diagnostic("BGW502", f'payload field "{name}" of class {owner} is a column that queues have',
                          origin, hint=f'Rename it, for instance to "{name}_of_job".'))  # fmt: skip
        return None
    name = durable_name("payload field", name, origin)
    what = f'payload field "{name}" of class {owner}'
    annotation, nullable = _without_none(annotation)
    if typing.get_origin(annotation) is Annotated:
        named = [extra for extra in annotation.__metadata__ if isinstance(extra, str)]
        if named:
            return PayloadColumn(name, parsed_type(what, named[0], origin), nullable)
        annotation = annotation.__origin__
    sql_type = sql_type_of(annotation)
    if sql_type is None:
        written = str(annotation) if isinstance(annotation, Exception) else inspect.formatannotation(annotation)
        report(Diagnostic("BGW505", f'payload field "{name}" of class {owner} has no PostgreSQL type: {written}',
                          origin,
                          hint='Use a type that pgbgw.Payload lists, or Annotated[..., "the SQL type"].'))  # fmt: skip
        sql_type = "text"
    return PayloadColumn(name, parsed_type(what, sql_type, origin), nullable)


def sql_type_of(annotation: Any) -> str | None:
    """The SQL type of a type in Python, or None."""
    return _SQL_TYPES.get(annotation) if isinstance(annotation, Hashable) else None


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """``X`` and True for ``X | None``; everything else as it is."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    members = [member for member in typing.get_args(annotation) if member is not type(None)]
    nullable = len(members) < len(typing.get_args(annotation))
    return (members[0] if len(members) == 1 else annotation), nullable
