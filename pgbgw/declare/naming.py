"""What every declared name must satisfy, wherever it is declared."""

from __future__ import annotations

import re

from pgbgw.declare.places import argument, shown
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin

__all__ = ["NAME_BYTES", "durable_name", "free_text", "sql_name"]

NAME_BYTES = 63  # NAMEDATALEN - 1, in every build that distributions ship

# A faulty name is cut further than it must be, so that names made from it are not reported as well.
_KEPT = 40

_DURABLE = re.compile(r"[a-z_][a-z0-9_]*\Z")


def durable_name(kind: str, name: object, origin: Origin, *where: str | int) -> str:
    """A name that becomes a C identifier, a file name and part of a setting's name.

    ``where`` says which argument of the call at ``origin`` holds the name. Reports BGW101 for anything that is not
    lower-case ASCII letters, digits and underscores, and BGW102 past 63 bytes; returns a name that later stages can
    work with all the same.
    """
    text = name if isinstance(name, str) else repr(name)
    if not isinstance(name, str) or not _DURABLE.match(name):
        suggestion = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_") or re.sub(r"[^a-z0-9_]+", "_", kind.lower())
        suggestion = suggestion if _DURABLE.match(suggestion) else f"_{suggestion}"
        report(
            Diagnostic(
                "BGW101",
                f"name of {kind} is not a plain identifier: {shown(name)}",
                argument(origin, *where),
                detail="It becomes part of C identifiers, file names and setting names.",
                hint=f'Use lower-case letters, digits and underscores, such as "{suggestion[:NAME_BYTES]}".',
            )
        )
        return suggestion[:_KEPT]
    return _within_limit(kind, name, origin, *where)


def sql_name(kind: str, name: object, origin: Origin, *where: str | int) -> str:
    """A name of an SQL object, quoted where it needs to be; any text of 1 to 63 bytes without NUL."""
    if not isinstance(name, str) or not name or "\0" in name or not _encodable(name):
        report(
            Diagnostic(
                "BGW103",
                f"name of {kind} can't be the name of an SQL object: {shown(name)}",
                argument(origin, *where),
                detail="PostgreSQL has no empty names, and keeps names as UTF-8 that ends at NUL.",
                hint="Use a non-empty string without NUL and lone surrogates.",
            )
        )
        return "invalid"
    return _within_limit(kind, name, origin, *where)


def free_text(kind: str, text: object, origin: Origin, *where: str | int) -> str:
    """Text that is shown to people: a comment, a title, an activity. C strings end at NUL, so it may hold none."""
    if isinstance(text, str) and "\0" not in text and _encodable(text):
        return text
    report(
        Diagnostic(
            "BGW104",
            f"{kind} is not text that C can hold: {shown(text)}",
            argument(origin, *where),
            hint="Use a string without NUL characters and lone surrogates.",
        )
    )
    return ""


def _within_limit(kind: str, name: str, origin: Origin, *where: str | int) -> str:
    length = len(name.encode())
    if length > NAME_BYTES:
        report(
            Diagnostic(
                "BGW102",
                f"name of {kind} is too long: {length} bytes",
                argument(origin, *where),
                detail=f"PostgreSQL cuts names at {NAME_BYTES} bytes (NAMEDATALEN - 1).",
                hint="Choose a shorter name.",
            )
        )
        return name.encode()[:_KEPT].decode(errors="ignore")
    return name


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
