"""Workers that run by the calendar: the schedule, its time zone, and what becomes of times that were missed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from pgbgw.calendar import Cron, CronError, Gap, Repeated, Schedule, Zone, ZoneMissing
from pgbgw.declare.durations import Duration
from pgbgw.declare.places import argument, shown
from pgbgw.declare.schedule_calls import ScheduleCalls
from pgbgw.declare.sql import Run
from pgbgw.declare.workers import Worker
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.literals import locate

__all__ = ["Allow", "CatchUp", "CronWorker", "Missed", "Moment", "Overlap", "allow", "catch_up"]

# Runs that are made up for lie in an array.
_MOST_RUNS = 1000

# Each of them has a process, which looks at the schedule whenever it is due.
_MOST_BESIDE = 100

_LONGEST_JITTER = 86_400_000_000

# As for queues.
_MOST_RETRIES = 32_766
_LONGEST_BACKOFF = 366 * 86_400_000_000

# PGBGW_LONGEST_EVERY, cron_text.h.
_LONGEST_EVERY_S = 36_525 * 86_400

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))

Moment: TypeAlias = datetime | str
"""A time with its offset from UTC, as a datetime or in ISO 8601."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How many of the times that were missed are made up for."""

    runs: int

    def __str__(self) -> str:
        return f"catch_up({self.runs})"


Missed: TypeAlias = Literal["skip", "once"] | CatchUp
"""What becomes of times that have passed while nothing could run: nothing, one run, or one each of the last of them."""


@dataclass(frozen=True, slots=True)
class Allow:
    """How many runs of one schedule may be under way beside each other."""

    runs: int

    def __str__(self) -> str:
        return f"allow({self.runs})"


Overlap: TypeAlias = Literal["wait", "skip"] | Allow
"""What becomes of times that come due while a run is under way: they are missed, settled with the end of the run, or
run beside it.
"""


def catch_up(runs: int) -> CatchUp:
    """One run for each of the last ``runs`` times that were missed, in their order."""
    return CatchUp(runs)


def allow(runs: int) -> Allow:
    """Up to ``runs`` runs of a schedule beside each other, each in a process of its own."""
    return Allow(runs)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CronWorker(ScheduleCalls, Worker):
    """A process that runs one statement or function by the calendar; see docs/schedules.md.

    ``schedule`` is its expression, which ``every`` and ``since`` are made into if they are given in its place.
    """

    schedule: str | None
    run: Run
    every: Duration | None = None
    since: Moment | None = None
    time_zone: str = "UTC"
    gap: Gap = "after"
    repeated: Repeated = "first"
    missed: Missed = "once"
    overlap: Overlap = "wait"
    not_before: Moment | None = None
    not_after: Moment | None = None
    jitter: Duration | None = None
    retries: int = 0
    backoff: Duration = Duration(1_000_000)
    backoff_limit: Duration = Duration(3_600_000_000)
    transaction: bool = True

    kind = "cron worker"

    def __post_init__(self) -> None:
        Worker.__post_init__(self)
        self._check_run(self.run)
        self._check_flag("transaction")
        self._check_times()
        self._check_zone(self.time_zone)
        self._check_word("gap", ("skip", "after"), "BGW418")
        self._check_word("repeated", ("both", "first"), "BGW418")
        self._check_span()
        self._check_jitter(self.jitter)
        self._check_missed(self.missed)
        self._check_overlap(self.overlap)
        self._check_retries(self.retries)
        self._check_backoff()

    @property
    def times(self) -> Schedule:
        """When it runs, as declared."""
        return Schedule(
            self.expression, self.time_zone, gap=self.gap, repeated=self.repeated,
            not_before=self.earliest, not_after=self.latest,
        )  # fmt: skip

    @property
    def earliest(self) -> datetime | None:
        """``not_before``, in UTC."""
        assert not isinstance(self.not_before, str)
        return self.not_before

    @property
    def latest(self) -> datetime | None:
        """``not_after``, in UTC."""
        assert not isinstance(self.not_after, str)
        return self.not_after

    @property
    def expression(self) -> str:
        """Its schedule, as a text."""
        assert self.schedule is not None
        return self.schedule

    @property
    def processes(self) -> int:
        """How many processes it has, each of which has one run under way at most."""
        return self.overlap.runs if isinstance(self.overlap, Allow) else 1

    def _check_times(self) -> None:
        """It has an expression or an interval, and not both."""
        if self.every is None and self.since is not None:
            self._fault("BGW419", f"{self} has since= and no interval", "since",
                        detail="It is from where intervals are counted.",
                        hint="Give every= as well, or leave since= out.")  # fmt: skip
        if self.schedule is None and self.every is None:
            hint = 'Give a cron expression such as "0 2 * * *", or an interval such as every=minutes(7).'
            self._fault("BGW419", f"{self} has no schedule", 0, "name", hint=hint)
            self._set("schedule", "@daily")
        elif self.every is None:
            self._check_schedule(self.schedule)
        elif self.schedule is not None:
            self._fault("BGW419", f"{self} has a schedule and an interval", "every",
                        detail="Each of them says when it runs.", hint="Leave one of the two out.")  # fmt: skip
            self._check_schedule(self.schedule)
        else:
            self._check_interval(self.every)

    def _check_interval(self, every: object) -> None:
        """An interval is made into an expression."""
        for option, default in (("gap", "after"), ("repeated", "first")):
            if getattr(self, option) != default:
                self._fault("BGW419", f"{self} has {option}= and an interval", option,
                            detail="Intervals go by no clocks, so none of their times is left out or comes twice.",
                            hint=f"Leave {option}= out.")  # fmt: skip
        since = self._moment("since")
        if not (
            isinstance(every, Duration) and every.us % 1_000_000 == 0 and 1 <= every.us // 1_000_000 <= _LONGEST_EVERY_S
        ):
            problem = f"is not a duration of whole seconds up to 36525 days: {shown(every)}"
            self._fault("BGW403", f"every of {self} {problem}", "every",
                        detail="The time from one run to the next becomes a text, in seconds.",
                        hint="Write every=minutes(7), or declare an interval worker.")  # fmt: skip
            self._set("schedule", "@daily")
            return
        length = every.us // 1_000_000
        size, unit = next(each for each in _UNITS if length % each[0] == 0)
        told = f"@every {length // size} {unit}{'s' if length > size else ''}"
        self._set("schedule", told if since is None else f"{told} since {since.replace(tzinfo=None).isoformat()}Z")

    def _check_span(self) -> None:
        for option in ("not_before", "not_after"):
            self._set(option, self._moment(option))
        if self.earliest is not None and self.latest is not None and self.earliest > self.latest:
            self._fault("BGW425", f"not_after of {self} is earlier than its not_before: {self.latest.isoformat()}",
                        "not_after", detail=f"Nothing would ever be due: not_before is {self.earliest.isoformat()}.",
                        hint="Exchange them, or leave one of them out.")  # fmt: skip
            self._set("not_after", None)

    def _moment(self, option: str) -> datetime | None:
        """An option that is a time, in UTC."""
        value: object = getattr(self, option)
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            found = None
        # a day less than what a text may be, whose year has four digits by any clock
        if isinstance(found, datetime) and found.utcoffset() is not None and 2 < found.year < 9998:
            found = found.astimezone(UTC)
            if found.microsecond == 0:
                return found
        hint = f'Write {option}="2026-01-01T00:00:00Z", or an offset such as +02:00 in place of the Z.'
        self._fault("BGW425", f"{option} of {self} is not a time with an offset: {shown(value)}", option,
                    detail="It is a datetime with a time zone, or a text in ISO 8601 with an offset; in whole seconds.",
                    hint=hint)  # fmt: skip
        return None

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

    def _check_overlap(self, overlap: object) -> None:
        if isinstance(overlap, Allow):
            runs: object = overlap.runs
            if isinstance(runs, int) and not isinstance(runs, bool) and 1 <= runs <= _MOST_BESIDE:
                return
        if overlap not in ("wait", "skip"):
            self._fault("BGW428", f"overlap of {self} does not exist: {shown(overlap)}", "overlap",
                        hint=f'Use one of "wait", "skip", allow(n) with n from 1 to {_MOST_BESIDE}.')  # fmt: skip
            self._set("overlap", "wait")
        elif overlap == "skip" and isinstance(self.missed, CatchUp):
            self._fault("BGW428", f'{self} has overlap="skip" and missed={self.missed}', "overlap",
                        detail="When the first of the runs that are made up for ends, the times of the others would be"
                        " settled.",
                        hint='Write missed="once", or leave overlap= out.')  # fmt: skip
            self._set("overlap", "wait")

    def _check_jitter(self, jitter: object) -> None:
        if jitter is None or (isinstance(jitter, Duration) and 1_000 <= jitter.us <= _LONGEST_JITTER):
            return
        self._fault("BGW403", f"jitter of {self} is not a duration of 1 ms to 24 hours: {shown(jitter)}", "jitter",
                    detail="Each run begins up to so much after it is due.",
                    hint="Write jitter=seconds(30).")  # fmt: skip
        self._set("jitter", None)

    def _check_retries(self, retries: object) -> None:
        if isinstance(retries, int) and not isinstance(retries, bool) and 0 <= retries <= _MOST_RETRIES:
            return
        self._fault("BGW427", f"retries of {self} can't be used: {shown(retries)}", "retries",
                    hint=f"Give a number from 0 to {_MOST_RETRIES}.")  # fmt: skip
        self._set("retries", 0)

    def _check_backoff(self) -> None:
        for option in ("backoff", "backoff_limit"):
            value: object = getattr(self, option)
            if not isinstance(value, Duration) or not 0 < value.us <= _LONGEST_BACKOFF:
                self._fault("BGW427", f"{option} of {self} can't be used: {shown(value)}", option,
                            detail="It is a duration above 0 and up to a year.",
                            hint=f"Write {option}=seconds(10).")  # fmt: skip
                self._set("backoff", Duration(1_000_000))
                self._set("backoff_limit", Duration(3_600_000_000))
        if self.backoff > self.backoff_limit:
            self._fault("BGW427", f"backoff of {self} is longer than its limit: {self.backoff}", "backoff",
                        detail=f"The longest wait, backoff_limit, is {self.backoff_limit}.",
                        hint="Raise backoff_limit, or shorten backoff.")  # fmt: skip
