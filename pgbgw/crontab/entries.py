"""What is taken over: an expression, a zone and SQL as others have them, and what they become here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgbgw.calendar import CronError, Schedule, ZoneMissing
from pgbgw.sqltext import Piece, SqlError, pieces

__all__ = ["Dialect", "Entry", "Refusal", "Taken", "taken"]

Dialect: TypeAlias = Literal["crontab", "pg_cron"]

_WAY_OUT = "Make a schedule of each statement, or put what may run in a transaction into a procedure and CALL that."

# Words that say nothing about what a statement is for, as most tables and functions are in the schema public.
_IDLE = {
    "as", "begin", "call", "concurrently", "declare", "do", "end", "exists", "from", "if", "into", "materialized", "on",
    "only", "perform", "public", "returning", "select", "set", "table", "values", "verbose", "view", "where", "with",
}  # fmt: skip

_MOST_WORDS = 4
_MOST_CHARACTERS = 50


class Refusal(Exception):
    """What can't be taken over: where it stands, why, and the way out. The message has no full stop."""

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None, where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.where = where


@dataclass(frozen=True, slots=True)
class Entry:
    """A line, or a job, as it was found.

    ``where`` is its place for messages: a file and a line, or a job. ``commands`` are strings of SQL that are sent one
    after the other, or if ``apart`` their statements are. ``database`` and ``owner`` are None where nothing names them;
    ``timeout`` is in seconds.
    """

    where: str
    dialect: Dialect
    expression: str
    zone: str
    commands: tuple[str, ...]
    name: str | None = None
    database: str | None = None
    owner: str | None = None
    active: bool = True
    timeout: float | None = None
    notes: tuple[str, ...] = ()
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """The same as a schedule of ours; ``notes`` say what is not quite as it was."""

    where: str
    name: str
    schedule: Schedule = field(repr=False)
    command: str
    transaction: bool
    database: str | None
    owner: str | None
    active: bool
    timeout: float | None
    notes: tuple[str, ...]

    @property
    def expression(self) -> str:
        """As the calendar here reads it."""
        return self.schedule.cron.text

    @property
    def zone(self) -> str:
        """By which clocks."""
        return self.schedule.zone.name


def taken(entries: Sequence[Entry | Refusal]) -> tuple[list[Taken], list[Refusal]]:
    """What can be taken over, each with a name that no other of its owner has, and what can't."""
    found: list[Taken] = []
    refused: list[Refusal] = []
    names: set[tuple[str | None, str]] = set()
    for entry in entries:
        if isinstance(entry, Refusal):
            refused.append(entry)
            continue
        try:
            one = _taken(entry, names)
        except Refusal as refusal:
            refusal.where = entry.where
            refused.append(refusal)
        else:
            names.add((one.owner, one.name))
            found.append(one)
    return found, refused


def _taken(entry: Entry, names: set[tuple[str | None, str]]) -> Taken:
    expression, notes = _expression(entry)
    try:
        schedule = Schedule(expression, "UTC" if entry.zone == "GMT" else entry.zone)
    except CronError as error:
        raise Refusal(f"not a schedule: {error}", hint=error.hint) from error
    except ZoneMissing as error:
        raise Refusal(str(error), hint=error.hint) from error
    parts, transaction = _statements(entry.commands)
    command = entry.commands[0] if len(entry.commands) == 1 else ";\n".join(part.text for part in parts)
    if _is_block(parts):
        command = ";\n".join(part.text for part in parts[1:-1])
    elif len(parts if entry.apart else entry.commands) > 1:
        notes.append("its commands were transactions of their own, and are one now")
    return Taken(
        entry.where,
        _free(entry.name or _name(parts), entry.owner, names),
        schedule,
        command.strip().removesuffix(";"),
        transaction,
        entry.database,
        entry.owner,
        entry.active,
        entry.timeout,
        (*entry.notes, *notes),
    )


def _expression(entry: Entry) -> tuple[str, list[str]]:
    """The expression as ours reads it, and what is to be said about that.

    What others pass over in silence, as ``parse_cron_entry()`` of pg_cron's entry.c and ``load_entry()`` of cron's do,
    would mean something here.
    """
    text = entry.expression.strip()
    notes: list[str] = []
    if re.fullmatch(r"@(reboot|restart)", text):
        raise Refusal(
            f"{text} is no time of the calendar",
            detail="It stands for the start of the server.",
            hint="Declare an interval worker, whose first round begins with the server, or enqueue the work.",
        )
    if entry.dialect == "pg_cron" and (seconds := re.fullmatch(r"(\d+)\s+seconds?", text, re.IGNORECASE)):
        return _interval(int(seconds[1])), notes
    fields = text.split()
    if text.startswith("@"):
        if len(fields) > 1:
            notes.append(f'pg_cron passes over "{" ".join(fields[1:])}", which is left out')
        return fields[0], notes
    if len(fields) > 5:
        notes.append(f'pg_cron reads five fields and passes over "{" ".join(fields[5:])}", which is left out')
        fields = fields[:5]
    for number, each in enumerate(fields):
        if (cut := re.sub(r"(?<=\w)#[^,\s]*", "", each)) != each:
            notes.append(f'cron reads "{each}" as "{cut}", and so it stays')
            fields[number] = cut
    if entry.dialect == "pg_cron" and len(fields) == 5 and fields[2] == "$":
        fields[2] = "L"
    return " ".join(fields), notes


def _interval(seconds: int) -> str:
    """An interval of pg_cron, which counts from the start of the last run: where it divides a minute, by the clock."""
    if seconds == 1:
        return "* * * * * *"
    return f"*/{seconds} * * * * *" if seconds and 60 % seconds == 0 else f"@every {seconds} seconds"


def _is_block(parts: Sequence[Piece]) -> bool:
    """Whether they stand between a plain BEGIN and a plain COMMIT, which a schedule does by itself."""
    begins, ends = {"BEGIN", "START TRANSACTION"}, {"COMMIT", "END"}
    return (
        len(parts) > 2
        and _plain(parts[0]) in begins | {"BEGIN TRANSACTION", "BEGIN WORK"}
        and _plain(parts[-1]) in ends | {"COMMIT TRANSACTION", "COMMIT WORK", "END TRANSACTION", "END WORK"}
    )


def _plain(part: Piece) -> str:
    return " ".join(part.text.upper().split())


def _statements(commands: Sequence[str]) -> tuple[list[Piece], bool]:
    """The statements of all commands, and whether they may run in a transaction."""
    try:
        found = [piece for command in commands for piece in pieces(command)]
    except SqlError as error:
        raise Refusal(f"not SQL: {error.message}", hint=error.hint) from error
    if not found:
        raise Refusal("there is no SQL in it", hint="Leave it out.")
    inner = found[1:-1] if _is_block(found) else found
    for piece in inner:
        if piece.controls:
            raise Refusal(
                f"{piece.command} begins or ends a transaction, and a schedule runs in one",
                hint="Leave BEGIN and COMMIT out, or CALL a procedure that commits.",
            )
        if piece.needs_client:
            raise Refusal(f"{piece.command} needs a client, and a schedule has none", hint=_without_client(piece))
        if piece.top_level and len(found) > 1:
            raise Refusal(
                f"{piece.command} must be alone, and there are {len(found)} statements",
                detail="It can't run in a transaction, or commits by itself.",
                hint=_WAY_OUT,
            )
    return found, not inner[0].top_level


def _without_client(piece: Piece) -> str:
    if piece.command == "COPY":
        return "Name a file on the server, or a PROGRAM, instead of STDIN or STDOUT."
    return "Hand work over by a queue, whose enqueue wakes a worker."


def _name(parts: Sequence[Piece]) -> str:
    """A name from the first words of a text of SQL that tell something."""
    first = parts[1] if _is_block(parts) else parts[0]
    words = [word.lower() for word in re.findall(r"[A-Za-z_]\w*", first.text.partition("'")[0], re.ASCII)]
    words = [word for word in words if word not in _IDLE] or words[:1]
    return "_".join(words[:_MOST_WORDS])[:_MOST_CHARACTERS] or "schedule"


def _free(name: str, owner: str | None, names: set[tuple[str | None, str]]) -> str:
    number, free = 1, name
    while (owner, free) in names:
        number += 1
        free = f"{name}_{number}"
    return free
