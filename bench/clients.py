"""What the benchmarks of the client share: connections of each driver, queues with jobs, tables of CPU time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import pq
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict

from bench.apart import Apart, Taken, wanted
from bench.ground import Ground
from bench.measures import Measure, alternate, ratio
from bench.outcome import Outcome, Ratio, Table, spread, times
from bench.plan import Plan
from pgbgw._core import transport

__all__ = [
    "PAYLOADS",
    "QUEUE",
    "READY",
    "Goal",
    "Raw",
    "adbc_connection",
    "asyncpg_connection",
    "compared",
    "connected",
    "described",
    "fill",
    "judged",
    "measured",
    "note_samples",
    "places",
]

QUEUE = "bench_client"
"""The schema of the queues ``plain`` (bytea) and ``parsed`` (jsonb)."""

READY = b"Z\0\0\0\5I"
"""ReadyForQuery, outside of a transaction ("Message Formats" in the chapter on the protocol)."""

PAYLOADS: Mapping[str, str] = {
    "plain": "convert_to(repeat('x', 100), 'UTF8')",
    "parsed": "jsonb_build_object('user', g, 'mail', 'user' || g || '@example.com', 'act', repeat('x', 40))",
}
"""The payload of job number g of each queue: about 100 bytes."""


class Raw(Loader):
    """jsonb as it was sent, without its version: what a caller does who has a parser of his own."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> bytes:
        """The text of the JSON."""
        return bytes(data)[1:]


def connected(conninfo: str, *, raw: bool = True) -> psycopg.Connection[Any]:
    """A connection of psycopg in autocommit, in UTC; with ``raw`` it leaves jsonb as it is."""
    connection = psycopg.connect(conninfo, autocommit=True, options="-c timezone=UTC")
    if raw:
        connection.adapters.register_loader("jsonb", Raw)
    return connection


def asyncpg_connection(conninfo: str) -> tuple[Any, Callable[[Coroutine[Any, Any, Any]], Any]]:
    """A connection of asyncpg, and what runs a coroutine of it to its end.

    Raises:
        Unavailable: asyncpg is not installed.
    """
    asyncpg = wanted("asyncpg")
    words = conninfo_to_dict(conninfo)
    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(
        asyncpg.connect(
            host=words["host"], port=int(words["port"] or 5432), user=words["user"], database=words["dbname"],
            server_settings={"timezone": "UTC"},
        )
    )  # fmt: skip
    return made, loop.run_until_complete


def adbc_connection(conninfo: str) -> Any:
    """A connection of ADBC's driver for PostgreSQL, in autocommit.

    Raises:
        Unavailable: it is not installed.
    """
    wanted("pyarrow")
    words = conninfo_to_dict(conninfo)
    place = f"host={quote(str(words['host']), safe='')}&port={words['port']}"
    uri = f"postgresql://{words['user']}@/{words['dbname']}?{place}"
    return wanted("adbc_driver_postgresql.dbapi").connect(uri, autocommit=True)


def places(server: Ground) -> dict[str, Any]:
    """What a subject must know of the server."""
    return {"conninfo": server.cluster.conninfo("postgres")}


def described(server: Ground) -> dict[str, Any]:
    """The server, and by what our client and psycopg reach it."""
    about = server.described()
    client = {"psycopg": f"{psycopg.__version__} ({pq.__impl__})", "libpq": pq.version(), "transport": transport()}
    return {**about, "settings": {**about["settings"], **client}}


def fill(server: Ground, queue: str, jobs: int) -> None:
    """Empty a queue and put so many jobs into it."""
    table = f"{QUEUE}.{queue}"
    server.rows(f"TRUNCATE {table}, {table}_later, {table}_failed, {table}_running")
    if jobs:
        server.rows(f"INSERT INTO {table} (payload) SELECT {PAYLOADS[queue]} FROM generate_series(1, {jobs}) AS g")
    server.settle(table)


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is wanted, of two subjects: of their rates where ``rate``, else of the CPU time that each takes.

    The subject ``above`` is the one whose figure is divided: the faster one of rates, the slower one of CPU times.
    """

    above: str
    below: str
    bound: float
    rate: bool = False

    def __str__(self) -> str:
        return f"{'rate' if self.rate else 'CPU'} of {self.above} / {self.below}"


def measured(plan: Plan, ready: Sequence[Apart], take: Callable[[Apart], Taken]) -> dict[str, list[Taken]]:
    """Measure each subject once a round, in turn; the first time of each warms it and does not count."""
    for subject in ready:
        take(subject)
    return {subject.name: taken for subject, taken in alternate(ready, plan.rounds, take)}


def compared(
    title: str,
    what: str,
    found: Mapping[str, Sequence[Taken]],
    subject: str,
    missing: Mapping[str, str],
    *,
    microseconds: bool = False,
    timed: bool = True,
) -> Table:
    """A table of CPU time and, where ``timed``, of rates; ratios say how many times the CPU time of ``subject``
    each takes.
    """
    unit, scale = ("us", 1000) if microseconds else ("ns", 1)
    ours = _cpu(subject, found[subject])
    rows: list[tuple[object, ...]] = []
    for name, taken in found.items():
        each = _cpu(name, taken)
        scaled = Measure(name, tuple(sample / scale for sample in each.samples))
        rate = spread(_rate(name, taken).span)
        rows.append((name, *(rate if timed else ()), *spread(scaled.span), *spread(ratio(each, ours), times)))
    rates = (f"{what}s/s", "low", "high") if timed else ()
    columns = ("subject", *rates, f"CPU {unit}/{what}", "low", "high", "times ours", "low", "high")
    return Table(title, columns, tuple(rows), tuple(missing.items()))


def judged(case: str, found: Mapping[str, Sequence[Taken]], goals: Sequence[Goal]) -> list[Ratio]:
    """Ratios against the goals whose subjects were measured."""
    kinds = {True: _rate, False: _cpu}
    return [
        Ratio(
            f"{case}: {goal}",
            ratio(kinds[goal.rate](goal.above, found[goal.above]), kinds[goal.rate](goal.below, found[goal.below])),
            goal.bound,
        )
        for goal in goals
        if goal.above in found and goal.below in found
    ]


def note_samples(outcome: Outcome, case: str, found: Mapping[str, Sequence[Taken]]) -> None:
    """Keep the figures themselves."""
    outcome.samples[case] = {
        name: [{"count": each.count, "seconds": each.seconds, "cpu": each.cpu} for each in taken]
        for name, taken in found.items()
    }


def _cpu(name: str, taken: Sequence[Taken]) -> Measure:
    return Measure(name, tuple(each.each for each in taken))


def _rate(name: str, taken: Sequence[Taken]) -> Measure:
    return Measure(name, tuple(each.rate for each in taken))
