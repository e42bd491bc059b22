"""State in shared memory: the fields a class of state may have, and what a worker may do to them.

A field read through an instance gives a handle that makes actions, so that a misspelt field or action is a type error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, overload

from pgbgw.declare.naming import durable_name, free_text, sql_name
from pgbgw.declare.places import argument, shown
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin
from pgbgw.sqltext import near

if TYPE_CHECKING:
    from pgbgw.declare.extension import Extension

__all__ = [
    "Action",
    "Boolean",
    "BooleanHandle",
    "Counter",
    "CounterHandle",
    "Field",
    "Float",
    "Gauge",
    "GaugeHandle",
    "Handle",
    "Integer",
    "SharedState",
    "SharedStats",
    "Text",
    "Timestamp",
    "shared_state",
]

Operation: TypeAlias = Literal["add", "set", "now", "report"]


@dataclass(frozen=True, slots=True)
class Handle:
    """A field of one declared state."""

    stats: SharedStats
    field: str

    def __str__(self) -> str:
        return f'field "{self.field}"'

    def _action(self, operation: Operation, value: int | float | bool | str | None) -> Action:
        return Action(self, operation, value)


@dataclass(frozen=True, slots=True)
class Action:
    """What a worker does to a field; carried out under the lock, after the commit."""

    target: Handle
    operation: Operation
    value: int | float | bool | str | None

    def __str__(self) -> str:
        return f"{self.target.field}.{self.operation}({'' if self.value is None else repr(self.value)})"


class CounterHandle(Handle):
    """A handle of a counter."""

    __slots__ = ()

    def add(self, count: int = 1) -> Action:
        """Add ``count``, at least 0, for each job or round."""
        return self._action("add", count)


class GaugeHandle(Handle):
    """A handle of a gauge."""

    __slots__ = ()

    def add(self, count: int = 1) -> Action:
        """Add ``count``, which may be negative."""
        return self._action("add", count)

    def set(self, value: int) -> Action:
        """Set it to ``value``."""
        return self._action("set", value)


class IntegerHandle(GaugeHandle):
    """A handle of an integer."""

    __slots__ = ()


class FloatHandle(Handle):
    """A handle of a float."""

    __slots__ = ()

    def add(self, value: float) -> Action:
        """Add ``value``."""
        return self._action("add", value)

    def set(self, value: float) -> Action:
        """Set it to ``value``."""
        return self._action("set", value)


class BooleanHandle(Handle):
    """A handle of a boolean."""

    __slots__ = ()

    def set(self, value: bool) -> Action:
        """Set it to ``value``."""
        return self._action("set", value)


class TimestampHandle(Handle):
    """A handle of a timestamp."""

    __slots__ = ()

    def now(self) -> Action:
        """Set it to the time at which the action is carried out."""
        return self._action("now", None)


class TextHandle(Handle):
    """A handle of a text."""

    __slots__ = ()

    def set(self, text: str) -> Action:
        """Set it to ``text``, cut at the field's size on a character boundary."""
        return self._action("set", text)

    def report(self) -> Action:
        """Set it to a sentence about what the worker did last, or the error that stopped it."""
        return self._action("report", None)


H = TypeVar("H", bound=Handle)


class Field(Generic[H]):
    """A field of shared state: its comment, its SQL type, and the handle that instances show."""

    sql_type = "bigint"
    handle: type[Any] = Handle

    def __init__(self, comment: str = "") -> None:
        self.comment = comment
        self.name = ""
        self.origin = Origin.of_caller()
        self._places: list[str] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name
        self._places.append(f"{owner.__name__}.{name}")

    def check_place(self, owner: type, name: str) -> None:
        """Report BGW608 where the field has another name, or is of another class, already."""
        # Not in __set_name__, whose exceptions Python 3.11 wraps into a RuntimeError.
        first, here = self._places[0], f"{owner.__name__}.{name}"
        if first != here:
            report(Diagnostic("BGW608", f"field is used twice: as {first} and as {here}", self.origin,
                              detail="A field object stands for one place in one class.",
                              hint="Make a field of its own for each name."))  # fmt: skip

    @overload
    def __get__(self, instance: None, owner: type) -> Field[H]: ...
    @overload
    def __get__(self, instance: SharedStats, owner: type) -> H: ...
    def __get__(self, instance: SharedStats | None, owner: type) -> Field[H] | H:
        if instance is None:
            return self
        handle: H = self.handle(instance, self.name)
        return handle


class Counter(Field[CounterHandle]):
    """A count that only grows, 64 bits; ``hot=True`` keeps it as an atomic outside the lock."""

    handle = CounterHandle

    def __init__(self, comment: str = "", *, hot: bool = False) -> None:
        super().__init__(comment)
        self.hot = hot


class Gauge(Field[GaugeHandle]):
    """A number that goes up and down, 64 bits."""

    handle = GaugeHandle


class Integer(Field[IntegerHandle]):
    """An integer of 64 bits."""

    handle = IntegerHandle


class Float(Field[FloatHandle]):
    """A double."""

    sql_type = "double precision"
    handle = FloatHandle


class Boolean(Field[BooleanHandle]):
    """A boolean."""

    sql_type = "boolean"
    handle = BooleanHandle


class Timestamp(Field[TimestampHandle]):
    """A point in time; NULL in SQL until it is set for the first time."""

    sql_type = "timestamp with time zone"
    handle = TimestampHandle


class Text(Field[TextHandle]):
    """Text in a buffer of ``size`` bytes, the ending NUL included (2 to 8192); NULL in SQL until it is set."""

    sql_type = "text"
    handle = TextHandle

    def __init__(self, size: int, comment: str = "") -> None:
        super().__init__(comment)
        self.size = self._checked(size)

    def _checked(self, size: object) -> int:
        if isinstance(size, int) and not isinstance(size, bool) and 2 <= size <= 8192:
            return size
        report(Diagnostic("BGW601", f"size of a text field is out of range: {shown(size)}",
                          argument(self.origin, 0, "size"),
                          detail="The buffer lies in shared memory and is allocated once, at server start.",
                          hint="Give a size of 2 to 8192 bytes."))  # fmt: skip
        return 256


class SharedStats:
    """Base of the classes that declare shared state; fields are class attributes."""

    _fields: ClassVar[dict[str, Field[Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, value in vars(cls).items():
            if isinstance(value, Field):
                value.check_place(cls, name)
        fields: dict[str, Field[Any]] = {}
        for base in reversed(cls.__mro__):
            fields.update({name: value for name, value in vars(base).items() if isinstance(value, Field)})
        cls._fields = fields


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SharedState:
    """One declared state: the fields of its class, and the SQL function and view that show the chosen columns."""

    extension: Extension = field(repr=False)
    name: str
    stats: SharedStats
    fields: tuple[Field[Any], ...]
    function: str
    view: str
    columns: tuple[tuple[str, str], ...]  # field, column
    origin: Origin


def shared_state(
    extension: Extension,
    name: str,
    stats: SharedStats,
    function: str | None,
    view: str | None,
    columns: Sequence[str] | Mapping[str, str] | None,
) -> SharedState:
    """Build the state that ``Extension.shared_stats`` notes; reports BGW602 to BGW604."""
    origin = Origin.of_caller()
    name = durable_name("shared state", name, origin, 0, "name")
    fields = type(stats)._fields
    if not fields:
        report(Diagnostic("BGW602", f'shared state "{name}" has no fields', argument(origin, 1, "fields"),
                          hint="Give the class at least one Counter, Gauge, Boolean, Integer, Float, Timestamp or "
                          "Text."))  # fmt: skip
    for each in fields.values():
        _named(name, each)
    return SharedState(
        extension=extension,
        name=name,
        stats=stats,
        fields=tuple(fields.values()),
        function=sql_name("function", function, origin, "function") if function is not None else f"get_{name}_stats",
        view=sql_name("view", view, origin, "view") if view is not None else f"{name}_status",
        columns=_chosen(name, fields, columns, origin),
        origin=origin,
    )


def _named(state: str, each: Field[Any]) -> None:
    durable_name(f'field of shared state "{state}"', each.name, each.origin)
    where = (1, "comment") if isinstance(each, Text) else (0, "comment")
    each.comment = free_text(f'comment of field "{each.name}"', each.comment, each.origin, *where)


def _chosen(
    state: str, fields: Mapping[str, Field[Any]], columns: Sequence[str] | Mapping[str, str] | None, origin: Origin
) -> tuple[tuple[str, str], ...]:
    """The fields that are shown, each with its column, in order."""
    if isinstance(columns, str):
        columns = (columns,)
    wanted = tuple(columns.items()) if isinstance(columns, Mapping) else tuple((c, c) for c in columns or fields)
    where = argument(origin, "columns")
    chosen: dict[str, str] = {}
    for name, column in wanted:
        if name not in fields:
            suggestion = near(str(name), fields)
            report(Diagnostic("BGW603", f'shared state "{state}" has no field "{name}"', where,
                              detail=f"Its fields are {', '.join(fields)}.",
                              hint=f"Did you mean {suggestion}?" if suggestion else "Name a field."))  # fmt: skip
            continue
        column = sql_name(f'column of shared state "{state}"', column, origin, "columns")
        if column in chosen.values():
            report(Diagnostic("BGW604", f'column "{column}" of shared state "{state}" stands there twice', where,
                              hint="Give each column a name of its own."))  # fmt: skip
            continue
        chosen[name] = column
    return tuple(chosen.items())
