"""leases: how fast sessions take jobs and acknowledge them, and how fast they take them alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.claims import assert_direct, read_claims
from bench.draining import Drained, Draining, comparison, drained, gathered, set_handler
from bench.ground import PAYLOAD, Ground, ground
from bench.measures import ratio
from bench.outcome import Chart, Line, Outcome, Ratio
from bench.patterns import NAIVE, PGMQ, Pattern, PatternQueue
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK"]

_JOB = "bench_leases.job"

_SETUP = """
CREATE PROCEDURE bench.drain_leases(batch integer) LANGUAGE plpgsql AS $$
DECLARE
    job record;
    ids bigint[];
    tokens bigint[];
BEGIN
    LOOP
        ids := '{}';
        tokens := '{}';
        FOR job IN SELECT id, payload, token FROM bench_leases.job_claim(batch) LOOP
            ids := ids || job.id;
            tokens := tokens || job.token;
        END LOOP;
        COMMIT;
        EXIT WHEN cardinality(ids) = 0;
        PERFORM bench_leases.job_acknowledge(ids, tokens);
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE bench.claim_leases(batch integer) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM FROM bench_leases.job_claim(batch);
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$;
"""

_CLAIM_NAIVE = """
CREATE PROCEDURE bench.claim_naive(batch integer) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        UPDATE bench.naive SET status = 'processing', started_at = now() WHERE id IN (
            SELECT id FROM bench.naive WHERE status = 'pending' ORDER BY created_at LIMIT batch FOR UPDATE SKIP LOCKED);
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE bench.claim_pgmq(batch integer) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM FROM pgmq.read('bench', 3600, batch);
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$;
"""

_INSERT = f"INSERT INTO {_JOB} (payload) SELECT {PAYLOAD} FROM {{0}}"


@dataclass(frozen=True, slots=True)
class Case:
    """One table: what is done with a job, and how many sessions do so."""

    acknowledged: bool
    consumers: int

    def __str__(self) -> str:
        what = "claimed and acknowledged" if self.acknowledged else "claimed, and no more"
        return f"batch 100, synchronous, {self.consumers} session{'s'[: self.consumers - 1]}, {what}"


CASES = (Case(True, 1), Case(True, 2), Case(False, 1), Case(False, 2))

_NOTE = (
    "Consumers are plpgsql procedures in the server; those of naive and pgmq call a handler that does nothing for each"
    " job, where jobs are acknowledged. Ours commits twice a batch: once the leases are given, and once when the jobs"
    " are done; pgmq reads and deletes in one transaction, so it gives no lease that outlives a crash."
)


class LeaseQueue(PatternQueue):
    """Our queue, from which sessions take jobs."""

    def clear(self) -> None:
        """Empty the queue, and forget all leases."""
        self.ground.rows(f"TRUNCATE {_JOB}, {_JOB}_later, {_JOB}_failed, {_JOB}_running")

    def drain(self) -> float:
        """As of any pattern.

        Raises:
            WrongClaim: jobs were not claimed directly.
        """
        with self.ground.connect() as connection:
            before = read_claims(connection, self.ground.extension)
            elapsed = super().drain()
            self.claims = assert_direct(connection, self.ground.extension, before)
        return elapsed


def run(plan: Plan) -> Outcome:
    """Measure every case on one server."""
    outcome = Outcome("leases")
    with ground("leases") as server:
        outcome.server = server.described()
        set_handler(server, "no-op")
        server.rows(_SETUP + _CLAIM_NAIVE)
        found: dict[Case, list[Draining]] = {}
        for case in CASES:
            plan.tell(f"leases: {case}")
            found[case], missing = _measure(plan, server, case)
            outcome.tables.append(comparison(f"leases: {case}", found[case], missing))
    outcome.notes.append(_NOTE)
    outcome.charts = [_chart(found)]
    whole, claimed = found[CASES[0]], found[CASES[2]]
    naive = next(each for each in whole if each.subject == "naive")
    outcome.ratios = [
        Ratio(
            "one session: claims of pgbgw / naive, which knows no claim alone", ratio(claimed[0].rate, naive.rate), 5.0
        ),
        Ratio("one session: claims and acknowledgements of pgbgw / naive", ratio(whole[0].rate, naive.rate), 5.0),
    ]
    outcome.samples = {str(case): {each.subject: each.rate.samples for each in found[case]} for case in CASES}
    return outcome


def _measure(plan: Plan, server: Ground, case: Case) -> tuple[list[Draining], dict[str, str]]:
    verb = "drain" if case.acknowledged else "claim"

    def other(pattern: Pattern, procedure: str) -> Drained:
        changed = pattern if case.acknowledged else _with_drain(pattern, procedure)
        return PatternQueue(server, changed, consumers=case.consumers)

    leases = Pattern("pgbgw", _JOB, "", _INSERT, f"CALL bench.{verb}_leases({{0}})")
    makers: list[tuple[str, Callable[[], Drained]]] = [
        ("pgbgw", lambda: LeaseQueue(server, leases, consumers=case.consumers)),
        ("naive", partial(other, NAIVE, "claim_naive")),
        ("pgmq", partial(other, PGMQ, "claim_pgmq")),
    ]
    subjects, missing = gathered(makers)
    return drained(plan, server, subjects), missing


def _with_drain(pattern: Pattern, procedure: str) -> Pattern:
    return Pattern(pattern.name, pattern.table, pattern.setup, pattern.insert, f"CALL bench.{procedure}({{0}})")


def _chart(found: dict[Case, list[Draining]]) -> Chart:
    lines = []
    for name in [each.subject for each in found[CASES[0]]]:
        spans = [each.rate.span for case in CASES for each in found[case] if each.subject == name]
        if len(spans) == len(CASES):
            lines.append(Line.of(name, spans))
    labels = tuple(
        f"{case.consumers} session{'s'[: case.consumers - 1]}\n{'acknowledged' if case.acknowledged else 'claimed'}"
        for case in CASES
    )
    return Chart("leases", "Jobs that sessions take", "jobs/s", tuple(lines), labels)


BENCHMARK = Benchmark("leases", "jobs a second that sessions claim and acknowledge", run)
