"""Settings (GUCs) of every kind PostgreSQL has.

Source: ``src/include/utils/guc.h`` (contexts, flags, DefineCustom*Variable) and the chapter "Customized Options" of
PostgreSQL's documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from pgbgw.declare.naming import durable_name, free_text
from pgbgw.declare.places import argument, shown
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin
from pgbgw.sqltext import near

if TYPE_CHECKING:
    from pgbgw.declare.extension import Extension

__all__ = [
    "BoolSetting",
    "Context",
    "EnumOption",
    "EnumSetting",
    "Flag",
    "IntSetting",
    "RealSetting",
    "Setting",
    "StringSetting",
    "Unit",
    "enum_options",
]

Context: TypeAlias = Literal["internal", "postmaster", "sighup", "superuser-backend", "backend", "superuser", "user"]
"""When a setting may change, in the words of ``pg_settings.context``."""

Unit: TypeAlias = Literal["B", "kB", "MB", "8kB", "ms", "s", "min"]
"""The unit that a bare number in postgresql.conf has, in the words of ``pg_settings.unit``; 8kB is one block."""

Flag: TypeAlias = Literal[
    "list_input",
    "no_show_all",
    "no_reset",
    "no_reset_all",
    "report",
    "not_in_sample",
    "disallow_in_file",
    "superuser_only",
    "is_name",
    "not_while_sec_rest",
    "disallow_in_auto_file",
    "explain",
    "runtime_computed",
]
"""The flags of guc.h that an extension's setting may carry, without GUC_ and in lower case."""

_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Setting:
    """What the five kinds of setting share; ``name`` stands without the extension's prefix."""

    extension: Extension = field(repr=False)
    name: str
    comment: str
    description: str
    context: Context
    flags: tuple[Flag, ...]
    origin: Origin

    def __post_init__(self) -> None:
        self._set("name", durable_name("setting", self.name, self.origin, 0, "name"))
        for what in ("comment", "description"):
            kind = f'{what} of setting "{self.name}"'
            self._set(what, free_text(kind, getattr(self, what), self.origin, what))
        if self.context not in get_args(Context):
            meant = near(str(self.context), get_args(Context))
            words = ", ".join(get_args(Context))
            self._fault("BGW301", f'context of setting "{self.name}" does not exist: {shown(self.context)}', "context",
                        detail=f"The contexts are {words}." if meant else None,
                        hint=f"Did you mean {meant}?" if meant else f"Use one of {words}.")  # fmt: skip
            self._set("context", "sighup")
        for flag in self.flags:
            if flag not in get_args(Flag):
                self._fault("BGW302", f'flag of setting "{self.name}" does not exist: {shown(flag)}', "flags",
                            detail="Flags of units come from unit=, and the server refuses list_quote to extensions.",
                            hint=f"Use any of {', '.join(get_args(Flag))}.")  # fmt: skip
        self._set("flags", tuple(flag for flag in self.flags if flag in get_args(Flag)))

    def __str__(self) -> str:
        return f'setting "{self.name}"'

    @property
    def qualified(self) -> str:
        """The name as in postgresql.conf."""
        return f"{self.extension.name}.{self.name}"

    def _set(self, attribute: str, value: object) -> None:
        object.__setattr__(self, attribute, value)

    def _fault(
        self, code: str, message: str, *where: str | int, detail: str | None = None, hint: str | None = None
    ) -> None:
        report(Diagnostic(code, message, argument(self.origin, *where), detail, hint))

    def _wrong(self, what: str, wanted: str, value: object) -> None:
        self._fault("BGW303", f'{what} of setting "{self.name}" is not {wanted}: {shown(value)}', *_WHERE[what],
                    hint=f"Give {wanted}.")  # fmt: skip


# Where the call that declares a setting has the value.
_WHERE: dict[str, tuple[str | int, ...]] = {"default": (1, "default"), "min": ("min",), "max": ("max",)}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BoolSetting(Setting):
    """A boolean."""

    default: bool

    def __post_init__(self) -> None:
        Setting.__post_init__(self)
        value: object = self.default
        if not isinstance(value, bool):
            self._wrong("default", "True or False", value)
            self._set("default", False)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class IntSetting(Setting):
    """A 32-bit integer between ``min`` and ``max``, both included."""

    default: int
    min: int
    max: int
    unit: Unit | None

    def __post_init__(self) -> None:
        Setting.__post_init__(self)
        _unit(self, self.unit)
        values: dict[str, object] = {"default": self.default, "min": self.min, "max": self.max}
        sound = True
        for what, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int) or not _INT_MIN <= value <= _INT_MAX:
                self._wrong(what, f"an integer from {_INT_MIN} to {_INT_MAX}", value)
                self._set(what, 0)
                sound = False
        if sound:
            _limits(self, self.default, self.min, self.max)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RealSetting(Setting):
    """A double between ``min`` and ``max``, both included."""

    default: float
    min: float
    max: float
    unit: Unit | None

    def __post_init__(self) -> None:
        Setting.__post_init__(self)
        _unit(self, self.unit)
        values: dict[str, object] = {"default": self.default, "min": self.min, "max": self.max}
        sound = True
        for what, value in values.items():
            number = _double(value)
            if number is None:
                self._wrong(what, "a finite number", value)
                sound = False
            self._set(what, number or 0.0)
        if sound:
            _limits(self, self.default, self.min, self.max)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class StringSetting(Setting):
    """A string; ``None`` as the default is C's NULL, shown as the empty string."""

    default: str | None

    def __post_init__(self) -> None:
        Setting.__post_init__(self)
        value: object = self.default
        if isinstance(value, str):
            self._set("default", free_text(f'default of setting "{self.name}"', value, self.origin, 1, "default"))
        elif value is not None:
            self._wrong("default", "a string or None", value)
            self._set("default", None)


@dataclass(frozen=True, slots=True)
class EnumOption:
    """One value of an enum setting; a hidden one is accepted and not shown in messages."""

    name: str
    hidden: bool = False


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EnumSetting(Setting):
    """One of a fixed list of words, compared without regard to case."""

    default: str
    options: tuple[EnumOption, ...]

    def __post_init__(self) -> None:
        Setting.__post_init__(self)
        if not self.options:
            self._fault("BGW305", f'enum setting "{self.name}" has no options', "options",
                        hint="List at least one option.")  # fmt: skip
        names = [free_text(f'option of setting "{self.name}"', o.name, self.origin, "options") for o in self.options]
        self._set("options", tuple(EnumOption(n, bool(o.hidden)) for n, o in zip(names, self.options, strict=True)))
        folded = [name.lower() for name in names]
        for name in dict.fromkeys(name for name in folded if folded.count(name) > 1):
            self._fault("BGW305", f'option "{name}" of setting "{self.name}" stands there twice', "options",
                        detail="PostgreSQL compares options without regard to case.", hint="Remove one.")  # fmt: skip
        if self.default not in names:
            if names:
                self._wrong("default", f"one of {', '.join(map(repr, names))}", self.default)
            self._set("default", names[0] if names else "")


def enum_options(options: Iterable[str | EnumOption]) -> tuple[EnumOption, ...]:
    """Options as values, plain strings being visible ones."""
    return tuple(option if isinstance(option, EnumOption) else EnumOption(option) for option in options)


def _double(value: object) -> float | None:
    """A finite double, or None; an integer too large for one counts as none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _unit(setting: IntSetting | RealSetting, unit: object) -> None:
    if unit is not None and unit not in get_args(Unit):
        setting._fault("BGW304", f'unit of setting "{setting.name}" does not exist: {shown(unit)}', "unit",
                       hint=f"Use one of {', '.join(get_args(Unit))}, or none.")  # fmt: skip
        setting._set("unit", None)


def _limits(setting: Setting, default: float, low: float, high: float) -> None:
    if low > high:
        setting._fault("BGW306", f'limits of setting "{setting.name}" are the wrong way round: {low} to {high}', "min",
                       "max", hint="Let min be at most max.")  # fmt: skip
    elif not low <= default <= high:
        setting._fault("BGW306", f'default of setting "{setting.name}" is outside its limits: {default}', 1, "default",
                       detail=f"Its limits are {low} to {high}; the server would refuse to load the library.",
                       hint="Change the default or the limits.")  # fmt: skip
