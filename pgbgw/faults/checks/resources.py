"""Handlers that hang, allocate without end, or fill the log."""

from __future__ import annotations

import contextlib
import re
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pgbgw.faults.check import check
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.faults.workers import hold, rounds_here, static_processes

__all__: list[str] = []

# More than a session takes to run small statements, less than the value that is asked for.
_ROOM = 100 * 1024 * 1024
_TOO_MUCH = 900_000_000

# What a process writes into the log in a second that begins with the first message. Twice as many may fall into one by
# the clock.
_REPORTS = 10
_WARNINGS = 100
_FAILING = 5_000
_TRICKLE = 300
_MESSAGES = 20_000


def _bad_among_good(stage: Stage, line: Line, sqlstate: str, *scripts: str) -> str:
    """Jobs that fail among good ones: they are done, those are given up with their error, and the processes stay."""
    before = stage.pids()
    with stage.connect() as connection, connection.transaction():
        good = stage.enqueue(line, 3, connection=connection)
        bad = [job for script in scripts for job in stage.enqueue(line, 1, script, connection=connection)]
        good += stage.enqueue(line, 3, connection=connection, start=4)
    seen = stage.audit(line, good + bad, dict.fromkeys(bad, sqlstate))
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"SQLSTATE {sqlstate}; {seen}; same pid"


@check(
    "resource.timeout",
    "a handler hangs, of a worker with a timeout",
    "The timeout ends the job, with SQLSTATE 57014, and not before; its neighbours are done.",
    rules=(17,),
    needs=("timeout",),
)
def timeout(stage: Stage) -> str:
    """PostgreSQL itself arms statement_timeout for clients only."""
    told = []
    for line in stage.lines:
        if any(taker.timeout is None for taker in line.takers):
            continue
        declared = max(taker.timeout.value for taker in line.takers if taker.timeout is not None) / 1000
        mark, began = stage.mark(), time.monotonic()
        seen = _bad_among_good(stage, line, "57014", "SELECT pg_sleep(600)")
        took = (time.monotonic() - began) / (line.queue.retries + 1)
        require(took > declared, f"{took:.2f} s an attempt; the timeout is {declared} s")
        require(took < declared + 2, f"{took:.2f} s an attempt; the timeout is {declared} s")
        failed = stage.log(rf'of queue "{re.escape(line.queue.name)}" failed .* statement timeout', mark)
        require(bool(failed), "the log does not tell of the timeout")
        told.append(f"{took:.2f} s an attempt; {seen}")
    return told[0]


@check(
    "resource.round_timeout",
    "a round hangs, of an interval worker with a timeout",
    "The timeout ends it; the process stays, and the next round comes.",
    rules=(17,),
    needs=("round timeout",),
)
def round_timeout(stage: Stage) -> str:
    """A round that was ended is not tried again before its time."""
    workers = [worker for worker in rounds_here(stage) if worker.timeout is not None]
    before = stage.pids()
    for worker in workers:
        mark, began = stage.mark(), time.monotonic()
        stage.script(worker, "SELECT pg_sleep(600)")
        pids = "|".join(str(pid) for pid in stage.pids(worker).values())
        stage.told(rf"\[({pids})\] .*ERROR:  canceling statement due to statement timeout", mark)
        took = time.monotonic() - began
        declared = worker.timeout.value / 1000 if worker.timeout else 0
        require(declared < took < declared + 4, f"it took {took:.2f} s; the timeout is {declared} s")
        stage.script(worker, None)
    stage.idle()
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{len(workers)} workers, the last one's round ended {took:.2f} s after it could begin; same pids"


@contextlib.contextmanager
def _little_memory(stage: Stage, line: Line) -> Iterator[None]:
    """Let the processes that take from a queue have little more memory than they have now.

    It is the soft limit, which whoever runs a process may set, and set back.
    """
    pids = [each.pid for each in static_processes(stage, line.takers) if each.pid is not None]
    limits = {pid: _soft_limit(pid) for pid in pids}
    try:
        for pid in pids:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            _limit(stage, pid, str(pages * resource.getpagesize() + _ROOM))
        yield
    finally:
        for pid, limit in limits.items():
            _limit(stage, pid, limit)


def _soft_limit(pid: int) -> str:
    (line,) = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "address space" in line]
    return line.split()[3]


def _limit(stage: Stage, pid: int, most: str) -> None:
    ran = stage.cluster.user.run(["prlimit", f"--pid={pid}", f"--as={most}:"])
    require(ran.returncode == 0, f"prlimit: {ran.stdout.strip()}")


@check(
    "resource.memory",
    "a handler allocates until the system refuses memory",
    "The job fails with SQLSTATE 53200; the process goes on with its neighbours.",
    rules=(27, 28),
    needs=("queue", "memory limit"),
)
def memory(stage: Stage) -> str:
    """The limit is the process's own, so that nothing else runs out of memory: one large piece, and many small ones."""
    line = stage.lines[0]
    large = f"SELECT length(repeat('x', {_TOO_MUCH}))"
    small = "SELECT cardinality(array_agg(repeat('x', 1000) || g)) FROM generate_series(1, 1000000) AS g"
    with _little_memory(stage, line):
        seen = _bad_among_good(stage, line, "53200", large, small)
        stage.idle()
    return seen


@check(
    "resource.recursion",
    "a handler calls itself without end",
    "The job fails with SQLSTATE 54001, since PostgreSQL limits the depth of the stack.",
    rules=(27, 28),
    needs=("queue",),
)
def recursion(stage: Stage) -> str:
    """A real overflow of the stack would end the whole server."""
    deeper = f"{SCHEMA}.deeper()"
    stage.rows(f"CREATE FUNCTION {deeper} RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM {deeper}; END'")
    try:
        return [_bad_among_good(stage, line, "54001", f"SELECT {deeper}") for line in stage.lines][-1]
    finally:
        stage.rows(f"DROP FUNCTION {deeper}")


@check(
    "resource.temporary_files",
    "a handler writes more temporary files than temp_file_limit allows",
    "The job fails with SQLSTATE 53400, and its files are gone.",
    rules=(27, 28),
    needs=("queue",),
)
def temporary_files(stage: Stage) -> str:
    """The disk would be full without the limit."""
    hold(stage, temp_file_limit="1MB")
    sort = "SELECT count(*) FROM (SELECT g FROM generate_series(1, 200000) AS g ORDER BY md5(g::text)) AS s"
    script = f"DO $$ BEGIN SET LOCAL work_mem = '64kB'; EXECUTE '{sort}'; END $$"
    seen = [_bad_among_good(stage, line, "53400", script) for line in stage.lines][-1]
    left = stage.value("SELECT count(*) FROM pg_ls_tmpdir()")
    require(left == 0, f"{left} temporary files are left")
    return f"{seen}; no file left"


@check(
    "resource.log_failures",
    f"{_FAILING} jobs fail, at each attempt",
    "Each is kept with its error; the log tells of some of them, and how many it does not tell of.",
    rules=(30,),
    needs=("queue",),
)
def log_failures(stage: Stage) -> str:
    """What the log misses stands in the view."""
    line = max(stage.lines, key=lambda line: -line.queue.retries)
    before, mark, began = stage.pids(), stage.mark(), time.monotonic()
    jobs = stage.enqueue(line, _FAILING, "SELECT 1 / 0")
    stage.drained(line, within=120)
    took = time.monotonic() - began
    seen = stage.audit(line, jobs, dict.fromkeys(jobs, "22012"))
    stage.idle()
    written = _written(stage, mark, "failed in attempt", 2 * _REPORTS)
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{_FAILING * (line.queue.retries + 1)} failures in {took:.1f} s, {written} messages in the log; {seen}"


@check(
    "resource.log_trickle",
    f"{_TRICKLE} jobs that fail come one by one",
    "The log tells of ten a second, and once a second how many it does not tell of.",
    rules=(30,),
    needs=("queue",),
)
def log_trickle(stage: Stage) -> str:
    """Each is a batch of its own, as its further attempts are."""
    line = stage.lines[0]
    mark = stage.mark()
    with stage.connect() as connection:
        jobs = [stage.enqueue(line, 1, "SELECT 1 / 0", connection=connection)[0] for _ in range(_TRICKLE)]
    seen = stage.audit(line, jobs, dict.fromkeys(jobs, "22012"))
    stage.told("more jobs? ha(s|ve) failed than the log tells of", mark)
    written = _written(stage, mark, "failed in attempt", 2 * _REPORTS)
    told = _written(stage, mark, "more jobs? ha(s|ve) failed than the log tells of", 2)
    return f"{written} reports in the log, {told} lines about others; {seen}"


@check(
    "resource.log_messages",
    f"a handler raises {_MESSAGES} warnings",
    "The log has the first hundred of each second, and a line that says how many were left out.",
    rules=(30,),
    needs=("queue",),
)
def log_messages(stage: Stage) -> str:
    """In one job, or in twenty where a timeout would end it before."""
    line = stage.lines[0]
    count = 1 if all(taker.timeout is None for taker in line.takers) else 20
    script = f"DO $$ BEGIN FOR n IN 1..{_MESSAGES // count} LOOP RAISE WARNING 'told to warn'; END LOOP; END $$"
    mark = stage.mark()
    seen = stage.audit(line, stage.enqueue(line, count, script))
    eventually(lambda: _warnings(stage, mark) >= _MESSAGES, what=f"{_MESSAGES} warnings, written or counted")
    written = _written(stage, mark, "told to warn", 2 * _WARNINGS)
    return f"{written} messages in the log, {_warnings(stage, mark) - written} counted as left out; {seen}"


def _warnings(stage: Stage, mark: int) -> int:
    """How many warnings have come: those in the log, and those that it says it has left out."""
    lines = stage.log(r": \d+ messages? (was|were) left out of the log", mark)
    counted = sum(int(found[1]) for found in (re.search(r": (\d+) message", line) for line in lines) if found)
    return counted + len(stage.log("WARNING:  told to warn", mark))


def _written(stage: Stage, mark: int, text: str, most: int) -> int:
    """How many messages with a text stand in the log; of a process at most so many with the same second."""
    warnings = stage.log(rf"(WARNING|LOG):  .*{text}", mark)
    found = [re.match(r"([^.]+)\.\d+ .*?(\[\d+\])", warning) for warning in warnings]
    seconds = Counter(each.groups() for each in found if each)
    require(seconds.total() == len(warnings), f"not of a second and a process: {warnings[:1]}")
    worst = max(seconds.values(), default=0)
    require(worst <= most, f"{worst} of one process in one second")
    return len(warnings)
