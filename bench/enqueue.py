"""enqueue: what the wake-up costs producers: our trigger against none, and against one that sends NOTIFY."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.ground import Ground, ground
from bench.measures import Measure, alternate, ratio
from bench.ours import OurQueue
from bench.outcome import Chart, Line, Outcome, Ratio, Table, spread, times
from bench.plan import Plan
from bench.registry import Benchmark

__all__ = ["BENCHMARK"]

CLIENTS = (2, 16)

_ROW = '{"n": 1, "kind": "noop", "to": "user@example.com"}'

# Rows of one COPY, which is one transaction.
_COPIED = 10_000

_SETUP = """
CREATE TABLE bench.bare (LIKE {0} INCLUDING ALL);
CREATE TABLE bench.notified (LIKE {0} INCLUDING ALL);
CREATE FUNCTION bench.notify() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_notify(''bench'', ''''); RETURN NULL; END';
CREATE TRIGGER wake AFTER INSERT ON bench.notified FOR EACH STATEMENT EXECUTE FUNCTION bench.notify();
"""


@dataclass(frozen=True, slots=True)
class Way:
    """A table to enqueue into, and whether our worker takes the jobs out of it meanwhile."""

    name: str
    table: str
    served: bool = False


def run(plan: Plan) -> Outcome:
    """Measure each way with each number of clients, by single INSERTs and by COPY."""
    outcome = Outcome("enqueue")
    with ground("enqueue") as server:
        outcome.server = server.described()
        queue = OurQueue(server, "job")
        server.rows(_SETUP.format(queue.table))
        ways = [
            Way("no trigger", "bench.bare"),
            Way("wake trigger, no worker", f"{server.extension}.alone"),
            Way("wake trigger, worker paused", queue.table),
            Way("wake trigger, worker drains", queue.table, served=True),
            Way("NOTIFY trigger", "bench.notified"),
        ]
        kinds: list[tuple[str, str, Callable[[Plan, Ground, Way, int], float]]] = [
            ("INSERT", "rows/s, one a transaction", _insert),
            ("COPY", f"rows/s, {_COPIED} a transaction", _copy),
        ]
        for kind, unit, take in kinds:
            found = {clients: _measure(plan, server, queue, ways, kind, clients, take) for clients in CLIENTS}
            outcome.tables.append(_table(kind, unit, found))
            outcome.charts.append(_chart(kind, unit, found))
            outcome.samples[kind] = {
                f"{clients} clients": {each.subject: each.samples for each in measures}
                for clients, measures in found.items()
            }
            if kind == "INSERT":
                bare, waking = found[16][:2]
                outcome.ratios.append(Ratio(f"INSERT, 16 clients: {waking.subject} / none", ratio(waking, bare), 0.93))
    outcome.notes.append(
        "All tables have the same columns and index. Nobody listens, so that NOTIFY is shown at its least; a worker"
        " that drains shares processors and disk with the producers."
    )
    return outcome


def _measure(
    plan: Plan,
    server: Ground,
    queue: OurQueue,
    ways: list[Way],
    kind: str,
    clients: int,
    take: Callable[[Plan, Ground, Way, int], float],
) -> list[Measure]:
    plan.tell(f"enqueue: {kind}, {clients} clients")

    def once(way: Way) -> float:
        server.rows(f"TRUNCATE {way.table}")
        server.settle(way.table)
        with queue.going() if way.served else contextlib.nullcontext():
            return take(plan, server, way, clients)

    # The first measurement meets a cold cache of files and catalogs, and does not count.
    once(ways[0])
    return [Measure(way.name, tuple(rates)) for way, rates in alternate(ways, plan.rounds, once)]


def _insert(plan: Plan, server: Ground, way: Way, clients: int) -> float:
    """Transactions a second of pgbench, each of them a prepared INSERT of one row."""
    with tempfile.TemporaryDirectory(prefix="pgbgw-bench-") as folder:
        script = Path(folder, "insert.sql")
        script.write_text(f"INSERT INTO {way.table} (payload) VALUES ('{_ROW}');\n", encoding="utf-8")
        ran = subprocess.run(
            [server.cluster.pg.program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}",
             f"--client={clients}", "--jobs=2", f"--time={plan.pick(1, 4)}", server.cluster.conninfo()],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    found = re.search(r"^tps = ([\d.]+)", ran.stdout, re.MULTILINE)
    if ran.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench failed: {ran.stderr.strip()[-300:]}")
    return float(found[1])


def _copy(plan: Plan, server: Ground, way: Way, clients: int) -> float:
    """Rows a second of COPY; the rows are made up beforehand, so that clients do little but send."""
    rows = (_ROW + "\n") * _COPIED
    repeats = max(1, plan.pick(32, 128) // clients)
    ready = threading.Barrier(clients + 1)

    def produce() -> None:
        with server.connect() as connection:
            ready.wait()
            for _ in range(repeats):
                with connection.cursor().copy(f"COPY {way.table} (payload) FROM STDIN".encode()) as copy:
                    copy.write(rows)

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(produce) for _ in range(clients)]
        ready.wait()
        started = time.perf_counter()
        for each in running:
            each.result()
        return clients * repeats * _COPIED / (time.perf_counter() - started)


def _table(kind: str, unit: str, found: dict[int, list[Measure]]) -> Table:
    rows: list[tuple[object, ...]] = []
    for clients, measures in found.items():
        bare = measures[0]
        for each in measures:
            rows.append((each.subject, clients, *spread(each.span), *spread(ratio(each, bare), times)))
    columns = ("table", "clients", "rows/s", "low", "high", f"of {measures[0].subject}", "low", "high")
    return Table(f"enqueue: {kind}, {unit}", columns, tuple(rows))


def _chart(kind: str, unit: str, found: dict[int, list[Measure]]) -> Chart:
    names = [each.subject for each in found[CLIENTS[0]]]
    lines = [Line.of(name, [found[clients][place].span for clients in CLIENTS]) for place, name in enumerate(names)]
    labels = tuple(f"{clients} clients" for clients in CLIENTS)
    return Chart(f"enqueue-{kind.lower()}", f"Enqueueing by {kind}", unit, tuple(lines), labels, logarithmic=False)


BENCHMARK = Benchmark("enqueue", "rows a second into a queue, with our wake trigger, none, and NOTIFY", run)
