"""The one table of codes: what ``pgbgw explain`` prints and docs/diagnostics.md is written from.

``python -m pgbgw.diagnostics`` prints that page.
"""

from __future__ import annotations

from pgbgw.diagnostics.code import PREAMBLE, Code, Severity
from pgbgw.diagnostics.families import file, limits, names, queues, settings, shared, sql, workers

__all__ = ["CODES", "PREAMBLE", "Code", "explain", "reference", "severity"]

_FAMILIES = (
    ("The file", file.ROWS),
    ("Names", names.ROWS),
    ("SQL", sql.ROWS),
    ("Settings", settings.ROWS),
    ("Workers", workers.ROWS),
    ("Queues", queues.ROWS),
    ("Shared state", shared.ROWS),
    ("Limits", limits.ROWS),
)

CODES: dict[str, Code] = {row.code: row for _, rows in _FAMILIES for row in rows}


def severity(code: str) -> Severity:
    """How grave a finding of this code is.

    Raises:
        KeyError: for a code that is not in the table, which is a fault of ours.
    """
    return CODES[code].severity


def explain(code: str) -> str:
    """The whole story of a code as plain text; ``bgw201`` and ``201`` will do for BGW201.

    Raises:
        KeyError: for a code that does not exist.
    """
    key = code.strip().upper()
    row = CODES[key if key.startswith("BGW") else f"BGW{key}"]
    lines = [f"{row.severity.value}[{row.code}]: {row.title}", "", row.explanation, ""]
    for title, example in (("Wrong", row.wrong), ("Right", row.right)):
        lines += [f"{title}:", "", *(f"    {line}".rstrip() for line in example.splitlines()), ""]
    return "\n".join(lines)


def reference() -> str:
    """docs/diagnostics.md, the same table as a page."""
    lines = [
        "# Diagnostics",
        "",
        "<!-- Written by python -m pgbgw.diagnostics from the table in pgbgw/diagnostics/families. -->",
        "",
        "What `pgbgw check` may report, by code. Errors stop the pipeline, warnings do not. `pgbgw explain BGW201`",
        "prints one of the entries below. Unless an example declares an extension of its own, it continues this file:",
        "",
        *_fenced(PREAMBLE.rstrip()),
    ]
    for title, rows in _FAMILIES:
        lines += [f"## {title}", ""]
        for row in rows:
            lines += [f"### {row.code}: {row.title}", "", f"*{row.severity.value}*", "", row.explanation, ""]
            lines += ["Wrong:", "", *_fenced(row.wrong), "Right:", "", *_fenced(row.right)]
    return "\n".join(lines).rstrip() + "\n"


def _fenced(text: str) -> list[str]:
    return ["```python", *text.splitlines(), "```", ""]
