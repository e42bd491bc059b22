"""wake: how long it takes from a producer's COMMIT until a handler is called, against NOTIFY and against polling.

The producer is a procedure in the server. It notes the server's clock, and commits. synchronous_commit is off for
everybody, so that no disk is in the figures. Our handler notes the server's clock when it is called. The others are a
Python process on the same machine, whose clock is the same one (``clock_gettime(CLOCK_REALTIME)``, which both read).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.ground import Ground, ground
from bench.measures import Measure, alternate, percentile, ratio
from bench.ours import OurQueue
from bench.outcome import Chart, Line, Outcome, Ratio, Table, spread, times
from bench.plan import Plan
from bench.registry import Benchmark
from pgbgw.faults.waiting import eventually

__all__ = ["BENCHMARK"]

# Seconds between two jobs, half to one and a half times that at random.
_GAP = 0.01

_POLL = 0.01

# The producer's clock, before COMMIT, in microseconds since 1970.
_SETUP = """
CREATE TABLE bench.sent (job bigint, at bigint);
CREATE TABLE bench.seen (job bigint, at bigint);
CREATE FUNCTION bench.now() RETURNS bigint LANGUAGE sql AS
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint';
CREATE FUNCTION bench.note(job bigint) RETURNS void LANGUAGE plpgsql AS
    'DECLARE at bigint := bench.now(); BEGIN INSERT INTO bench.seen VALUES (job, at); END';
CREATE PROCEDURE bench.send(relation regclass, count integer, gap double precision) LANGUAGE plpgsql AS $$
DECLARE
    jobs bigint[] := '{}';
    moments bigint[] := '{}';
    job bigint;
BEGIN
    FOR i IN 1..count LOOP
        PERFORM pg_sleep(gap * (0.5 + random()));
        COMMIT;
        EXECUTE format('INSERT INTO %s (payload) VALUES (''{"n": 1}'') RETURNING id', relation) INTO job;
        jobs := jobs || job;
        moments := moments || bench.now();
        COMMIT;
    END LOOP;
    INSERT INTO bench.sent SELECT * FROM unnest(jobs, moments);
END $$;
"""

_RIVALS = """
CREATE TABLE bench.notified (LIKE {0} INCLUDING ALL);
CREATE TABLE bench.polled (LIKE {0} INCLUDING ALL);
CREATE FUNCTION bench.notify() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_notify(''bench'', new.id::text); RETURN NULL; END';
CREATE TRIGGER wake AFTER INSERT ON bench.notified FOR EACH ROW EXECUTE FUNCTION bench.notify();
"""

# Who was told which job there is asks for that one; who polls asks for the oldest.
_CLAIM_NAMED = "DELETE FROM {0} WHERE id = %s RETURNING id, payload"
_CLAIM_OLDEST = """
DELETE FROM {0} WHERE id = (SELECT id FROM {0} ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, payload
"""

# The small table is read by its index, as a large one is.
_CONSUMER = "SET enable_seqscan = off"

Moments = dict[int, int]
"""Microseconds since 1970 at which something happened to a job, by its id."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to learn of a job: the table it is put into, and what takes it from there and returns when it did."""

    name: str
    table: str
    take: Callable[[Ground, str, int], Moments]


def run(plan: Plan) -> Outcome:
    """Measure each way once a round, and take median and 99th percentile of each round."""
    outcome = Outcome("wake")
    jobs = plan.pick(60, 500, 2000)
    with ground("wake", _SETUP) as server:
        # The disk is no part of the figures: not of the producer's commit, and not of a commit that a job waits behind.
        server.everywhere("synchronous_commit", "off")
        outcome.server = server.described()
        queue = OurQueue(server, "job")
        server.rows(_RIVALS.format(queue.table))
        ways = [
            Way("pgbgw: handler called", queue.table, _ours(queue)),
            Way("NOTIFY: notification read", "bench.notified", _notified),
            Way("NOTIFY: job claimed", "bench.notified", _notified_and_claimed),
            Way(f"polling every {_POLL * 1000:g} ms: job claimed", "bench.polled", _polled),
        ]
        for way in ways:
            plan.tell(f"wake: {way.name}")
            _latencies(server, way, 20)
        taken = alternate(ways, plan.rounds, lambda way: _latencies(server, way, jobs))
    found = {
        part: [Measure(way.name, tuple(percentile(each, part) for each in rounds)) for way, rounds in taken]
        for part in (0.5, 0.99)
    }
    outcome.tables.append(_table(found, jobs))
    outcome.charts.append(_chart(found))
    for part, name, bound in ((0.5, "median", 0.45), (0.99, "p99", 0.6)):
        ours, _, claimed, _ = found[part]
        outcome.ratios.append(Ratio(f"{name}: pgbgw / {claimed.subject}", ratio(ours, claimed), bound, "at most"))
    outcome.samples = {way.name: rounds for way, rounds in taken}
    outcome.notes.append(
        "From the producer's COMMIT to the call of a handler, with synchronous_commit off for everybody. NOTIFY and"
        " polling are psycopg in a Python process; ours is a plpgsql handler in the server. A job comes every"
        f" {_GAP * 500:g} to {_GAP * 1500:g} ms."
    )
    return outcome


def _latencies(server: Ground, way: Way, jobs: int) -> list[float]:
    """Microseconds from COMMIT to whoever takes the job, for each job."""
    server.rows(f"TRUNCATE {way.table}, bench.sent, bench.seen")
    taken = way.take(server, way.table, jobs)
    sent = dict(server.rows("SELECT job, at FROM bench.sent"))
    if len(sent) != jobs or set(taken) != set(sent):
        raise AssertionError(f"{way.name}: {len(sent)} jobs were sent, {len(taken)} were taken")
    return [float(taken[job] - sent[job]) for job in sent]


def _send(server: Ground, table: str, jobs: int) -> None:
    with server.connect() as connection:
        connection.execute(f"CALL bench.send('{table}', {jobs}, {_GAP})".encode())


def _ours(queue: OurQueue) -> Callable[[Ground, str, int], Moments]:
    def take(server: Ground, table: str, jobs: int) -> Moments:
        count = "SELECT count(*) FROM bench.seen"
        with queue.going():
            eventually(lambda: "idle" in _states(server), what="an idle worker")
            _send(server, table, jobs)
            eventually(lambda: server.value(count) == jobs, within=20, what="a call of the handler for each job")
        return dict(server.rows("SELECT job, at FROM bench.seen"))

    return take


def _states(server: Ground) -> list[str]:
    return [row[0] for row in server.rows(f"SELECT state FROM {server.extension}.workers()")]


def _beside(server: Ground, table: str, jobs: int, wait: Callable[[psycopg.Connection[Any]], Moments]) -> Moments:
    """Run a consumer in a thread of its own while jobs are sent; the sending thread waits for the server meanwhile."""
    ready = threading.Event()
    taken: Moments = {}

    def consume() -> None:
        with server.connect() as connection:
            connection.execute(_CONSUMER)
            connection.execute("LISTEN bench")
            ready.set()
            taken.update(wait(connection))

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    ready.wait()
    _send(server, table, jobs)
    consumer.join(timeout=20)
    return dict(taken)


def _now() -> int:
    return time.time_ns() // 1000


def _notified(server: Ground, table: str, jobs: int) -> Moments:
    def wait(connection: psycopg.Connection[Any]) -> Moments:
        return {int(each.payload): _now() for each in connection.notifies(timeout=15, stop_after=jobs)}

    return _beside(server, table, jobs, wait)


def _notified_and_claimed(server: Ground, table: str, jobs: int) -> Moments:
    def wait(connection: psycopg.Connection[Any]) -> Moments:
        with server.connect() as claiming:
            claiming.execute(_CONSUMER)
            taken: Moments = {}
            for each in connection.notifies(timeout=15, stop_after=jobs):
                _claim(claiming, _CLAIM_NAMED.format(table), taken, int(each.payload))
            return taken

    return _beside(server, table, jobs, wait)


def _polled(server: Ground, table: str, jobs: int) -> Moments:
    def wait(connection: psycopg.Connection[Any]) -> Moments:
        taken: Moments = {}
        deadline = time.monotonic() + 60
        while len(taken) < jobs and time.monotonic() < deadline:
            if not _claim(connection, _CLAIM_OLDEST.format(table), taken):
                time.sleep(_POLL)
        return taken

    return _beside(server, table, jobs, wait)


def _claim(connection: psycopg.Connection[Any], statement: str, taken: Moments, *job: int) -> bool:
    """Take a job, if there is one, and note when it was in hand."""
    row = connection.execute(statement.encode(), job, prepare=True).fetchone()
    if row is None:
        return False
    taken[row[0]] = _now()
    return True


def _table(found: dict[float, list[Measure]], jobs: int) -> Table:
    columns = ("way", "jobs", "p50 us", "low", "high", "ours is", "p99 us", "low", "high", "ours is")
    rows = []
    for median, last in zip(found[0.5], found[0.99], strict=True):
        of_medians, of_last = (
            times(ratio(found[part][0], each).median) for part, each in ((0.5, median), (0.99, last))
        )
        rows.append((median.subject, jobs, *spread(median.span), of_medians, *spread(last.span), of_last))
    return Table("wake: microseconds from COMMIT to handler", columns, tuple(rows))


def _chart(found: dict[float, list[Measure]]) -> Chart:
    lines = [
        Line.of(median.subject, [median.span, last.span]) for median, last in zip(found[0.5], found[0.99], strict=True)
    ]
    return Chart("wake", "From COMMIT to handler", "microseconds", tuple(lines), ("median", "99th percentile"))


BENCHMARK = Benchmark("wake", "microseconds from a commit until a handler is called, p50 and p99", run)
