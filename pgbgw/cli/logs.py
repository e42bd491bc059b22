"""The lines of a server's log that concern an extension's workers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

from rich.text import Text

from pgbgw.cli import terminal
from pgbgw.observe import Subject
from pgbgw.server import Cluster

__all__ = ["WorkerLines", "follow"]

_POLL_SECONDS = 0.2

# log_line_prefix of our clusters is '%m [%p] %b '; what follows a message (its detail, hint, context) has it too.
_LINE = re.compile(r"(?P<when>\S+ \S+ \S+) \[(?P<pid>\d+)\] (?P<who>.+?) (?P<level>[A-Z]+\d?):  (?P<text>.*)")
_GRAVE = {"ERROR": "red", "FATAL": "bold red", "PANIC": "bold red", "WARNING": "yellow"}


class WorkerLines:
    """Picks lines: what workers say, what the postmaster says of them, and whatever ends the server."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._titles = {title for subject in subjects for title in subject.titles}
        self._kept = False

    def concerns(self, line: str) -> bool:
        """Whether a line is for us; one without a prefix belongs to the message above it."""
        matched = _LINE.match(line)
        if matched is not None:
            said_of = matched["who"] == "postmaster" and any(f'"{title}' in line for title in self._titles)
            self._kept = matched["who"] in self._titles or said_of or matched["level"] == "PANIC"
        return self._kept


def follow(cluster: Cluster, subjects: Sequence[Subject], since: int) -> None:
    """Print lines as they come, from a byte offset of the log on, until the server is gone."""
    on = terminal.console()
    for found in _lines(cluster, WorkerLines(subjects), since):
        line = terminal.printable(found, lines=True)
        on.print(_painted(line) if on.is_terminal else line)
        on.file.flush()


def _lines(cluster: Cluster, wanted: WorkerLines, offset: int) -> Iterator[str]:
    while True:
        # Asked before the log is read, so that the last lines of a server that ends are not lost.
        running = cluster.status().running
        found = cluster.log_lines(offset)
        offset = found.offset
        yield from (line for line in found.lines if wanted.concerns(line))
        if not running:
            return
        time.sleep(_POLL_SECONDS)


def _painted(line: str) -> Text:
    matched = _LINE.match(line)
    if matched is None:
        return Text(line)
    clock = matched["when"].split()[1]
    level, style = matched["level"], _GRAVE.get(matched["level"], "dim")
    return Text.assemble(
        (clock, "dim"),
        " ",
        (f"{matched['who']} [{matched['pid']}]", "cyan"),
        " ",
        (level, style),
        f" {matched['text']}",
    )
