"""The configuration file that a cluster of ours includes: rendered whole, read back, replaced at once.

Quoting follows ``DeescapeQuotedString()`` in src/backend/utils/misc/guc-file.l: single quotes are doubled and a
backslash starts an escape.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["path_list", "quote", "read_settings", "write_settings"]

_BANNER = "# Written by pgbgw on every start; settings of your own go into postgresql.conf, below the include.\n"
_LINE = re.compile(r"^([A-Za-z_][\w.$]*) = '((?:[^'\\]|''|\\.)*)'$")
_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_UNESCAPES = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}


def quote(value: str) -> str:
    """A value as a quoted string of postgresql.conf."""
    return "'" + "".join(_ESCAPES.get(character, character) for character in value) + "'"


def path_list(paths: Sequence[Path]) -> str:
    """A list of folders as ``SplitDirectoriesString()`` reads it, whatever characters the paths have."""
    return ", ".join('"' + str(path).replace('"', '""') + '"' for path in paths)


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Replace the file by one that holds these settings in their order; its mode lets the server's user read it.

    Raises:
        OSError: the folder can't be written.
    """
    lines = [f"{name} = {quote(value)}\n" for name, value in settings.items()]
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        staging.write_text(_BANNER + "".join(lines), encoding="utf-8")
        staging.chmod(0o644)
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def read_settings(path: Path) -> dict[str, str]:
    """The settings that ``write_settings`` left; none if there is no file."""
    if not path.exists():
        return {}
    matches = (_LINE.match(line) for line in path.read_text(encoding="utf-8").split("\n"))
    return {matched[1]: _unquote(matched[2]) for matched in matches if matched}


def _unquote(text: str) -> str:
    return re.sub(r"''|\\(.)", lambda matched: _UNESCAPES.get(matched[1] or "'", matched[1] or "'"), text)
