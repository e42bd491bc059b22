"""What is taken over, written: as calls of a schedule table's functions, or as a declaration in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from pgbgw.crontab.entries import Refusal, Taken
from pgbgw.sqltext import SqlError, parse, quote_ident, quote_literal

__all__ = ["declarable", "declaration", "script", "statements"]

_WIDTH = 120


def statements(one: Taken, table: Sequence[str], *, missed: int, paused: bool = False) -> tuple[str, ...]:
    """The calls that make a schedule, and pause it where it is not active; to be made as its owner.

    ``table`` is the name of the schedule table, with its schema where that is given.
    """
    named = {"time_zone": None if one.zone == "UTC" else quote_literal(one.zone),
             "transaction": None if one.transaction else "false",
             "missed": None if missed == 1 else str(missed),
             "timeout": None if one.timeout is None else quote_literal(f"{one.timeout:g} s")}  # fmt: skip
    arguments = [quote_literal(one.name), quote_literal(one.expression), quote_literal(one.command)]
    arguments += [f"{name} => {value}" for name, value in named.items() if value is not None]
    calls = [f"SELECT {_function(table, 'schedule')}({', '.join(arguments)})"]
    if paused or not one.active:
        calls.append(f"SELECT {_function(table, 'pause')}({quote_literal(one.name)})")
    return tuple(calls)


def _function(table: Sequence[str], verb: str) -> str:
    return ".".join(quote_ident(part) for part in [*table[:-1], f"{table[-1]}_{verb}"])


def script(found: Sequence[Taken], table: Sequence[str], now: datetime, *, missed: int, paused: bool = False) -> str:
    """All of them as one transaction for psql."""
    lines = ["BEGIN;"]
    owner: str | None = None
    for one in found:
        lines += ["", *(f"-- {text}" for text in _told(one, now))]
        if one.owner != owner:
            lines.append(f"SET LOCAL ROLE {quote_ident(one.owner)};" if one.owner else "RESET ROLE;")
            owner = one.owner
        lines += [f"{statement};" for statement in statements(one, table, missed=missed, paused=paused)]
    if owner is not None:
        lines += ["", "RESET ROLE;"]
    return "\n".join([*lines, "COMMIT;"])


def _told(one: Taken, now: datetime) -> Iterator[str]:
    """Where it stood, what the expression means, and what is not as it was; each on a line."""
    next_run = one.schedule.next(now)
    then = f"; next {next_run.isoformat()}" if next_run else ""
    yield f"{_line(one.where)}: {one.schedule.sentence()}, {one.zone}{then}"
    for note in one.notes:
        yield f"note: {_line(note)}"


def _line(text: str) -> str:
    """Text that can't leave its comment."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def declarable(found: Sequence[Taken]) -> tuple[list[Taken], list[Refusal]]:
    """Those that a worker can be declared of, which runs one statement, and the others."""
    kept: list[Taken] = []
    refused: list[Refusal] = []
    for one in found:
        try:
            parsed = parse(one.command)
        except SqlError as error:
            refused.append(Refusal(f"not for a worker: {error.message}", hint=error.hint, where=one.where))
            continue
        if parsed.parameters:
            name = parsed.parameters[0].name
            refused.append(Refusal(f"not for a worker: :{name} would be a parameter", where=one.where,
                                   hint=f"Write a blank behind the colon: \": {name}\"."))  # fmt: skip
        else:
            kept.append(one)
    return kept, refused


def declaration(found: Sequence[Taken], name: str, database: str | None, *, missed: int, paused: bool = False) -> str:
    """All of them as workers of an extension of that name; one that is paused is commented out."""
    after = sorted({"seconds" for one in found if one.timeout is not None} | {"Extension", "sql"})
    lines = [
        '"""Workers that run by the calendar, taken over from cron."""',
        "",
        f"from pgbgw import {', '.join(after)}",
        "",
        f"{name} = Extension({_text(name)}, database={_text(database or 'postgres')})",
    ]
    names: set[str] = set()
    for one in found:
        lines += ["", *(f"# {_line(text)}" for text in [one.where, *one.notes])]
        worker = _worker(one, name, names, missed)
        off = paused or not one.active
        lines += ["# not active:", *(f"# {line}" for line in worker)] if off else worker
    return "\n".join(lines)


def _worker(one: Taken, extension: str, names: set[str], missed: int) -> list[str]:
    arguments = [_text(_identifier(one.name, names)), _text(one.expression)]
    if one.zone != "UTC":
        arguments.append(f"time_zone={_text(one.zone)}")
    if missed == 0:
        arguments.append('missed="skip"')
    if not one.transaction:
        arguments.append("transaction=False")
    if one.timeout is not None:
        arguments.append(f"timeout=seconds({one.timeout:g})")
    if one.owner is not None:
        arguments.append(f"role={_text(one.owner)}")
    arguments.append(f"run=sql({_text(one.command)})")
    call = f"{extension}.cron_worker({', '.join(arguments)})"
    if len(call) <= _WIDTH:
        return [call]
    return [f"{extension}.cron_worker(", *(f"    {argument}," for argument in arguments), ")"]


def _text(text: str) -> str:
    """A string constant of Python, which JSON's are as well."""
    return json.dumps(text, ensure_ascii=False)


def _identifier(text: str, names: set[str]) -> str:
    """A name of a worker: lower-case letters, digits, underscores, and none that is taken."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.lower()).strip("_")[:40] or "schedule"
    plain = plain if plain[0].isalpha() else f"_{plain}"
    number, free = 1, plain
    while free in names:
        number += 1
        free = f"{plain}_{number}"
    names.add(free)
    return free
