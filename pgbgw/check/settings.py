"""Settings against what they are used for."""

from __future__ import annotations

from collections.abc import Iterator

from pgbgw.check.target import Rule, Target
from pgbgw.check.uses import Use, run_of, uses
from pgbgw.declare.extension import Extension
from pgbgw.declare.places import argument
from pgbgw.declare.settings import IntSetting, RealSetting, Setting, StringSetting
from pgbgw.declare.sql import Sql
from pgbgw.diagnostics import Diagnostic
from pgbgw.origin import Origin

__all__ = ["RULES"]

_MS = {"ms": 1, "s": 1_000, "min": 60_000}

# The smallest and the largest value that makes sense, and where the largest comes from.
_COUNTS = {"batch": (1, 100_000), "workers": (1, 1024), "limit": (1, 1024)}


def contexts(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW307 to BGW309: what is read once is postmaster, what is read in the loop is sighup."""
    found = [use for use in uses(extension) if use.setting.extension is extension]
    told: set[Setting] = set()
    # First what is read once: its context decides for a setting that is used both ways.
    for use in sorted(found, key=lambda use: not use.once):
        if use.setting in told:
            continue
        diagnostic = _read_once(use) if use.once else _read_in_the_loop(use)
        if diagnostic is not None:
            yield diagnostic
        if diagnostic is not None or use.once:
            told.add(use.setting)


def _read_once(use: Use) -> Diagnostic | None:
    if use.setting.context == "postmaster":
        return None
    return Diagnostic(
        "BGW307",
        f'setting "{use.setting.name}" is read once at server start, and its context is {use.setting.context}',
        argument(use.setting.origin, "context", 0, "name"),
        detail=f"It is {use.option}= of {use.worker}; a later change would be accepted and do nothing.",
        hint='Declare it with context="postmaster".',
    )


def _read_in_the_loop(use: Use) -> Diagnostic | None:
    where = argument(use.setting.origin, "context", 0, "name")
    used = f"a parameter of {use.worker}" if use.option.startswith(":") else f"{use.option}= of {use.worker}"
    if use.setting.context == "sighup":
        return None
    if use.setting.context == "postmaster":
        return Diagnostic(
            "BGW309",
            f'setting "{use.setting.name}" could change on reload, and its context is postmaster',
            where,
            detail=f"It is {used}, which is read before each round.",
            hint='Declare it with context="sighup", unless a restart is wanted.',
        )
    return Diagnostic(
        "BGW308",
        f'setting "{use.setting.name}" never reaches {use.worker}: its context is {use.setting.context}',
        where,
        detail=f"It is {used}, a process of its own, which no SET in a session reaches.",
        hint='Declare it with context="sighup".',
    )


def units(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW310: durations have a unit of time, counts have none."""
    for use in uses(extension):
        setting = use.setting
        if not isinstance(setting, IntSetting | RealSetting):
            continue
        if use.option in {"every", "timeout"} and setting.unit not in _MS:
            yield Diagnostic(
                "BGW310",
                f'setting "{setting.name}" is a duration without a unit of time',
                argument(setting.origin, "unit", 0, "name"),
                detail=f"It is {use.option}= of {use.worker}; its unit is {setting.unit or 'none'}.",
                hint='Declare it with unit="ms", "s" or "min".',
            )
        if use.option in _COUNTS and setting.unit is not None:
            yield Diagnostic(
                "BGW310",
                f'setting "{setting.name}" is a count with the unit {setting.unit}',
                argument(setting.origin, "unit", 0, "name"),
                detail=f"It is {use.option}= of {use.worker}.",
                hint="Declare it without unit=.",
            )


def ranges(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW311: the limits of a setting let in only what the worker can use."""
    for use in uses(extension):
        setting = use.setting
        if isinstance(setting, IntSetting | RealSetting):
            low, high = _range(use.option, setting)
            if setting.min < low:
                yield _beyond(use, "min", setting.min, f"{low:g}")
            if high is not None and setting.max > high:
                yield _beyond(use, "max", setting.max, str(high))


def _range(option: str, setting: IntSetting | RealSetting) -> tuple[float, int | None]:
    if option in _COUNTS:
        return _COUNTS[option]
    if option == "every":
        # A latch waits in whole milliseconds; 0 would spin.
        return 1 if isinstance(setting, IntSetting) else 1 / _MS.get(setting.unit or "ms", 1), None
    return (0 if option == "timeout" else setting.min), None


def _beyond(use: Use, which: str, value: float, bound: str) -> Diagnostic:
    return Diagnostic(
        "BGW311",
        f'{which} of setting "{use.setting.name}" lets in values that make no sense: {_plain(value)}',
        argument(use.setting.origin, which, 0, "name"),
        detail=f"It is {use.option}= of {use.worker}.",
        hint=f"Declare it with {which}={bound}, or {'more' if which == 'min' else 'less'}.",
    )


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def unused(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW312: a setting that no worker reads; not told while SQL that may read it does not parse."""
    if any(isinstance(run, Sql) and run.parsed is None for run in map(run_of, extension.workers)):
        return
    used = {use.setting for use in uses(extension)}
    for setting in extension.settings:
        if setting not in used:
            yield Diagnostic(
                "BGW312",
                f'setting "{setting.name}" is not used',
                _name(setting),
                detail="No worker reads it.",
                hint="Give it to a worker, or remove it.",
            )


def databases(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW313: a setting that names a database has a default."""
    told: set[Setting] = set()
    for use in uses(extension):
        setting = use.setting
        if use.option == "database" and isinstance(setting, StringSetting) and not setting.default:
            if setting not in told:
                yield Diagnostic(
                    "BGW313",
                    f'setting "{setting.name}" names a database and is empty by default',
                    argument(setting.origin, 1, "default"),
                    detail=f"It is database= of {use.worker}, which needs one to connect to.",
                    hint='Give it a default, such as "postgres".',
                )
            told.add(setting)


def flags(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW314: a flag that an older major does not know."""
    old = [major for major in target.majors if major < 16]
    for setting in extension.settings:
        if old and "no_reset" in setting.flags:
            yield Diagnostic(
                "BGW314",
                f'flag no_reset of setting "{setting.name}" has no effect on PostgreSQL {old[0]}',
                argument(setting.origin, "flags"),
                detail="GUC_NO_RESET came with PostgreSQL 16.",
                hint="Leave it out if the setting must behave the same everywhere.",
            )


def _name(setting: Setting) -> Origin:
    return argument(setting.origin, 0, "name")


RULES: tuple[Rule, ...] = (contexts, units, ranges, unused, databases, flags)
