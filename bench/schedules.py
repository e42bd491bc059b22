"""schedules: how late runs begin, and what it costs to know when they are due; pg_cron on the same server.

The server is Debian's PostgreSQL 15, for which Debian has pg_cron. In each minute the same number of jobs is due for
both: for pg_cron as the minute begins, for ours half a minute later, so that they don't meet. pg_cron starts a process
for each run; ours has those of the minute before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.ground import Ground, ground
from bench.measures import Measure, Span, percentile, ratio
from bench.outcome import Outcome, Ratio, Table, number, spread, times
from bench.plan import Plan
from bench.registry import Benchmark
from pgbgw.build.pgconfig import Pg, find_server
from pgbgw.faults.waiting import eventually

__all__ = ["BENCHMARK"]

_DEBIAN = Path("/usr/lib/postgresql/15/bin/pg_config")

_JOBS, _RUNS = "bench_schedules.jobs", "bench_schedules.jobs_runs"

# Jobs that are due in each minute; both may run so many at a time.
_DUE = 8

_NEVER = "0 0 1 1 *"

_CRON = {
    "shared_preload_libraries": "pg_cron",
    "cron.use_background_workers": "on",
    "cron.max_running_jobs": str(_DUE),
}

# Each is asked for at its own time of one second; the server's clock tells when.
_SETUP = """
CREATE TABLE bench.begun (subject text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE bench.asked (schedule bigint, at timestamptz);
CREATE PROCEDURE bench.ask(fires integer) LANGUAGE plpgsql AS $$
DECLARE
    begun constant timestamptz := clock_timestamp() + interval '0.1 s';
    wait float8;
    one bigint;
BEGIN
    FOR n IN 1 .. fires LOOP
        wait := extract(epoch FROM begun + n * interval '1 s' / fires - clock_timestamp());
        IF wait > 0 THEN
            PERFORM pg_sleep(wait);
        END IF;
        UPDATE bench_schedules.jobs SET run_now = true WHERE name = 'a' || n RETURNING id INTO one;
        INSERT INTO bench.asked VALUES (one, clock_timestamp());
        COMMIT;
    END LOOP;
END $$;
"""

# What is due tells itself when it begins: pg_cron notes that before its process is connected.
_COMMAND = "'INSERT INTO bench.begun (subject) VALUES (''{}'')'"
_CASES = f"CASE WHEN g <= {_DUE} THEN '{{}} * * * *' ELSE '{_NEVER}' END"
_FILL = f"""
INSERT INTO {_JOBS} (name, expression, command)
SELECT 'n' || g, {_CASES.format("30 *")}, {_COMMAND.format("pgbgw")} FROM generate_series(1, %s) AS g
"""
_FILL_CRON = f"""
INSERT INTO cron.job (schedule, command, nodename, nodeport, database, username, active, jobname)
SELECT {_CASES.format("*")}, {_COMMAND.format("pg_cron")}, 'localhost', 5432, current_database(), current_user, true,
    'n' || g FROM generate_series(1, %s) AS g
"""

# Microseconds from due to begun; ours are due half a minute later.
_LATE = """
SELECT extract(epoch FROM at - date_trunc('minute', at)) * 1e6 - CASE subject WHEN 'pgbgw' THEN 30e6 ELSE 0 END
FROM bench.begun WHERE subject = %s AND at >= %s ORDER BY at
"""
_LATE_ASKED = f"""
SELECT extract(epoch FROM r.started_at - a.at) * 1e6 FROM bench.asked AS a JOIN {_RUNS} AS r USING (schedule)
WHERE r.outcome = 'done'
"""


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute came to: microseconds from due to begun of each run, and CPU milliseconds of the scheduler."""

    late: tuple[float, ...]
    cpu: float


def run(plan: Plan) -> Outcome:
    """Minutes with few and with many schedules, then a thousand runs in a second."""
    outcome = Outcome("schedules")
    sizes = plan.pick((10,), (10, 1000, 10_000), (10, 1000, 10_000, 100_000))
    rounds = plan.pick(1, plan.rounds)
    pg, missing = _server()
    with ground("schedules", _SETUP, pg=pg, settings={} if missing else _CRON) as server:
        outcome.server = server.described()
        if not missing:
            server.rows("CREATE EXTENSION pg_cron")
        subjects = ["pgbgw"] if missing else ["pgbgw", "pg_cron"]
        rows = []
        for size in sizes:
            plan.tell(f"schedules: {size} schedules, of which {_DUE} are due in a minute")
            taken = _minutes(server, subjects, size, rounds)
            outcome.samples[f"{size} schedules"] = {
                name: [each.late for each in found] for name, found in taken.items()
            }
            rows += _rows(size, taken)
            if not missing:
                outcome.ratios += _against(size, taken)
        columns = (
            "schedules",
            "of",
            "runs",
            "p50 us",
            "p99 us",
            "ours is",
            "CPU ms a minute",
            "low",
            "high",
            "ours is",
        )
        outcome.tables.append(
            Table("schedules: how late runs begin, and CPU time of the scheduler", columns, tuple(rows),
                  (("pg_cron", missing),) if missing else ())
        )  # fmt: skip
        plan.tell("schedules: many in one second")
        server.everywhere("synchronous_commit", "off")
        _alone(server, plan, outcome)
    outcome.notes.append(
        f"In a minute {_DUE} jobs are due, an INSERT each, for which pg_cron starts processes, and ours has those of"
        " the minute before; the others are not due. Late is from due until the job's own statement runs. CPU time is"
        " that of the process that knows when jobs are due, in user and system mode, without the processes that run"
        " them. pg_cron runs jobs in background workers. In the second table processes have started before, late is"
        " what rows of runs tell, and runs commit without waiting for the disk, for which the scheduler waits all the"
        " same."
    )
    return outcome


def _server() -> tuple[Pg | None, str]:
    """PostgreSQL 15 with pg_cron; else the embedded server, and what is missing."""
    if not _DEBIAN.exists():
        return None, "Debian's PostgreSQL 15 is not installed"
    pg = find_server(str(_DEBIAN))
    if not (pg.sharedir / "extension/pg_cron.control").exists():
        return pg, "Debian's postgresql-15-cron is not installed"
    return pg, ""


def _pid(server: Ground, subject: str) -> int:
    """The process that knows when jobs are due."""
    query = {
        "pgbgw": "SELECT pid FROM bench_schedules.workers() WHERE worker = 'jobs' AND state = 'idle'",
        "pg_cron": "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'",
    }[subject]
    return int(eventually(lambda: server.rows(query), 30, f"the scheduler of {subject}")[0][0])


def _cpu(pid: int) -> float:
    """CPU milliseconds of a process, by its clock: clock_getcpuclockid(3) makes the number of that so."""
    return time.clock_gettime((~pid << 3) | 2) * 1e3


def _minutes(server: Ground, subjects: Sequence[str], size: int, rounds: int) -> dict[str, list[Minute]]:
    """So many minutes with so many schedules, which begin 15 s before a whole one."""
    taken: dict[str, list[Minute]] = {subject: [] for subject in subjects}
    with _filled(server, subjects, size):
        pids = {subject: _pid(server, subject) for subject in subjects}
        for _ in range(rounds):
            begun = _await_second(server, 45)
            before = {subject: _cpu(pid) for subject, pid in pids.items()}
            _await_second(server, 44)
            for subject, pid in pids.items():
                late = tuple(float(row[0]) for row in server.rows(_LATE, [subject, begun]))
                if len(late) != _DUE:
                    raise AssertionError(f"{subject}: {len(late)} of {_DUE} jobs have run")
                taken[subject].append(Minute(late, _cpu(pid) - before[subject]))
    return taken


@contextlib.contextmanager
def _filled(server: Ground, subjects: Sequence[str], size: int) -> Iterator[None]:
    fills = {"pgbgw": (_FILL, _JOBS, _RUNS), "pg_cron": (_FILL_CRON, "cron.job", "cron.job_run_details")}
    try:
        for subject in subjects:
            fill, *tables = fills[subject]
            server.rows(fill, [size])
            server.settle(*tables)
        yield
    finally:
        for subject in subjects:
            for table in fills[subject][1:]:
                server.rows(f"DELETE FROM {table}")


def _await_second(server: Ground, second: int) -> object:
    """Wait until the server's clock shows that second of a minute; the time then."""
    query = "SELECT pg_sleep(mod(60 + %s - extract(second FROM clock_timestamp()), 60)::float8)"
    server.rows(query, [second])
    return server.value("SELECT clock_timestamp()")


def _rows(size: int, taken: dict[str, list[Minute]]) -> list[tuple[object, ...]]:
    cpu = {name: Measure(name, tuple(each.cpu for each in found)) for name, found in taken.items()}
    late = {name: [each for minute in found for each in minute.late] for name, found in taken.items()}
    rows: list[tuple[object, ...]] = []
    for name, found in late.items():
        median, last = percentile(found, 0.5), percentile(found, 0.99)
        of_late = percentile(late["pgbgw"], 0.5) / median
        rows.append((size, name, len(found), number(median), number(last), times(of_late), *spread(cpu[name].span),
                     times(ratio(cpu["pgbgw"], cpu[name]).median)))  # fmt: skip
    return rows


def _against(size: int, taken: dict[str, list[Minute]]) -> list[Ratio]:
    """Ours is not later than pg_cron, nor does it take more CPU time."""
    ours, theirs = taken["pgbgw"], taken["pg_cron"]
    late = [Measure(name, tuple(percentile(each.late, 0.5) for each in found)) for name, found in taken.items()]
    cpu = [Measure("pgbgw", tuple(m.cpu for m in ours)), Measure("pg_cron", tuple(m.cpu for m in theirs))]
    return [
        Ratio(f"{size} schedules, median lateness: pgbgw / pg_cron", ratio(*late), 1, "at most"),
        Ratio(f"{size} schedules, CPU: pgbgw / pg_cron", ratio(*cpu), 1, "at most"),
    ]


def _alone(server: Ground, plan: Plan, outcome: Outcome) -> None:
    """A thousand runs that are asked for one after the other within a second, and many that are due at once."""
    fires = plan.pick(200, 1000)
    pid = _pid(server, "pgbgw")
    asked = [_asked(server, pid, fires) for _ in range(plan.pick(1, plan.rounds))]
    at_once = [_at_once(server, pid, fires // 10) for _ in range(plan.pick(1, plan.rounds))]
    rows: list[tuple[object, ...]] = []
    for what, minutes, count in (("asked for within one second", asked, fires), ("due at once", at_once, fires // 10)):
        median = Span.of([percentile(each.late, 0.5) for each in minutes])
        last = Span.of([percentile(each.late, 0.99) for each in minutes])
        cpu = Span.of([each.cpu / count * 1e3 for each in minutes])
        rows.append((what, count, *spread(median), *spread(last), number(cpu.median)))
        if minutes is asked:
            seen = Span(last.median / 1e3, last.low / 1e3, last.high / 1e3)
            outcome.ratios.append(Ratio(f"{count} runs within a second: p99 of lateness", seen, 5, "at most", "ms"))
    columns = ("pgbgw", "runs", "p50 us", "low", "high", "p99 us", "low", "high", "CPU us a run")
    outcome.tables.append(Table("schedules: many runs in one second", columns, tuple(rows)))
    outcome.samples["many"] = {"asked": [each.late for each in asked], "at once": [each.late for each in at_once]}


def _warmed(server: Ground, fires: int) -> None:
    """So many schedules that are not due, and a process for each run that may be under way."""
    server.rows(f"INSERT INTO {_JOBS} (name, expression, command)"
                f" SELECT 'a' || g, '{_NEVER}', 'SELECT 1' FROM generate_series(1, %s) AS g", [fires])  # fmt: skip
    server.settle(_JOBS, _RUNS)
    server.rows(
        f"UPDATE {_JOBS} SET run_now = true WHERE name IN (SELECT 'a' || g FROM generate_series(1, {_DUE}) AS g)"
    )
    _finished(server, _DUE)
    server.rows(f"DELETE FROM {_RUNS}")


def _finished(server: Ground, count: int) -> None:
    done = f"SELECT count(*) FROM {_RUNS} WHERE outcome = 'done'"
    eventually(lambda: server.value(done) == count, 60, f"{count} runs")


def _asked(server: Ground, pid: int, fires: int) -> Minute:
    """They are asked for one after the other, from a session that notes when."""
    server.rows("TRUNCATE bench.asked")
    _warmed(server, fires)
    before = _cpu(pid)
    server.rows(f"CALL bench.ask({fires})")
    _finished(server, fires)
    found = Minute(tuple(float(row[0]) for row in server.rows(_LATE_ASKED)), _cpu(pid) - before)
    server.rows(f"DELETE FROM {_JOBS}; DELETE FROM {_RUNS}")
    return found


def _at_once(server: Ground, pid: int, fires: int) -> Minute:
    """All are due at the same second, some seconds from now."""
    _warmed(server, fires)
    second = int(server.value("SELECT mod(extract(second FROM clock_timestamp())::int + 4, 60)"))
    server.rows(f"UPDATE {_JOBS} SET expression = '{second} * * * * *'")
    before = _cpu(pid)
    _finished(server, fires)
    late = server.rows(f"SELECT extract(epoch FROM started_at - due) * 1e6 FROM {_RUNS} ORDER BY id")
    found = Minute(tuple(float(row[0]) for row in late), _cpu(pid) - before)
    server.rows(f"DELETE FROM {_JOBS}; DELETE FROM {_RUNS}")
    return found


BENCHMARK = Benchmark("schedules", "how late runs of schedules begin, and CPU time of the scheduler", run)
