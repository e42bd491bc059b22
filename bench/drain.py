"""drain: how fast a full queue is emptied, in two modes, by one worker and by two, with two handlers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.draining import Drained, Draining, comparison, drained, gathered, set_handler
from bench.ground import Ground, ground
from bench.measures import Measure, ratio
from bench.ours import OurQueue
from bench.outcome import Chart, Line, Outcome, Ratio
from bench.patterns import NAIVE, PGMQ, PatternQueue, one_delete, one_move
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK"]


@dataclass(frozen=True, slots=True)
class Case:
    """One table: how jobs are committed, how many workers there are, and what they do with a job."""

    batch: int
    workers: int
    handler: str

    @property
    def synchronous(self) -> bool:
        """Whether each batch waits for the disk."""
        return self.batch == 100

    def __str__(self) -> str:
        mode = "synchronous" if self.synchronous else "synchronous_commit off"
        return f"batch {self.batch}, {mode}, {self.workers} worker{'s'[: self.workers - 1]}, {self.handler} handler"


# Handlers outermost, so that a plan is made anew as seldom as can be.
CASES = tuple(
    Case(batch, workers, handler) for handler in ("no-op", "inserting") for batch in (100, 1000) for workers in (1, 2)
)

_NOTE = (
    "Consumers of naive and pgmq are plpgsql procedures in the server and call the same handler. The last row is one"
    " statement in one session, without batches: nobody can be faster by deleting rows."
)


def run(plan: Plan) -> Outcome:
    """Measure every case on one server."""
    outcome = Outcome("drain")
    with ground("drain") as server:
        outcome.server = server.described()
        found: dict[Case, list[Draining]] = {}
        for case in CASES:
            plan.tell(f"drain: {case}")
            set_handler(server, case.handler)
            server.everywhere("synchronous_commit", "on" if case.synchronous else "off")
            found[case], missing = _measure(plan, server, case)
            outcome.tables.append(comparison(f"drain: {case}", found[case], missing))
        server.everywhere("synchronous_commit", None)
    outcome.notes.append(_NOTE)
    outcome.charts = [_chart(handler, found) for handler in ("no-op", "inserting")]
    outcome.ratios = _ratios(found)
    outcome.samples = {str(case): {each.subject: each.rate.samples for each in found[case]} for case in CASES}
    return outcome


def _measure(plan: Plan, server: Ground, case: Case) -> tuple[list[Draining], dict[str, str]]:
    limit = one_delete if case.handler == "no-op" else one_move
    queue = f"{case.batch}_{case.workers}"
    like = f"{server.extension}.job_{queue}"

    def pattern(name: str) -> Drained:
        each = {"naive": NAIVE, "pgmq": PGMQ, "limit": limit(like)}[name]
        return PatternQueue(server, each, batch=case.batch, consumers=1 if name == "limit" else case.workers)

    makers: list[tuple[str, Callable[[], Drained]]] = [
        ("pgbgw", lambda: OurQueue(server, f"job_{queue}")),
        ("arrays", lambda: OurQueue(server, f"arrays_{queue}", "pgbgw, array handler")),
    ]
    makers += [(name, partial(pattern, name)) for name in ("naive", "pgmq", "limit")]
    subjects, missing = gathered(makers)
    return drained(plan, server, subjects), missing


def _chart(handler: str, found: dict[Case, list[Draining]]) -> Chart:
    cases = [case for case in CASES if case.handler == handler]
    names = [each.subject for each in found[cases[0]]]
    lines = []
    for name in names:
        spans = [each.rate.span for case in cases for each in found[case] if each.subject == name]
        if len(spans) == len(cases):
            lines.append(Line.of(name, spans))
    labels = tuple(f"batch {case.batch}\n{case.workers} worker{'s'[: case.workers - 1]}" for case in cases)
    return Chart(f"drain-{handler}", f"Draining a queue, {handler} handler", "jobs/s", tuple(lines), labels)


def _ratios(found: dict[Case, list[Draining]]) -> list[Ratio]:
    """What the project wants of the no-op cases, over subjects that were measured."""

    def of(batch: int, workers: int, subject: str) -> Measure | None:
        case = found[Case(batch, workers, "no-op")]
        return next((each.rate for each in case if each.subject == subject), None)

    wanted = [
        ("batch 100 synchronous, one worker: pgbgw / naive", (100, 1, "naive"), 25.0),
        ("batch 1000 asynchronous, one worker: pgbgw / naive", (1000, 1, "naive"), 45.0),
        ("batch 1000 asynchronous, one worker: pgbgw / one DELETE", (1000, 1, "one DELETE statement"), 0.55),
        ("batch 1000 asynchronous, two workers: pgbgw / one DELETE", (1000, 2, "one DELETE statement"), 0.9),
    ]
    ratios = []
    for what, (batch, workers, subject), bound in wanted:
        ours, other = of(batch, workers, "pgbgw"), of(batch, workers, subject)
        if ours is not None and other is not None:
            ratios.append(Ratio(what, ratio(ours, other), bound))
    wal = found[Case(100, 1, "no-op")][0].wal
    return [*ratios, Ratio("batch 100 synchronous, one worker: WAL a job, images apart", wal, 60, "at most", "B")]


BENCHMARK = Benchmark("drain", "jobs a second out of a full queue, and WAL a job", run)
