"""Tables of schedules: rows that people add and remove at run time, each run as its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgbgw.declare.durations import NEVER, Duration, Never
from pgbgw.declare.naming import durable_name
from pgbgw.declare.places import argument, shown
from pgbgw.declare.queues import role_names
from pgbgw.declare.workers import Worker
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin

if TYPE_CHECKING:
    from pgbgw.declare.extension import Extension

__all__ = ["RunnerWorker", "ScheduleTable", "SchedulerWorker", "schedule_table"]

_MOST_RUNNERS = 256

_HOUR, _TEN_YEARS = 3_600_000_000, 3650 * 86_400_000_000


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScheduleTable:
    """A declared table whose rows are schedules; see docs/schedule-tables.md."""

    extension: Extension = field(repr=False)
    name: str
    runs: int
    keep: Duration
    schedulers: tuple[str, ...]
    origin: Origin

    def __str__(self) -> str:
        return f'schedule table "{self.name}"'


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SchedulerWorker(Worker):
    """The process that knows when each schedule of a table is due, and gives its runs to others."""

    table: ScheduleTable
    # nothing is run meanwhile
    restart: Duration | Never = Duration(1_000_000)

    kind = "scheduler"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunnerWorker(Worker):
    """Processes that carry runs out, each as one owner; launched by the scheduler."""

    table: ScheduleTable
    restart: Duration | Never = NEVER

    kind = "runner"


def schedule_table(
    extension: Extension, name: str, runs: int, keep: Duration, schedulers: str | Sequence[str]
) -> ScheduleTable:
    """Build the table that ``Extension.schedule_table`` notes; reports BGW431."""
    origin = Origin.of_caller()
    name = durable_name("schedule table", name, origin, 0, "name")
    return ScheduleTable(
        extension=extension,
        name=name,
        runs=_runs(name, runs, origin),
        keep=_keep(name, keep, origin),
        schedulers=role_names("schedulers", schedulers, origin, f'schedule table "{name}"'),
        origin=origin,
    )


def _runs(name: str, runs: object, origin: Origin) -> int:
    if isinstance(runs, int) and not isinstance(runs, bool) and 1 <= runs <= _MOST_RUNNERS:
        return runs
    report(Diagnostic("BGW431", f'runs of schedule table "{name}" can\'t be used: {shown(runs)}',
                      argument(origin, "runs"), detail="So many runs may be under way at a time, each in a process.",
                      hint=f"Give a number from 1 to {_MOST_RUNNERS}."))  # fmt: skip
    return 1


def _keep(name: str, keep: object, origin: Origin) -> Duration:
    if isinstance(keep, Duration) and _HOUR <= keep.us <= _TEN_YEARS:
        return keep
    report(Diagnostic("BGW431", f'keep of schedule table "{name}" can\'t be used: {shown(keep)}',
                      argument(origin, "keep"),
                      detail="What became of a run is kept for an hour at least, and up to ten years.",
                      hint="Write keep=days(7)."))  # fmt: skip
    return Duration(_HOUR)
