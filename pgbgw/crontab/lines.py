"""Lines of crontab(5), as Debian's cron reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pgbgw.crontab.entries import Entry, Refusal
from pgbgw.crontab.psql import sent
from pgbgw.crontab.shell import Unclosed

__all__ = ["Unreadable", "read_crontab", "system_zone"]

# load_env() of cron: name and value may be quoted, and blanks may stand around the sign between them
_ASSIGNMENT = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s="']+))\s*=\s*(.*?)\s*\Z""", re.DOTALL)

_TIMES = re.compile(r"\s*(@\S+|\S+(?:[ \t]+\S+){4})(?:[ \t]+(.*))?\Z", re.DOTALL)

_CRONIE = "CRON_TZ is heeded here, as cronie does; Debian's cron goes by the clocks of the machine"


class Unreadable(ValueError):
    """The zone by whose clocks cron runs can't be found out."""


def read_crontab(
    lines: Iterable[str], source: str, zone: str, *, user_column: bool = False, owner: str | None = None
) -> list[Entry | Refusal]:
    """What stands in a crontab, in its order; comments and variables are no entries.

    ``source`` is how the file is called in messages, ``zone`` by which clocks cron runs. ``user_column``: the sixth
    field names a user, as in /etc/crontab. ``owner`` is the role of lines that name none.
    """
    found: list[Entry | Refusal] = []
    variables: dict[str, str] = {}
    told: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\n")
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        if assigned := _ASSIGNMENT.match(text):
            name, value = assigned[1] or assigned[2] or assigned[3], _unquoted(assigned[4])
            variables[name] = value
            if name == "CRON_TZ":
                zone, told = value, (_CRONIE,)
            continue
        where = f"{source}:{number}"
        try:
            entry = _entry(text, where, variables, zone, user_column)
            found.append(replace(entry, owner=entry.owner or owner, notes=(*entry.notes, *told)))
            told = ()
        except Refusal as refusal:
            refusal.where = where
            found.append(refusal)
    return found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
    return value[1:-1] if quoted else value


def _entry(text: str, where: str, variables: dict[str, str], zone: str, user_column: bool) -> Entry:
    matched = _TIMES.match(text)
    rest = (matched[2] or "") if matched else ""
    user = None
    if user_column:
        user, rest = [*rest.split(maxsplit=1), "", ""][:2]
    if matched is None or not rest.strip():
        raise Refusal(
            "not a line of a crontab: there is no command" + (" behind a user" if user_column else ""),
            hint="A line has five fields or a name such as @daily, "
            + ("a user, and a command." if user_column else "and a command."),
        )
    command, given = _split(rest.strip())
    try:
        what = sent(command, given, variables)
    except Unclosed as refusal:
        if not given:
            raise
        raise Refusal(
            "a quote is not closed where cron cuts the command, at a percent sign",
            detail="What follows the sign is the standard input of the command.",
            hint="Write \\% for a percent sign of the command, also within quotes.",
        ) from refusal
    return Entry(where, "crontab", matched[1], zone, what.commands, database=what.database, owner=what.user or user,
                 timeout=what.timeout, notes=what.notes, apart=what.apart)  # fmt: skip


def _split(text: str) -> tuple[str, str]:
    """The command, and its standard input: what follows a percent sign, in which each further one ends a line."""
    command, *given = re.split(r"(?<!\\)%", text)
    return command.replace("\\%", "%"), "\n".join(part.replace("\\%", "%") for part in given)


def system_zone(root: Path = Path("/")) -> str:
    """The zone of this machine, by which cron runs: that of /etc/timezone or /etc/localtime.

    Raises:
        Unreadable: neither tells.
    """
    named = root / "etc/timezone"
    if named.is_file() and (name := named.read_text(encoding="utf-8").strip()):
        return name.removeprefix("Etc/") if name in {"Etc/UTC", "Etc/GMT"} else name
    linked = os.path.realpath(root / "etc/localtime")
    if "/zoneinfo/" in linked:
        name = linked.partition("/zoneinfo/")[2]
        return name.removeprefix("Etc/") if name in {"Etc/UTC", "Etc/GMT"} else name
    raise Unreadable("the time zone of this machine can't be found out")
