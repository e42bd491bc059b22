"""bloat: how fast a queue is after so many jobs without vacuum, alone and beside a transaction that stays open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bench.draining import Drained, gathered
from bench.ground import Ground, ground
from bench.measures import Measure, alternate, ratio
from bench.ours import OurQueue
from bench.outcome import Chart, Line, Outcome, Ratio, Table, number, spread, times
from bench.patterns import NAIVE, PGMQ, PatternQueue
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK"]

# Jobs that one step of wearing out takes through at most.
_STEP = 50_000

# Jobs of the first look at a depth; a fast subject is measured again with more.
_LOOK = 1000


class Worn(Drained, Protocol):
    """A subject that can also take many jobs through at once, and leave behind what batches would."""

    def churn(self, count: int) -> None:
        """Take so many jobs through."""


class OurWornQueue(OurQueue):
    """Our queue, whose batch is a setting: batches are large while it is brought to a depth."""

    def churn(self, count: int) -> None:
        """Take so many jobs through with large batches."""
        self.fill(count)
        self.ground.everywhere("bench_bloat.batch", "10000")
        self.drain()
        self.ground.everywhere("bench_bloat.batch", "100")


@dataclass(frozen=True, slots=True)
class Course:
    """A subject, and whether another session holds a snapshot all the way."""

    subject: Worn
    held: bool

    @property
    def horizon(self) -> str:
        """What the table says of it."""
        return "held" if self.held else "free"


def depths(plan: Plan) -> tuple[int, ...]:
    """After how many jobs it is measured."""
    return plan.pick((0, 2000, 5000), (0, 50_000, 250_000, 1_000_000), (0, 50_000, 250_000, 1_000_000, 5_000_000))


def run(plan: Plan) -> Outcome:
    """Measure each subject at each depth, once a round, with the horizon free and held."""
    outcome = Outcome("bloat")
    with ground("bloat") as server:
        outcome.server = server.described()
        makers: list[tuple[str, Callable[[], Worn]]] = [
            ("pgbgw", lambda: OurWornQueue(server, "job")),
            ("naive", lambda: PatternQueue(server, NAIVE)),
            ("pgmq", lambda: PatternQueue(server, PGMQ)),
        ]
        subjects, missing = gathered(makers)
        courses = [Course(each, held) for held in (False, True) for each in subjects]
        taken = alternate(courses, plan.rounds, lambda course: _curve(plan, server, course))
    found = {
        (course.subject.name, course.horizon): [
            Measure(course.subject.name, samples) for samples in zip(*curves, strict=True)
        ]
        for course, curves in taken
    }
    outcome.tables = [_table(plan, horizon, found, missing) for horizon in ("free", "held")]
    outcome.charts = [_chart(plan, horizon, found) for horizon in ("free", "held")]
    worn, fresh = found["pgbgw", "held"][-1], found["pgbgw", "free"][0]
    what = f"pgbgw after {_count(depths(plan)[-1])} jobs with the horizon held / fresh"
    outcome.ratios = [Ratio(what, ratio(worn, fresh), 0.9)]
    outcome.samples = {
        f"{name}, horizon {horizon}": [each.samples for each in curve] for (name, horizon), curve in found.items()
    }
    outcome.notes.append(
        "Batch 100, synchronous, one worker, no-op handler. Nothing is vacuumed between the first depth and the last."
        " Held: another session has a REPEATABLE READ transaction open all the while."
    )
    return outcome


def _curve(plan: Plan, server: Ground, course: Course) -> list[float]:
    """Jobs a second at each depth, on a queue that begins empty and vacuumed."""
    subject = course.subject
    plan.tell(f"bloat: {subject.name}, horizon {course.horizon}")
    subject.clear()
    subject.fill(_LOOK)
    server.settle(subject.table)
    subject.drain()
    subject.clear()
    rates = []
    done = 0
    with _open_snapshot(server) if course.held else contextlib.nullcontext():
        for depth in depths(plan):
            while done < depth:
                step = min(_STEP, depth - done)
                subject.churn(step)
                done += step
            rate, jobs = _rate(plan, server, subject)
            rates.append(rate)
            done += jobs
    return rates


def _rate(plan: Plan, server: Ground, subject: Worn) -> tuple[float, int]:
    """Jobs a second now, and how many jobs it took to know: a fast subject is measured again with more of them."""
    seconds = _timed(server, subject, _LOOK)
    if seconds >= plan.seconds / 2:
        return _LOOK / seconds, _LOOK
    jobs = plan.size(_LOOK / seconds, least=_LOOK, most=200_000)
    return jobs / _timed(server, subject, jobs), _LOOK + jobs


def _timed(server: Ground, subject: Worn, jobs: int) -> float:
    """How long it takes to drain so many jobs, in seconds."""
    subject.fill(jobs)
    # The planner knows the table, as it would where autovacuum can't remove anything but still analyzes.
    server.rows(f"ANALYZE {subject.table}")
    server.rows("CHECKPOINT")
    return subject.drain()


@contextlib.contextmanager
def _open_snapshot(server: Ground) -> Iterator[None]:
    """A session that holds the horizon back, as a long report does."""
    with server.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield


Found = dict[tuple[str, str], list[Measure]]


def _table(plan: Plan, horizon: str, found: Found, missing: dict[str, str]) -> Table:
    columns = ("subject", "after jobs", "jobs/s", "low", "high", "of its own fresh", "pgbgw is", "low", "high")
    rows: list[tuple[object, ...]] = []
    for (name, each), curve in found.items():
        if each != horizon:
            continue
        for depth, measure, ours in zip(depths(plan), curve, found["pgbgw", horizon], strict=True):
            fresh = times(ratio(measure, found[name, "free"][0]).median)
            rows.append((name, _count(depth), *spread(measure.span), fresh, *spread(ratio(ours, measure), times)))
    title = f"bloat: jobs a second after so many jobs without vacuum, horizon {horizon}"
    return Table(title, columns, tuple(rows), tuple(missing.items()))


def _chart(plan: Plan, horizon: str, found: Found) -> Chart:
    lines = [Line.of(name, [m.span for m in curve]) for (name, each), curve in found.items() if each == horizon]
    title = f"Draining after so many jobs without vacuum, horizon {horizon}"
    positions = tuple(float(depth) for depth in depths(plan))
    return Chart(f"bloat-{horizon}", title, "jobs/s", tuple(lines), positions=positions, positions_of="jobs before")


def _count(jobs: int) -> str:
    return number(jobs) if jobs else "0"


BENCHMARK = Benchmark("bloat", "jobs a second after so many jobs without vacuum, horizon free and held", run)
