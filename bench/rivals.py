"""rivals: our queue beside queues of the Python world, each as its own documentation has it.

Each runs in an environment of its own and is a script in ``consumers/``. Their handlers are Python coroutines that do
nothing, ours is a plpgsql function that does nothing: the ratio compares what the projects offer, not one technique
with another.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.draining import Drain, drain_once, set_handler
from bench.environments import Environment, Unavailable, environment, reason
from bench.ground import Ground, Wal, ground
from bench.measures import Measure, alternate, ratio
from bench.ours import OurQueue
from bench.outcome import Chart, Line, Outcome, Ratio, Table, number, spread, times
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK", "CONSUMERS", "RIVALS", "Rival", "Runner", "installed_rivals", "rival_jobs"]

CONSUMERS = Path(__file__).parent / "consumers"

_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Rival:
    """A project: its script, what to install, its main knob (concurrency, batch or workers), and its goal if any.

    ``knob`` says what the number is; ``jobs`` are for a usual run.
    """

    name: str
    package: str
    requirements: tuple[str, ...]
    knob: str
    setting: int
    jobs: int
    goal: float | None = None


RIVALS = (
    Rival("procrastinate", "procrastinate", ("procrastinate>=3", "psycopg[binary]"), "concurrency", 10, 3000, 700),
    Rival("pgqueuer", "pgqueuer", ("pgqueuer[asyncpg]>=1",), "batch", 100, 20_000, 45),
    Rival("chancy", "chancy", ("chancy>=0.26", "psycopg[binary]"), "concurrency", 100, 20_000),
    Rival("awa", "awa-pg", ("awa-pg>=0.6",), "workers", 100, 20_000),
)


@dataclass(slots=True)
class Runner:
    """A rival that can run here: its environment and its database; ``why`` says what stopped it later."""

    rival: Rival
    installed: Environment
    version: str
    why: str = ""

    def once(self, server: Ground, jobs: int) -> float | None:
        """Jobs a second, or None once it has failed."""
        if self.why:
            return None
        database = f"bench_{self.rival.name}"
        script = CONSUMERS / f"{self.rival.name}_jobs.py"
        # A plain line of words: what their drivers take apart by themselves.
        command = [
            str(self.installed.python),
            str(script),
            _plain(server, database),
            str(jobs),
            str(self.rival.setting),
        ]
        try:
            if not server.rows("SELECT FROM pg_database WHERE datname = %s", [database]):
                server.rows(f"CREATE DATABASE {database}")
            server.rows("CHECKPOINT")
            ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
            said = json.loads(ran.stdout.strip().splitlines()[-1])
            if said["done"] != jobs:
                raise RuntimeError(f"{said['done']} of {jobs} jobs were done")
            return float(jobs / said["seconds"])
        except (OSError, subprocess.SubprocessError, ValueError, LookupError, RuntimeError) as error:
            self.why = f"could not be run: {reason(error)}"
            return None


def _plain(server: Ground, database: str) -> str:
    """The connection string without quotes, which asyncpg and awa are not handed as such anyway."""
    return server.cluster.conninfo(database).replace("'", "")


def run(plan: Plan) -> Outcome:
    """Measure each rival that can be had, in turn with our queue."""
    outcome = Outcome("rivals")
    runners, missing = installed_rivals(plan)
    with ground("drain") as server:
        outcome.server = server.described()
        set_handler(server, "no-op")
        queue = OurQueue(server, "job_100_1")
        first = drain_once(server, queue, 1000)
        second = drain_once(server, queue, plan.size(first.rate, least=1000, most=100_000))
        ours = plan.size(second.rate, least=1000, most=1_000_000)

        def once(subject: OurQueue | Runner) -> Drain | None:
            if isinstance(subject, OurQueue):
                return drain_once(server, subject, ours)
            plan.tell(f"rivals: {subject.rival.name}")
            rate = subject.once(server, rival_jobs(plan, subject.rival))
            return None if rate is None else Drain(rate, Wal(0, 0))

        subjects: list[OurQueue | Runner] = [queue, *runners]
        taken = alternate(subjects, plan.rounds, once)
    measures: dict[str, Measure] = {}
    for subject, drains in taken:
        if isinstance(subject, Runner) and subject.why:
            missing[subject.rival.name] = subject.why
        else:
            name = subject.name if isinstance(subject, OurQueue) else subject.rival.name
            measures[name] = Measure(name, tuple(each.rate for each in drains if each is not None))
    outcome.tables.append(_table(plan, ours, measures, runners, missing))
    spans = [each.span for each in measures.values()]
    outcome.charts.append(
        Chart("rivals", "Draining a queue of no-op jobs", "jobs/s", (Line.of("jobs/s", spans),), tuple(measures))
    )
    for rival in RIVALS:
        if rival.goal is not None and rival.name in measures:
            seen = ratio(measures["pgbgw"], measures[rival.name])
            outcome.ratios.append(Ratio(f"pgbgw (SQL handler) / {rival.name} (Python handler)", seen, rival.goal))
    outcome.samples = {name: each.samples for name, each in measures.items()}
    outcome.notes.append(
        "Handlers do nothing. Those of the others are Python coroutines in a process of their own; ours is plpgsql in"
        " the server, with a batch of 100, one worker, synchronous commit. Jobs were enqueued before the clock starts."
    )
    return outcome


def installed_rivals(plan: Plan) -> tuple[list[Runner], dict[str, str]]:
    """Those that can be had, and why each of the others can't, by its name."""
    runners, missing = [], {}
    for rival in RIVALS:
        plan.tell(f"rivals: environment of {rival.name}")
        try:
            installed = environment(rival.name, *rival.requirements)
            runners.append(Runner(rival, installed, installed.version(rival.package)))
        except (Unavailable, subprocess.SubprocessError) as error:
            missing[rival.name] = str(error)
    return runners, missing


def rival_jobs(plan: Plan, rival: Rival) -> int:
    """How many jobs a rival is measured with."""
    return plan.pick(max(200, rival.jobs // 20), rival.jobs)


def _table(
    plan: Plan, ours: int, measures: dict[str, Measure], runners: list[Runner], missing: dict[str, str]
) -> Table:
    columns = ("subject", "version", "handler", "set to", "jobs", "jobs/s", "low", "high", "pgbgw is", "low", "high")
    known = {each.rival.name: each for each in runners}
    rows: list[tuple[object, ...]] = []
    for name, measure in measures.items():
        against = spread(ratio(measures["pgbgw"], measure), times)
        if name not in known:
            rows.append((name, "", "plpgsql", "batch 100", ours, *spread(measure.span), *against))
            continue
        rival = known[name].rival
        setting = f"{rival.knob} {number(rival.setting)}"
        about = (name, known[name].version, "Python", setting, rival_jobs(plan, rival))
        rows.append((*about, *spread(measure.span), *against))
    title = "rivals: no-op jobs, as each documentation has it"
    return Table(title, columns, tuple(rows), tuple(missing.items()))


BENCHMARK = Benchmark("rivals", "jobs a second of procrastinate, pgqueuer, chancy and awa, beside ours", run)
