"""The extension comes and goes beside its workers, and its SQL objects are of another version than the library."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.inhand import release, take
from pgbgw.faults.jobs import soon, wake_up_alone
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.observe import Process, processes
from pgbgw.sqltext import quote_ident, quote_literal

__all__: list[str] = []

_PRODUCERS = 3
_TURNS = 8

# A job as it is known across incarnations of its queue: the table's OID, and the id.
_Job = tuple[int, int]


def _create(stage: Stage) -> None:
    stage.rows(f"CREATE EXTENSION IF NOT EXISTS {quote_ident(stage.module.name)}")


def _drop(stage: Stage) -> None:
    stage.rows(f"DROP EXTENSION {quote_ident(stage.module.name)}")


@contextmanager
def _watched(stage: Stage) -> Iterator[Callable[[], list[Process]]]:
    """The processes that serve the database, also while the extension with its functions is not there."""
    function = f"{SCHEMA}.processes"
    source = "SELECT probin, prosrc FROM pg_proc WHERE oid = %s::regproc"
    library, symbol = stage.rows(source, [stage.module.processes.name])[0]
    stage.rows(
        f"CREATE FUNCTION {function}(OUT worker text, OUT title text, OUT process integer, OUT pid integer,"
        " OUT database text, OUT state text, OUT since timestamptz, OUT failures integer,"
        " OUT claims text, OUT direct_claims bigint, OUT portable_claims bigint) RETURNS SETOF record"
        f" AS {quote_literal(library)}, {quote_literal(symbol)} LANGUAGE C"
    )
    subject = replace(stage.subject, processes=function)
    names = {worker.name for worker in stage.static}

    def look() -> list[Process]:
        with stage.connect() as connection:
            found = processes(connection, subject)
        return [each for each in found if each.worker in names and each.database == stage.database]

    try:
        yield look
    finally:
        stage.rows(f"DROP FUNCTION {function}")


def _all(look: Callable[[], list[Process]], state: str) -> bool:
    return {each.state for each in look()} == {state}


def _poke(stage: Stage) -> None:
    """Have every worker look again."""
    stage.rows("SELECT pg_reload_conf()")


@check(
    "extension.dormant",
    "the extension is dropped, and its workers are woken again and again",
    "They are dormant, say once which command helps, and cost nothing; created again, the extension is served at once.",
    rules=(6, 30, 41),
    needs=("static",),
)
def dormant(stage: Stage) -> str:
    """No worker but those of this database is concerned."""
    with _watched(stage) as look:
        here = {each.pid: each.title for each in look()}
        others = {pid for pid in stage.pids().values() if pid not in here}
        mark = stage.mark()
        _drop(stage)
        try:
            _poke(stage)
            eventually(partial(_all, look, "dormant"), what="dormant workers")
            ticks, seconds = _cost(stage, [pid for pid in here if pid is not None])
            require(ticks < seconds * os.sysconf("SC_CLK_TCK") / 4, f"{ticks} ticks of CPU in {seconds:.1f} s")
            require({each.pid for each in look()} == set(here), f"processes changed: {here} became {look()}")
            _told_once(stage, here, mark)
        finally:
            _create(stage)
        eventually(partial(_all, look, "idle"), what="workers that serve again")
    told = [str(pid) for pid in others if stage.log(rf"\[{pid}\] .*waits for extension", mark)]
    require(not told, f"workers of other databases wait for the extension: {told}")
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    return "; ".join([f"{len(here)} processes dormant, {ticks} ticks in {seconds:.1f} s, one message each", *seen[-1:]])


def _told_once(stage: Stage, here: dict[int | None, str], mark: int) -> None:
    """One message a process, with the command that helps."""
    for pid, title in here.items():
        message = (
            rf"\[{pid}\] .*LOG:  worker \"{re.escape(title)}.*waits for extension \"{re.escape(stage.module.name)}\""
        )
        told = stage.log(message, mark)
        require(len(told) == 1, f'"{title}" ({pid}) has told {len(told)} times that it waits')
        hint = stage.log(rf"\[{pid}\] .*HINT:  Run CREATE EXTENSION {re.escape(stage.module.name)} there\.", mark)
        require(len(hint) == 1, f'"{title}" ({pid}) has said {len(hint)} times which command helps')


def _cost(stage: Stage, pids: list[int]) -> tuple[int, float]:
    """CPU ticks of some processes, and the time in seconds, while the server makes and drops databases and reloads."""
    name = f"{SCHEMA}_pastime"
    clock = "SELECT extract(epoch FROM clock_timestamp())::float8"
    began, before = stage.value(clock), sum(_ticks(pid) for pid in pids)
    for _ in range(2):
        stage.rows(f"CREATE DATABASE {name}")
        # takes part in the barrier, and is woken once more
        stage.rows(f"DROP DATABASE {name}")
        _poke(stage)
    eventually(lambda: stage.value(clock) - began > 0.5, what="half a second")
    return sum(_ticks(pid) for pid in pids) - before, stage.value(clock) - began


def _ticks(pid: int) -> int:
    """User and system time of a process; 0 where the system does not tell."""
    path = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return 0
    fields = path.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@check(
    "extension.dormant_terminated",
    "dormant workers are terminated",
    "The processes that follow are dormant as well, and serve the extension once it is created.",
    rules=(6, 12),
    needs=("restarted",),
)
def dormant_terminated(stage: Stage) -> str:
    """A process that finds no extension at its start."""
    restarted = {worker.name for worker in stage.static if worker.restart is not None}
    with _watched(stage) as look:
        _drop(stage)
        try:
            _poke(stage)
            eventually(partial(_all, look, "dormant"), what="dormant workers")
            before = {each.pid for each in look() if each.worker in restarted}
            stage.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(before)])

            def followed() -> bool:
                found = [each for each in look() if each.worker in restarted and each.state == "dormant"]
                return len(found) == len(before) and not before & {each.pid for each in found}

            eventually(followed, what="other processes that are dormant")
        finally:
            _create(stage)
        eventually(partial(_all, look, "idle"), what="workers that serve")
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    return "; ".join([f"{len(before)} processes followed and were dormant", *seen[-1:]])


@check(
    "extension.created_with_jobs",
    "the extension is created, and jobs are enqueued, in one transaction",
    "Its commit wakes the dormant workers, and the jobs are done.",
    rules=(40, 44),
    needs=("queue",),
)
def created_with_jobs(stage: Stage) -> str:
    """Workers look by themselves once an hour only."""
    wake_up_alone(stage)
    takers = {taker.name for line in stage.lines for taker in line.takers}
    with _watched(stage) as look:
        _drop(stage)
        try:
            _poke(stage)
            # the rounds of others are an hour apart, and they do not look before
            eventually(lambda: {each.state for each in look() if each.worker in takers} == {"dormant"}, what="dormant")
            with stage.connect() as connection, connection.transaction():
                connection.execute(f"CREATE EXTENSION {quote_ident(stage.module.name)}".encode())
                # the ledger has jobs of the queue that was dropped, whose ids come again
                connection.execute(f"DELETE FROM {SCHEMA}.ledger".encode())
                jobs = [stage.enqueue(line, 5, connection=connection) for line in stage.lines]
        finally:
            _create(stage)
        took = [soon(stage, line, ids) for line, ids in zip(stage.lines, jobs, strict=True)]
    seen = [stage.audit(line, ids) for line, ids in zip(stage.lines, jobs, strict=True)]
    return f"{seen[-1]} after {max(took):.0f} ms"


@check(
    "extension.drop_working",
    "DROP EXTENSION while a handler is in the middle of its job",
    "It waits until the batch is committed, and others can enqueue meanwhile. The worker meets no error, and is dormant"
    " afterwards.",
    rules=(41,),
    needs=("queue",),
)
def drop_working(stage: Stage) -> str:
    """The batch holds the lock on the extension that DROP takes first."""
    with _watched(stage) as look, ThreadPoolExecutor(1) as pool:
        taken, mark = take(stage, until_released=True), stage.mark()
        pids = {each.pid for each in look()}
        dropping = pool.submit(_drop, stage)
        try:
            eventually(lambda: _waits(stage) or dropping.done(), what="DROP EXTENSION that waits")
            require(not dropping.done(), "DROP EXTENSION did not wait for the job")
            _enqueue_beside(stage)
            release(stage)
            dropping.result(20)
            _poke(stage)
            eventually(partial(_all, look, "dormant"), what="dormant workers")
        finally:
            release(stage)
            dropping.exception(20)
            _create(stage)
        eventually(partial(_all, look, "idle"), what="workers that serve again")
        require({each.pid for each in look()} == pids, f"processes changed: {pids} became {look()}")
    for hand in taken:
        done = stage.done(hand.line.name)
        require(done[hand.job] == 1, f"the job in hand was done {done[hand.job]} times")
    errors = [line for pid in pids for line in stage.log(rf"\[{pid}\] .*(ERROR|FATAL|WARNING):", mark)]
    require(not errors, f"a worker met an error: {errors[:1]}")
    stage.rows(f"DELETE FROM {SCHEMA}.ledger")
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    return f"waited, {len(taken)} jobs in hand done once, no error, same pids; created again, {seen[-1]}"


def _enqueue_beside(stage: Stage) -> None:
    """DROP EXTENSION waits before it has locked anything else, so that sessions can enqueue as long as it waits."""
    with stage.connect(options="-c lock_timeout=2s") as connection:
        for line in stage.lines:
            stage.enqueue(line, 1, connection=connection)


@check(
    "extension.drop_undone",
    "DROP EXTENSION in a transaction that is rolled back, while jobs wait",
    "Workers wait for the end of that transaction, and go on as if nothing had been.",
    rules=(41,),
    needs=("queue",),
)
def drop_undone(stage: Stage) -> str:
    """A worker that looks in between must not take the extension for dropped."""
    taken, mark = take(stage, until_released=True), stage.mark()
    jobs = [list(hand.jobs) + stage.enqueue(hand.line, 5) for hand in taken]
    titles = [taker.title for line in stage.lines for taker in line.takers]
    waits = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = ANY(%s) AND wait_event_type = 'Lock'"
    with stage.connect() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute("BEGIN")
        statement = f"DROP EXTENSION {quote_ident(stage.module.name)}".encode()
        dropping = pool.submit(connection.execute, statement)
        try:
            release(stage)
            dropping.result(20)
            eventually(lambda: stage.value(waits, [titles]) > 0, what="a worker that waits for the transaction")
        finally:
            release(stage)
            dropping.exception(20)
            connection.execute("ROLLBACK")
    seen = [stage.audit(hand.line, ids) for hand, ids in zip(taken, jobs, strict=True)]
    told = stage.log("waits for extension", mark)
    require(not told, f"a worker took the extension for dropped: {told[:1]}")
    return f"workers waited for the end of the transaction; {seen[-1]}"


@check(
    "extension.drop_enqueueing",
    "DROP EXTENSION while a session is about to enqueue: it has locked the table, and takes a number from the sequence",
    "DROP waits for the end of its transaction, and neither is the victim of a deadlock.",
    rules=(41,),
    needs=("queue",),
)
def drop_enqueueing(stage: Stage) -> str:
    """Whatever the order in which DROP comes by the members of the extension."""
    try:
        with ThreadPoolExecutor(1) as pool:
            for line in stage.lines:
                _drop_beside(stage, line, pool)
                _sequence_first(stage, line)
                _drop_beside(stage, line, pool)
    finally:
        # with rows in the order of a fresh installation
        _drop(stage)
        _create(stage)
    stage.rows(f"DELETE FROM {SCHEMA}.ledger")
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    return f"DROP EXTENSION waited {2 * len(stage.lines)} times, no deadlock; created again, {seen[-1]}"


def _sequence_first(stage: Stage, line: Line) -> None:
    """Have a queue's sequence stand before its table in pg_depend.

    DROP locks members in the order of their rows there. Each row is where CREATE EXTENSION found room, so that a VACUUM
    beside it may lead to any order (seen with autovacuum).
    """
    row = "classid = 'pg_class'::regclass AND refclassid = 'pg_extension'::regclass AND objid = %s::regclass"
    moved = f"WITH gone AS (DELETE FROM pg_depend WHERE {row} RETURNING *) INSERT INTO pg_depend SELECT * FROM gone"
    place = f"(SELECT ctid FROM pg_depend WHERE {row})"
    names = [line.queue.table, line.queue.sequence]

    def first() -> bool:
        if stage.value(f"SELECT {place} > {place}", names):
            return True
        stage.rows(moved, [line.queue.table])
        return False

    eventually(first, what="the row of the sequence before that of the table")


def _drop_beside(stage: Stage, line: Line, pool: ThreadPoolExecutor) -> None:
    """DROP EXTENSION between the two locks of an INSERT; created again afterwards."""
    with stage.connect() as connection:
        try:
            with connection.transaction():
                connection.execute(f"LOCK TABLE {line.queue.table} IN ROW EXCLUSIVE MODE".encode())
                dropping = pool.submit(_drop, stage)
                eventually(lambda: _waits(stage) or dropping.done(), what="DROP EXTENSION that waits")
                stage.enqueue(line, 1, connection=connection)
            dropping.result(20)
        finally:
            dropping.exception(20)
            _create(stage)


def _waits(stage: Stage) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP EXTENSION%' AND wait_event_type = 'Lock'"
    return bool(stage.value(query))


@check(
    "extension.drop_create_under_load",
    f"DROP and CREATE EXTENSION {_TURNS} times beside {_PRODUCERS} sessions that enqueue all the time",
    "Nobody is the victim of a deadlock; the jobs of a dropped queue go with it, those of the last one are done once.",
    rules=(41,),
    needs=("queue",),
)
def drop_create_under_load(stage: Stage) -> str:
    """Ids come again in each incarnation, so the ledger is read from the last DROP on."""
    line = stage.lines[0]
    stop, enqueued, mark = threading.Event(), list[_Job](), stage.mark()
    with _watched(stage) as look, ThreadPoolExecutor(_PRODUCERS) as pool:
        producers = [pool.submit(_produce, stage, line, stop, enqueued) for _ in range(_PRODUCERS)]
        try:
            for _ in range(_TURNS):
                _drop(stage)
                _create(stage)
            _drop(stage)
            _poke(stage)
            eventually(partial(_all, look, "dormant"), what="dormant workers")
            entry = stage.value(f"SELECT coalesce(max(entry), 0) FROM {SCHEMA}.ledger")
            _create(stage)
            table = stage.value("SELECT %s::regclass::oid", [line.queue.table])
            eventually(lambda: len([job for job in enqueued if job[0] == table]) > 50, what="jobs of the last queue")
        finally:
            stop.set()
            for producer in producers:
                producer.exception(20)
            _create(stage)
    for producer in producers:
        producer.result()
    stage.drained(line)
    deadlocks = stage.log("deadlock detected", mark)
    require(not deadlocks, f"deadlocks: {len(deadlocks)}")
    rows = stage.rows(
        f"SELECT job, count(*) FROM {SCHEMA}.ledger WHERE worker = %s AND entry > %s GROUP BY job", [line.name, entry]
    )
    last = [job[1] for job in enqueued if job[0] == table]
    wanted = Counter(last)
    require(Counter(dict(rows)) == wanted, f"enqueued {len(wanted)}, done {len(rows)}: {Counter(dict(rows)) - wanted}")
    return f"{_TURNS + 1} turns, {len(enqueued)} jobs, no deadlock; {len(last)} jobs of the last queue done once"


def _produce(stage: Stage, line: Line, stop: threading.Event, enqueued: list[_Job]) -> None:
    """Enqueue one job after the other, whether the queue is there or not."""
    columns = ", ".join(column.name for column in line.queue.columns)
    insert = (
        f"INSERT INTO {line.queue.table} ({columns}) SELECT {', '.join(line.payload)} FROM generate_series(1, 1) AS g"
        " RETURNING tableoid, id"
    )
    refused = (
        # what the log tells of is found there
        psycopg.errors.DeadlockDetected,
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
        # dropped between two looks: "could not open relation", "cache lookup failed"
        psycopg.errors.InternalError_,
    )
    with stage.connect() as connection:
        while not stop.is_set():
            try:
                enqueued += connection.execute(insert.encode()).fetchall()
            except refused:
                continue


@check(
    "extension.other_version",
    "the library is of another version than the extension in the database",
    "Workers are dormant and name both versions, jobs are untouched; once the versions agree they are done.",
    rules=(6, 30),
    needs=("static",),
)
def other_version(stage: Stage) -> str:
    """As after an update of the files, before ALTER EXTENSION ... UPDATE."""
    mark = stage.mark()
    with _watched(stage) as look:
        here = {each.pid: each.title for each in look()}
        _set_version(stage, "0.0.1")
        try:
            _poke(stage)
            eventually(partial(_all, look, "dormant"), what="dormant workers")
            jobs = [stage.enqueue(line, 5) for line in stage.lines]
            _poke(stage)
            for pid, title in here.items():
                told = rf'\[{pid}\] .*LOG:  worker "{re.escape(title)}.*0\.0\.1.*{re.escape(stage.module.version)}'
                require(len(stage.told(told, mark)) == 1, f'"{title}" has told more than once of the versions')
            require(_all(look, "dormant"), f"not dormant any more: {look()}")
            for line, ids in zip(stage.lines, jobs, strict=True):
                rows = stage.rows(f"SELECT id, status, attempts FROM {line.queue.view} ORDER BY id")
                require(rows == [(job, "ready", 0) for job in ids], f"jobs {ids} have become {rows}")
        finally:
            _set_version(stage, stage.module.version)
            _poke(stage)
        seen = [stage.audit(line, ids) for line, ids in zip(stage.lines, jobs, strict=True)]
        eventually(partial(_all, look, "idle"), what="workers that serve again")
        require({each.pid for each in look()} == set(here), f"processes changed: {here} became {look()}")
    return "; ".join([f"{len(here)} processes dormant, both versions in the log, jobs untouched", *seen[-1:]])


def _set_version(stage: Stage, version: str) -> None:
    stage.rows("UPDATE pg_extension SET extversion = %s WHERE extname = %s", [version, stage.module.name])
