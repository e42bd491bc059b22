"""consume: jobs a second through a Python handler that does nothing, one process each, ours beside the Python world."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.claims import assert_direct, read_claims
from bench.environments import reason
from bench.ground import Ground, ground
from bench.measures import Measure, alternate, ratio
from bench.outcome import Chart, Line, Outcome, Ratio, Table, number, spread, times
from bench.plan import Plan
from bench.registry import Benchmark
from bench.rivals import CONSUMERS, Runner, installed_rivals, rival_jobs

__all__ = ["BENCHMARK"]

_ROOT = Path(__file__).parents[1]
_SECONDS = 150

# What the project wants, by rival.
_GOALS = {"pgqueuer": 5.0, "procrastinate": 60.0}


@dataclass(frozen=True, slots=True)
class Ours:
    """Our consumer, with a plain handler or with a coroutine function."""

    kind: str

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "pgbgw" if self.kind == "plain" else "pgbgw, coroutines"

    def once(self, server: Ground, jobs: int) -> float:
        """Jobs a second.

        Raises:
            AssertionError: not all jobs were done, or they were not claimed directly.
        """
        with server.connect() as connection:
            before = read_claims(connection, server.extension)
            server.rows("CHECKPOINT")
            ran = subprocess.run(
                [sys.executable, str(CONSUMERS / "pgbgw_jobs.py"), server.cluster.conninfo("postgres"), str(jobs),
                 self.kind],
                capture_output=True, text=True, timeout=_SECONDS, env=os.environ | {"PYTHONPATH": str(_ROOT)},
            )  # fmt: skip
            if ran.returncode != 0:
                raise AssertionError(reason(subprocess.CalledProcessError(ran.returncode, "", "", ran.stderr)))
            said = json.loads(ran.stdout.strip().splitlines()[-1])
            assert said["done"] == jobs, f"{said['done']} of {jobs} jobs were done"
            assert_direct(connection, server.extension, before)
        return float(jobs / said["seconds"])


def run(plan: Plan) -> Outcome:
    """Measure each consumer that can be had, in turn."""
    outcome = Outcome("consume")
    runners, missing = installed_rivals(plan)
    jobs = plan.pick(5_000, 100_000)
    with ground("leases") as server:
        outcome.server = server.described()

        def once(subject: Ours | Runner) -> float | None:
            if isinstance(subject, Ours):
                plan.tell(f"consume: {subject.name}")
                return subject.once(server, jobs)
            plan.tell(f"consume: {subject.rival.name}")
            return subject.once(server, rival_jobs(plan, subject.rival))

        subjects: list[Ours | Runner] = [Ours("plain"), Ours("coroutine"), *runners]
        taken = alternate(subjects, plan.rounds, once)
    measures: dict[str, Measure] = {}
    about: dict[str, tuple[object, ...]] = {}
    for subject, rates in taken:
        if isinstance(subject, Runner) and subject.why:
            missing[subject.rival.name] = subject.why
            continue
        name = subject.name if isinstance(subject, Ours) else subject.rival.name
        measures[name] = Measure(name, tuple(each for each in rates if each is not None))
        if isinstance(subject, Ours):
            about[name] = ("", "one at a time", jobs)
        else:
            setting = f"{subject.rival.knob} {number(subject.rival.setting)}"
            about[name] = (subject.version, setting, rival_jobs(plan, subject.rival))
    columns = ("subject", "version", "set to", "jobs", "jobs/s", "low", "high", "pgbgw is", "low", "high")
    rows = [
        (name, *about[name], *spread(each.span), *spread(ratio(measures["pgbgw"], each), times))
        for name, each in measures.items()
    ]
    title = "consume: no-op Python handlers, one process each"
    outcome.tables.append(Table(title, columns, tuple(rows), tuple(missing.items())))
    spans = [each.span for each in measures.values()]
    outcome.charts.append(Chart("consume", title, "jobs/s", (Line.of("jobs/s", spans),), tuple(measures)))
    outcome.ratios = [
        Ratio(f"pgbgw / {name}, both with a Python handler", ratio(measures["pgbgw"], measures[name]), goal)
        for name, goal in _GOALS.items()
        if name in measures
    ]
    outcome.samples = {name: each.samples for name, each in measures.items()}
    outcome.notes.append(
        "Each consumer is a process of its own with a handler in Python that does nothing, set up as its documentation"
        " has it. Ours claims and acknowledges by leases, with synchronous commit. Jobs were enqueued before the clock"
        " starts."
    )
    return outcome


BENCHMARK = Benchmark("consume", "jobs a second through a Python handler, beside the consumers of others", run)
