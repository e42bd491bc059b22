"""Producers: roles with few rights, replication, sessions without triggers, and many at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pgbgw.faults.check import check
from pgbgw.faults.jobs import columns_of, copy_in, counted, insert_of, never, soon, texts, wake_up_alone
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.roles import refused, role
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.sqltext import quote_literal

__all__: list[str] = []

# Eight producers of 250 jobs each: five long transactions of 25, and 25 short ones of 5.
_THREADS = 8
_LONG = (5, 25)
_SHORT = (25, 5)


@check(
    "enqueue.insert_only",
    "a role that has INSERT on the queue and nothing else enqueues, then tries everything else",
    "Its jobs are done at once; it can't read, change or remove jobs, its own among them, nor call a function.",
    rules=(8, 44),
    needs=("queue",),
)
def insert_only(stage: Stage) -> str:
    """What the documentation tells to grant to a producer."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        queue = line.queue
        payloads = texts(stage, line, 3)
        with role(stage, f"INSERT ON {queue.table}") as producer, counted(stage, line) as jobs:
            with stage.connect(user=producer) as connection:
                connection.execute(insert_of(line, payloads).encode())
                copy_in(connection, line, payloads)
            tables = (queue.table, queue.later, queue.failed)
            denied = refused(
                stage,
                producer,
                [
                    *(f"SELECT * FROM {name}" for name in (*tables, queue.view, queue.sequence)),
                    *(f"DELETE FROM {name}" for name in tables),
                    *(f"TRUNCATE {name}" for name in tables),
                    f"UPDATE {queue.table} SET attempt = 0",
                    f"INSERT INTO {queue.later} (id) VALUES (1)",
                    f"INSERT INTO {queue.failed} (id) VALUES (1)",
                    f"SELECT nextval({quote_literal(queue.sequence)})",
                    f"SELECT {queue.wake.name}()",
                    f"SELECT {stage.module.request_shutdown.name}()",
                    f"SELECT {stage.module.resume.name}()",
                    insert_of(line, payloads) + " RETURNING id",
                ],
            )
        require(len(jobs) == 6, f"ids given: {jobs}")
        soon(stage, line, jobs)
        seen = f"{stage.audit(line, jobs)}; {denied} other statements refused"
    return seen


@check(
    "enqueue.columns_only",
    "a role that has INSERT on the payload's columns alone enqueues, then sets id, attempt or created_at",
    "Its jobs are done at once; it can't choose a job's id, attempt or time.",
    rules=(8, 44),
    needs=("queue",),
)
def columns_only(stage: Stage) -> str:
    """The least that a producer needs."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        table = line.queue.table
        payloads = texts(stage, line, 3)
        with role(stage, f"INSERT ({columns_of(line)}) ON {table}") as producer, counted(stage, line) as jobs:
            with stage.connect(user=producer) as connection:
                connection.execute(insert_of(line, payloads).encode())
            tried = [("id", "1"), ("attempt", "0"), ("created_at", "now()")]
            denied = refused(
                stage, producer, [f"INSERT INTO {table} ({n}) OVERRIDING SYSTEM VALUE VALUES ({v})" for n, v in tried]
            )
        require(len(jobs) == 3, f"ids given: {jobs}")
        soon(stage, line, jobs)
        seen = f"{stage.audit(line, jobs)}; {denied} other columns refused"
    return seen


@check(
    "enqueue.replica",
    "a session with session_replication_role = replica, which fires no ordinary trigger, enqueues",
    "The queue's trigger fires all the same, and the commit wakes the workers.",
    rules=(44,),
    needs=("queue",),
)
def replica(stage: Stage) -> str:
    """What a restore or a replication tool sets."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        with stage.connect() as connection:
            connection.execute("SET session_replication_role = replica")
            jobs = stage.enqueue(line, 5, connection=connection)
        soon(stage, line, jobs)
        seen = stage.audit(line, jobs)
    return seen


@check(
    "enqueue.trigger_off",
    "the queue's trigger is disabled while jobs are enqueued",
    "Nothing wakes the workers, and they find the jobs when they look by themselves.",
    rules=(44,),
    needs=("queue",),
)
def trigger_off(stage: Stage) -> str:
    """DISABLE TRIGGER ALL, as some restore it."""
    seen = ""
    for line in stage.lines:
        table = line.queue.table
        before = stage.rows(
            "SELECT quote_ident(tgname), tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
            [table],
        )
        words = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}
        try:
            stage.rows(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            jobs = stage.enqueue(line, 5)
            soon(stage, line, jobs)
            seen = stage.audit(line, jobs)
        finally:
            for name, enabled in before:
                stage.rows(f"ALTER TABLE {table} {words[enabled]} TRIGGER {name}")
    return seen


@contextlib.contextmanager
def _published(stage: Stage, line: Line) -> Iterator[str]:
    """A database that publishes a table of the queue's name, to which the queue is subscribed; gone after the block."""
    name = f"{SCHEMA}_publisher"
    schema, columns = stage.module.schema_sql, ", ".join(f"{column.name} text" for column in line.queue.columns)
    stage.rows(f"CREATE DATABASE {name}", dbname="postgres")
    try:
        stage.rows(
            f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {line.queue.table} (id bigint PRIMARY KEY, {columns});"
            f" CREATE PUBLICATION {SCHEMA} FOR TABLE {line.queue.table}",
            dbname=name,
        )
        # by hand: the server can't make one for a subscription to itself
        stage.rows(f"SELECT pg_create_logical_replication_slot('{SCHEMA}', 'pgoutput')", dbname=name)
        stage.rows(
            f"CREATE SUBSCRIPTION {SCHEMA} CONNECTION {quote_literal(stage.cluster.conninfo(name))}"
            f" PUBLICATION {SCHEMA} WITH (create_slot = false, slot_name = '{SCHEMA}', copy_data = false)"
        )
        yield name
    finally:
        if stage.rows("SELECT 1 FROM pg_subscription WHERE subname = %s", [SCHEMA]):
            stage.rows(f"ALTER SUBSCRIPTION {SCHEMA} DISABLE")
            stage.rows(f"ALTER SUBSCRIPTION {SCHEMA} SET (slot_name = NONE)")
            stage.rows(f"DROP SUBSCRIPTION {SCHEMA}")
        slots = f"FROM pg_replication_slots WHERE slot_name = '{SCHEMA}'"
        eventually(lambda: not stage.rows(f"SELECT 1 {slots} AND active"), what="an unused replication slot")
        stage.rows(f"SELECT pg_drop_replication_slot(slot_name) {slots}")
        stage.rows(f"DROP DATABASE {name} WITH (FORCE)", dbname="postgres")


@check(
    "enqueue.replication",
    "jobs come from another database by logical replication",
    "They are done once; nothing wakes the workers, so they are found when the workers look by themselves.",
    rules=(44,),
    needs=("queue",),
)
def replication(stage: Stage) -> str:
    """With the ids that they have at the publisher."""
    line = stage.lines[0]
    first = 10**12
    rows = [(str(first + n), *payload) for n, payload in enumerate(texts(stage, line, 50))]
    with _published(stage, line) as publisher:
        with stage.connect(publisher) as connection:
            marks = ", ".join(["%s"] * len(rows[0]))
            statement = f"INSERT INTO {line.queue.table} (id, {columns_of(line)}) VALUES ({marks})"
            connection.cursor().executemany(statement.encode(), rows)
        jobs = [int(str(row[0])) for row in rows]
        soon(stage, line, jobs, within=30)
        return stage.audit(line, jobs)


def _produce(stage: Stage, line: Line, barrier: threading.Barrier) -> tuple[list[int], list[int]]:
    """One producer: long transactions that are open at the same time as those of the others, and short ones.

    Returns the jobs that it has committed, and those that it has rolled back.
    """
    jobs: list[int] = []
    gone: list[int] = []
    with stage.connect() as connection:
        for _ in range(_LONG[0]):
            connection.execute("BEGIN")
            mine = stage.enqueue(line, _LONG[1], connection=connection)
            # a producer that has failed breaks the barrier, and tells why
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(60)
            connection.execute("COMMIT")
            jobs += mine
        for number in range(_SHORT[0]):
            connection.execute("BEGIN")
            mine = stage.enqueue(line, _SHORT[1], connection=connection)
            connection.execute("ROLLBACK" if number % 5 == 4 else "COMMIT")
            (gone if number % 5 == 4 else jobs).extend(mine)
    return jobs, gone


@check(
    "enqueue.producers",
    "eight producers enqueue 2000 jobs at once, in long and short transactions, some of them rolled back",
    "Every committed job is done once, in whatever order the commits came.",
    rules=(20, 44),
    needs=("queue",),
)
def producers(stage: Stage) -> str:
    """Ids are given out in another order than they become visible in."""
    line = stage.lines[0]
    barrier = threading.Barrier(_THREADS)
    with ThreadPoolExecutor(_THREADS) as pool:
        made = [future.result() for future in [pool.submit(_produce, stage, line, barrier) for _ in range(_THREADS)]]
    jobs = [job for good, _ in made for job in good]
    gone = [job for _, bad in made for job in bad]
    eventually(lambda: len(stage.done(line.name)) >= len(jobs), 60, "all jobs done")
    seen = stage.audit(line, jobs)
    never(stage, line, gone, "though rolled back")
    return f"{seen}; {len(gone)} rolled back"
