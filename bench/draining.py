"""Measuring how fast a subject drains: sizes, rounds in turn, WAL, and the table that all of this ends in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bench.environments import Unavailable
from bench.ground import Ground, Wal
from bench.measures import Measure, Span, alternate, ratio
from bench.outcome import Table, number, spread, times
from bench.plan import Plan

__all__ = ["Drained", "Draining", "comparison", "drain_once", "drained", "gathered", "set_handler"]

Made = TypeVar("Made")

# What each handler does with a job, and with a batch of them that comes as arrays.
_HANDLERS = {
    "no-op": ("NULL", "NULL"),
    "inserting": (
        "INSERT INTO bench.written VALUES (job, (payload->>'n')::integer)",
        "INSERT INTO bench.written SELECT j, (p->>'n')::integer FROM unnest(job, payload) AS u (j, p)",
    ),
}

# Of so many jobs a subject's first measurement is, from which the size of the next ones follows.
_FIRST, _MOST = 1000, 1_000_000


class Drained(Protocol):
    """A subject that can be filled with jobs and drained of them."""

    name: str
    claims: str
    table: str

    def clear(self) -> None:
        """Remove every job."""

    def fill(self, count: int) -> None:
        """Add so many jobs."""

    def drain(self) -> float:
        """Process all of them; how long that took, in seconds."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One measurement: jobs a second, and bytes of WAL a job."""

    rate: float
    wal: Wal


@dataclass(frozen=True, slots=True)
class Draining:
    """All measurements of a subject: of ``jobs`` jobs each, one a round. Claims: how ours were claimed, else empty."""

    subject: str
    jobs: int
    drains: tuple[Drain, ...]
    claims: str

    @property
    def rate(self) -> Measure:
        """Jobs a second."""
        return Measure(self.subject, tuple(each.rate for each in self.drains))

    @property
    def wal(self) -> Span:
        """Bytes of WAL a job, full-page images apart."""
        return Span.of([each.wal.records for each in self.drains])

    @property
    def images(self) -> Span:
        """Bytes of full-page images a job."""
        return Span.of([each.wal.images for each in self.drains])


def set_handler(ground: Ground, name: str) -> None:
    """Put a handler in place: "no-op", or "inserting", which writes a row."""
    one, many = _HANDLERS[name]
    for function, kind, body in (("handle", "", one), ("handle_all", "[]", many)):
        ground.rows(
            f"CREATE OR REPLACE FUNCTION bench.{function}(job bigint{kind}, payload jsonb{kind}) RETURNS void"
            f" LANGUAGE plpgsql AS $$BEGIN {body}; END$$"
        )


def gathered(makers: Iterable[tuple[str, Callable[[], Made]]]) -> tuple[list[Made], dict[str, str]]:
    """The subjects that could be made, and why each of the others could not, by its name."""
    subjects: list[Made] = []
    missing: dict[str, str] = {}
    for name, make in makers:
        try:
            subjects.append(make())
        except Unavailable as error:
            missing[name] = str(error)
    return subjects, missing


def drain_once(ground: Ground, subject: Drained, jobs: int) -> Drain:
    """Fill, settle and drain; what was written before does not count."""
    ground.rows("TRUNCATE bench.written")
    subject.clear()
    subject.fill(jobs)
    ground.settle(subject.table)
    since = ground.position()
    seconds = subject.drain()
    wal = ground.wal(since)
    return Drain(jobs / seconds, Wal(wal.records / jobs, wal.images / jobs))


def drained(plan: Plan, ground: Ground, subjects: Sequence[Drained]) -> list[Draining]:
    """Drain each subject once a round, in turn; sizes are such that each drain takes about as long.

    The sizes are found by two smaller measurements, which also warm caches and plans, and do not count.
    """
    sizes = {}
    for subject in subjects:
        first = drain_once(ground, subject, _FIRST)
        second = drain_once(ground, subject, plan.size(first.rate, least=_FIRST, most=_MOST // 10))
        sizes[subject.name] = plan.size(second.rate, least=_FIRST, most=_MOST)
        plan.tell(f"  {subject.name}: {number(second.rate)} jobs/s, to be measured with {sizes[subject.name]} jobs")
    taken = alternate(subjects, plan.rounds, lambda subject: drain_once(ground, subject, sizes[subject.name]))
    return [Draining(subject.name, sizes[subject.name], tuple(drains), subject.claims) for subject, drains in taken]


def comparison(title: str, found: Sequence[Draining], missing: dict[str, str]) -> Table:
    """Rates beside each other; the ratio says how many times as fast the first subject is as each one."""
    columns = ("subject", "jobs", "jobs/s", "low", "high", f"{found[0].subject} is", "low", "high",
               "WAL B/job", "images B/job", "claims")  # fmt: skip
    rows: list[tuple[object, ...]] = []
    for each in found:
        against = spread(ratio(found[0].rate, each.rate), times)
        bytes_a_job = (number(each.wal.median), number(each.images.median))
        rows.append((each.subject, each.jobs, *spread(each.rate.span), *against, *bytes_a_job, each.claims))
    return Table(title, columns, tuple(rows), tuple(missing.items()))
