"""Workers that run by the calendar: the schedule, its time zone, and what becomes of times that were missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgbgw.calendar import Cron, CronError, Gap, Repeated, Schedule, Zone, ZoneMissing
from pgbgw.declare.places import argument, shown
from pgbgw.declare.sql import Run
from pgbgw.declare.workers import Worker
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.literals import locate

__all__ = ["CatchUp", "CronWorker", "Missed", "catch_up"]

# Runs that are made up for lie in an array.
_MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How many of the times that were missed are made up for."""

    runs: int

    def __str__(self) -> str:
        return f"catch_up({self.runs})"


Missed: TypeAlias = Literal["skip", "once"] | CatchUp
"""What becomes of times that have passed while nothing could run: nothing, one run, or one each of the last of them."""


def catch_up(runs: int) -> CatchUp:
    """One run for each of the last ``runs`` times that were missed, in their order."""
    return CatchUp(runs)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CronWorker(Worker):
    """A process that runs one statement or function by the calendar; see docs/schedules.md."""

    schedule: str
    run: Run
    time_zone: str = "UTC"
    gap: Gap = "after"
    repeated: Repeated = "first"
    missed: Missed = "once"
    transaction: bool = True

    kind = "cron worker"

    def __post_init__(self) -> None:
        Worker.__post_init__(self)
        self._check_run(self.run)
        self._check_flag("transaction")
        self._check_schedule(self.schedule)
        self._check_zone(self.time_zone)
        self._check_word("gap", ("skip", "after"), "BGW418")
        self._check_word("repeated", ("both", "first"), "BGW418")
        self._check_missed(self.missed)

    @property
    def times(self) -> Schedule:
        """When it runs, as declared."""
        return Schedule(self.schedule, self.time_zone, gap=self.gap, repeated=self.repeated)

    def _check_schedule(self, schedule: object) -> None:
        """``schedule`` must be a cron expression; the fault is marked where it stands."""
        if not isinstance(schedule, str):
            self._fault("BGW416", f"schedule of {self} is no text: {shown(schedule)}", 1, "schedule",
                        hint='Give a cron expression such as "0 2 * * *".')  # fmt: skip
            self._set("schedule", "@daily")
            return
        try:
            Cron(schedule)
        except CronError as error:
            where = locate(self.origin, 1, error.at, max(error.length, 1))
            if where == self.origin:
                where = locate(self.origin, "schedule", error.at, max(error.length, 1))
            report(Diagnostic("BGW416", f"schedule of {self}: {error}", where, hint=error.hint))
            self._set("schedule", "@daily")

    def _check_zone(self, zone: object) -> None:
        if not isinstance(zone, str):
            self._wrong_type("time_zone", 'the name of a time zone such as "Europe/Paris"', "UTC")
            return
        try:
            Zone(zone)
        except ZoneMissing as error:
            self._fault("BGW417", f"time zone of {self} does not exist: {shown(zone)}", "time_zone", hint=error.hint)
            self._set("time_zone", "UTC")

    def _check_missed(self, missed: object) -> None:
        if missed in ("skip", "once"):
            return
        if isinstance(missed, CatchUp):
            runs: object = missed.runs
            if isinstance(runs, int) and not isinstance(runs, bool) and 1 <= runs <= _MOST_RUNS:
                return
        report(Diagnostic("BGW418", f"missed of {self} does not exist: {shown(missed)}",
                          argument(self.origin, "missed"),
                          hint=f'Use one of "skip", "once", catch_up(n) with n from 1 to {_MOST_RUNS}.'))  # fmt: skip
        self._set("missed", "once")
