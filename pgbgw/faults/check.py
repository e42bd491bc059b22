"""What a check of the fault suite is, and the list of all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgbgw.faults.hostile_text import text_arguments, text_columns, text_settings
from pgbgw.faults.stage import Stage

__all__ = ["CHECKS", "Check", "Need", "check", "unmet"]

Need: TypeAlias = Literal[
    "queue", "interval", "round", "dynamic", "static", "restarted", "never", "timeout", "round timeout",
    "retries", "switch", "role", "restarted role", "launch that waits", "text", "memory limit", "text argument",
    "text setting", "lease", "schedule", "schedule table", "restarted scheduler", "thorough",
]  # fmt: skip
"""What a declaration must have for a check to mean something: a worker of that kind, or an option."""

_NEEDS: dict[Need, tuple[Callable[[Stage], bool], str]] = {
    "queue": (lambda stage: bool(stage.lines), "no queue worker is declared"),
    "interval": (lambda stage: bool(stage.rounds), "no interval worker is declared"),
    "round": (
        lambda stage: any(stage.home(worker) == stage.database for worker in stage.rounds),
        "no interval worker serves the first database",
    ),
    "dynamic": (lambda stage: bool(stage.dynamic), "no dynamic worker is declared"),
    "launch that waits": (lambda stage: any(w.notify for w in stage.dynamic), "no launch waits for its process"),
    "static": (lambda stage: bool(stage.static), "no worker that runs SQL by itself is declared"),
    "restarted": (
        lambda stage: any(w.restart is not None for w in stage.static),
        "no worker is restarted",
    ),
    "never": (lambda stage: any(w.restart is None for w in stage.static), "every worker is restarted"),
    "timeout": (
        lambda stage: any(line.worker.timeout is not None for line in stage.lines),
        "no queue worker has a timeout",
    ),
    "round timeout": (
        lambda stage: any(w.timeout is not None and stage.home(w) == stage.database for w in stage.rounds),
        "no interval worker of the first database has a timeout",
    ),
    "memory limit": (
        lambda stage: shutil.which("prlimit") is not None,
        "there is no program prlimit, which limits the memory of another process",
    ),
    "switch": (lambda stage: bool(stage.switches), "no setting that takes effect on reload switches a worker"),
    "retries": (lambda stage: any(line.queue.retries for line in stage.lines), "no queue tries jobs again"),
    "role": (lambda stage: bool(stage.confined), "no worker runs as a role that is no superuser"),
    "restarted role": (
        lambda stage: any(worker.restart is not None for worker in stage.confined),
        "no worker that is restarted runs as a role that is no superuser",
    ),
    "text": (lambda stage: any(text_columns(line) for line in stage.lines), "no queue has a column for text"),
    "text argument": (lambda stage: any(text_arguments(w) for w in stage.dynamic), "no launch takes text"),
    "text setting": (lambda stage: bool(text_settings(stage)), "no setting of text is handed to a handler"),
    "lease": (lambda stage: bool(stage.leased), "no queue has leases and no worker"),
    "schedule": (lambda stage: bool(stage.scheduled), "no worker of the first database runs by the calendar"),
    "schedule table": (lambda stage: bool(stage.tables), "the first database has no table of schedules"),
    "restarted scheduler": (
        lambda stage: all(worker.restart is not None for worker in stage.tables),
        "the scheduler of a table is not restarted",
    ),
    "thorough": (lambda stage: stage.thorough, "takes minutes; --thorough runs it"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One fault that is caused, and what must come of it.

    ``name`` is how it is chosen and cited, ``fault`` says what is done, ``answer`` what happens then, in a sentence
    that the documentation shows. ``rules`` are the numbers of the worker checklist that it guards. ``run`` returns what
    was seen, and raises an AssertionError when that is not what should be.
    """

    name: str
    fault: str
    answer: str
    rules: tuple[int, ...]
    needs: tuple[Need, ...]
    run: Callable[[Stage], str]


CHECKS: dict[str, Check] = {}
"""All checks by name, in the order in which they run; ``pgbgw.faults.checks`` fills it."""


def check(
    name: str, fault: str, answer: str, *, rules: tuple[int, ...] = (), needs: tuple[Need, ...] = ()
) -> Callable[[Callable[[Stage], str]], Callable[[Stage], str]]:
    """Register a function as a check."""

    def register(function: Callable[[Stage], str]) -> Callable[[Stage], str]:
        assert name not in CHECKS, name
        CHECKS[name] = Check(name, fault, answer, rules, needs, function)
        return function

    return register


def unmet(chosen: Check, stage: Stage) -> str | None:
    """Why a check means nothing for a declaration, or None."""
    return next((reason for need in chosen.needs for holds, reason in [_NEEDS[need]] if not holds(stage)), None)
