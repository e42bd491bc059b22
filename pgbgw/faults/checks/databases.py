"""Statements that want a database for themselves: another database, and the workers' own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.checks.crashes import launch
from pgbgw.faults.inhand import HELD, again, finish, release, take
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import Red, eventually
from pgbgw.faults.workers import all_work, aside, called, here, static_processes
from pgbgw.ir.model import WorkerIR
from pgbgw.sqltext import quote_ident, quote_literal

__all__: list[str] = []

_SPARE = "pgbgw_test_spare"
_SPACE = "pgbgw_test_space"
_NOBODY = "pgbgw_test_nobody"

# A statement that waits for a worker takes five seconds, and fails; one on another database waits for a barrier only.
# Copying files takes a while by itself.
_MOMENT_S = 2.0
_COPY_S = 4.0
_BARRIER_S = 1.0

# Long enough for a worker to be started again and to connect.
_DELAY_S = 2.5


def _timed(stage: Stage, statement: str, most: float = _MOMENT_S, database: str | None = None) -> float:
    """How long a statement takes, in seconds, run in a session that is not in the way."""
    with stage.connect(database or aside(stage.database)) as connection:
        began = time.monotonic()
        connection.execute(statement.encode())
        took = time.monotonic() - began
    require(took < most, f"{statement} took {took:.2f} s")
    return took


def _own(stage: Stage) -> str:
    return quote_ident(stage.database)


@contextlib.contextmanager
def _own_database(stage: Stage) -> Iterator[None]:
    """End workers in it that would not come back, as an administrator has to, and leave it as it was, under its name.

    Another of that name that is left over is removed, and what is left under the spare name gets it back.
    """
    pids = _never_pids(stage)
    stage.end_unreturning()
    try:
        yield
    finally:
        outside = aside(stage.database)
        there = {row[0] for row in stage.rows("SELECT datname FROM pg_database", dbname=outside)}
        if stage.database not in there:
            stage.rows(f"ALTER DATABASE {_SPARE} RENAME TO {_own(stage)}", dbname=outside)
        elif _SPARE in there:
            stage.rows(f"DROP DATABASE {_SPARE} WITH (FORCE)", dbname=outside)
        if pids:
            stage.cluster.restart()


def _never_pids(stage: Stage) -> list[int]:
    never = tuple(worker for worker in here(stage) if worker.restart is None)
    return [each.pid for each in static_processes(stage, never) if each.pid is not None]


@contextlib.contextmanager
def _another(stage: Stage) -> Iterator[None]:
    """Another database; checkpointed, so that dropping it has little to write."""
    stage.rows(f"CREATE DATABASE {_SPARE} TEMPLATE template0")
    stage.rows("CHECKPOINT")
    try:
        yield
    finally:
        stage.rows(f"DROP DATABASE IF EXISTS {_SPARE} WITH (FORCE)")


def _told_that_they_wait(stage: Stage, names: list[str], mark: int) -> None:
    """Each process says once what it waits for, and fails to connect once: it does not try again and again."""
    missing = rf'database "{re.escape(stage.database)}" does not exist'
    for name in names:
        stage.told(rf'LOG:  worker "{re.escape(name)}" waits: {missing}', mark)
    told = stage.log(f"waits: {missing}", mark)
    require(len(told) == len(names), f"{len(names)} processes have told {len(told)} times that they wait")
    failed = stage.log(f"FATAL:  {missing}", mark)
    require(len(failed) <= len(names), f"{len(names)} processes have failed {len(failed)} times to connect")


def _returning(stage: Stage) -> tuple[WorkerIR, ...]:
    """The workers of the own database that come back."""
    return tuple(worker for worker in here(stage) if worker.restart is not None)


def _names(stage: Stage) -> list[str]:
    """What the log calls their processes."""
    return [called(stage, each) for each in static_processes(stage, _returning(stage))]


def _make_way(stage: Stage, statement: str) -> float:
    """Run a statement that wants the own database alone, and wait until its workers have other processes."""
    before = {each.pid for each in static_processes(stage, here(stage))} - {None}
    took = _timed(stage, statement, _COPY_S)
    eventually(lambda: not before & {each.pid for each in static_processes(stage)}, what="the end of the workers")
    return took


@check(
    "database.drop_other_idle",
    "DROP DATABASE of another database, while all workers wait",
    "It does not wait for the workers: they answer its process signal barrier at once.",
    rules=(11,),
    needs=("static",),
)
def drop_other_idle(stage: Stage) -> str:
    """An idle loop that does not look for interrupts would hang it for ever."""
    with _another(stage):
        stage.every(3_600_000)
        stage.idle()
        before = stage.pids()
        took = _timed(stage, f"DROP DATABASE {_SPARE}", _BARRIER_S, stage.database)
        stage.every(1_000)
    seen = all_work(stage)
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"dropped in {took:.2f} s; same pids; {seen}"


@check(
    "database.drop_other_working",
    "DROP DATABASE of another database, while a handler is in the middle of a long query",
    "It does not wait for the job either, and the job goes on undisturbed.",
    rules=(11,),
    needs=("queue",),
)
def drop_other_working(stage: Stage) -> str:
    """The barrier is answered in the middle of the handler."""
    with _another(stage):
        before = stage.pids()
        taken = take(stage, until_released=True)
        took = _timed(stage, f"DROP DATABASE {_SPARE}", _BARRIER_S, stage.database)
        still = [stage.working(hand.line) for hand in taken]
        seen = finish(stage, taken)
    require(still == [hand.pid for hand in taken], "a job was ended")
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"dropped in {took:.2f} s; the same processes end their jobs: {seen}"


@check(
    "database.rename",
    "ALTER DATABASE ... RENAME TO of the workers' own database; later it is renamed back",
    "The workers leave it at once, say what they wait for, wait without failing again, and are back with its name.",
    rules=(6, 39),
    needs=("restarted",),
)
def rename(stage: Stage) -> str:
    """Jobs that were enqueued under the other name are done after it."""
    with _own_database(stage):
        names, mark = _names(stage), stage.mark()
        took = _timed(stage, f"ALTER DATABASE {_own(stage)} RENAME TO {_SPARE}")
        _told_that_they_wait(stage, names, mark)
        with stage.connect(_SPARE) as connection:
            jobs = [stage.enqueue(line, 5, connection=connection) for line in stage.lines]
        back = _timed(stage, f"ALTER DATABASE {_SPARE} RENAME TO {_own(stage)}")
    told = f"renamed in {took:.2f} s and back in {back:.2f} s; {len(names)} processes wait, and say so once"
    return _served(stage, told, jobs)


@check(
    "database.rename_working",
    "ALTER DATABASE ... RENAME TO of the workers' own database, while handlers are in the middle of long queries",
    "The statement does not wait: batches are undone, no attempt is spent, and the jobs are done once afterwards.",
    rules=(10, 39),
    needs=("queue", "restarted"),
)
def rename_working(stage: Stage) -> str:
    """Whoever wants the database alone ends what is running in it, as with any other session."""
    taken = take(stage)
    with _own_database(stage):
        took = _timed(stage, f"ALTER DATABASE {_own(stage)} RENAME TO {_SPARE}")
        _timed(stage, f"ALTER DATABASE {_SPARE} RENAME TO {_own(stage)}")
    again(stage, taken)
    return f"renamed in {took:.2f} s; undone and taken again; {finish(stage, taken)}"


@check(
    "database.drop",
    "DROP DATABASE of the workers' own database; a copy, with jobs in it, then gets its name",
    "The workers leave it at once, say what they wait for, wait without failing again, and serve the new one.",
    rules=(6, 39, 40),
    needs=("restarted",),
)
def drop(stage: Stage) -> str:
    """It is another database, with another OID; the jobs in it are done."""
    with _own_database(stage):
        copied = _timed(stage, f"CREATE DATABASE {_SPARE} TEMPLATE {_own(stage)}", _COPY_S)
        eventually(lambda: all(each.pid for each in static_processes(stage, _returning(stage))), what="them back")
        seen = _replaced(stage, f"DROP DATABASE {_own(stage)}")
    return f"copied in {copied:.2f} s, {_served(stage, *seen)}"


@check(
    "database.drop_force",
    "DROP DATABASE ... WITH (FORCE) of the workers' own database, while handlers are in the middle of long queries",
    "Their batches end with it, and so do other sessions; the workers wait as after any other DROP DATABASE.",
    rules=(6, 10, 39),
    needs=("queue", "restarted"),
)
def drop_force(stage: Stage) -> str:
    """A session that would make the statement fail without FORCE is in the database as well."""
    with _own_database(stage):
        _timed(stage, f"CREATE DATABASE {_SPARE} TEMPLATE {_own(stage)}", _COPY_S)
        eventually(lambda: all(each.pid for each in static_processes(stage, _returning(stage))), what="them back")
        lines = [line for line in stage.lines if any(taker.restart is not None for taker in line.takers)]
        take(stage, lines)
        with contextlib.closing(stage.connect()):
            seen = _replaced(stage, f"DROP DATABASE {_own(stage)} WITH (FORCE)")
    return _served(stage, *seen)


def _replaced(stage: Stage, statement: str) -> tuple[str, list[list[int]]]:
    """Drop the own database, see that workers wait, and have the copy take its name with jobs in it."""
    names, mark = _names(stage), stage.mark()
    took = _timed(stage, statement)
    _told_that_they_wait(stage, names, mark)
    with stage.connect(_SPARE) as connection:
        jobs = [stage.enqueue(line, 5, connection=connection) for line in stage.lines]
    _timed(stage, f"ALTER DATABASE {_SPARE} RENAME TO {_own(stage)}")
    return f"dropped in {took:.2f} s; {len(names)} processes wait, and say so once", jobs


def _served(stage: Stage, told: str, jobs: list[list[int]]) -> str:
    """The jobs of the copy are done, and whatever else there is to do."""
    stage.idle()
    seen = [stage.audit(line, ids) for line, ids in zip(stage.lines, jobs, strict=True)]
    return "; ".join(dict.fromkeys([told, *seen, all_work(stage)]))


@check(
    "database.template",
    "CREATE DATABASE ... TEMPLATE of the workers' own database",
    "The workers leave it while it is copied, and are back; nobody does the jobs of the copy.",
    rules=(39,),
    needs=("restarted",),
)
def template(stage: Stage) -> str:
    """The jobs of the original are done, and those of the copy lie as they were copied."""
    stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
    jobs = [stage.enqueue(line, 5) for line in stage.lines]
    with _own_database(stage):
        took = _make_way(stage, f"CREATE DATABASE {_SPARE} TEMPLATE {_own(stage)}")
        stage.rows(f"SELECT {stage.module.resume.name}()")
        seen = [stage.audit(line, ids) for line, ids in zip(stage.lines, jobs, strict=True)]
        for line, ids in zip(stage.lines, jobs, strict=True):
            left = stage.value(f"SELECT count(*) FROM {line.queue.table}", dbname=_SPARE)
            require(left == len(ids), f"the copy has {left} of {len(ids)} jobs")
    stage.idle()
    return "; ".join(dict.fromkeys([f"copied in {took:.2f} s", *seen, all_work(stage)]))


@check(
    "database.tablespace",
    "ALTER DATABASE ... SET TABLESPACE of the workers' own database, and back",
    "The workers leave it while it is moved, and are back.",
    rules=(39,),
    needs=("restarted",),
)
def tablespace(stage: Stage) -> str:
    """A tablespace in a folder of the server's user."""
    before = stage.value(
        "SELECT spcname FROM pg_tablespace AS t JOIN pg_database AS d ON d.dattablespace = t.oid"
        " WHERE d.datname = current_database()"
    )
    folder = stage.cluster.directory / _SPACE
    folder.mkdir(exist_ok=True)
    stage.cluster.user.own(folder)
    stage.rows(f"CREATE TABLESPACE {_SPACE} LOCATION {quote_literal(str(folder))}")
    try:
        with _own_database(stage):
            took = _make_way(stage, f"ALTER DATABASE {_own(stage)} SET TABLESPACE {_SPACE}")
            with stage.connect() as connection:
                jobs = [stage.enqueue(line, 5, connection=connection) for line in stage.lines]
            back = _timed(stage, f"ALTER DATABASE {_own(stage)} SET TABLESPACE {quote_ident(before)}", _COPY_S)
        stage.idle()
    finally:
        stage.rows(f"DROP TABLESPACE IF EXISTS {_SPACE}", dbname=aside(stage.database))
        with contextlib.suppress(OSError):
            folder.rmdir()
    return _served(stage, f"moved in {took:.2f} s, and back in {back:.2f} s", jobs)


@check(
    "database.in_use",
    "another session is in the workers' own database when somebody wants it alone",
    "The statement fails because of that session, as PostgreSQL has it; the workers that have left come back.",
    rules=(39,),
    needs=("restarted",),
)
def in_use(stage: Stage) -> str:
    """PostgreSQL waits five seconds for the session; workers stay away for as long, and no longer."""
    with _own_database(stage), stage.connect() as connection:
        before, mark = {each.pid for each in static_processes(stage, here(stage))} - {None}, stage.mark()
        error = _refused(stage, f"DROP DATABASE {_own(stage)}", aside(stage.database))
        require(error.sqlstate == "55006", f"refused otherwise: {error}")
        ended = _ended(stage, mark)
        require(ended == len(before), f"{len(before)} processes were there, {ended} have ended meanwhile")
        jobs = [stage.enqueue(line, 5, connection=connection) for line in stage.lines]
    stage.idle()
    after = {each.pid for each in static_processes(stage, here(stage))}
    require(not before & after, "a worker was not asked to leave")
    return _served(stage, f"refused; {len(before)} processes left, {len(after)} are back", jobs)


@check(
    "database.delayed",
    f"one of the workers takes {_DELAY_S} s to leave a database that a statement wants alone",
    "The statement waits for it, and those that have left it do not come back before the statement has ended.",
    rules=(39,),
    needs=("restarted",),
)
def delayed(stage: Stage) -> str:
    """The others are started meanwhile, and wait before they connect. Who is stopped does not hear of SIGTERM."""
    with _own_database(stage), contextlib.closing(stage.connect(aside(stage.database))) as session:
        before = sorted(each.pid for each in static_processes(stage, _returning(stage)) if each.pid is not None)
        mark, began = stage.mark(), time.monotonic()
        os.kill(before[-1], signal.SIGSTOP)
        try:
            session.pgconn.send_query(f"ALTER DATABASE {_own(stage)} RENAME TO {_SPARE}".encode())
            eventually(lambda: _ended(stage, mark) >= len(before) - 1, what="the end of the others")
            stage.rows(f"SELECT pg_sleep({_DELAY_S})", dbname=aside(stage.database))
            ended = _ended(stage, mark)
        finally:
            os.kill(before[-1], signal.SIGCONT)
        result = session.pgconn.get_result()
        took = time.monotonic() - began
        renamed = stage.rows("SELECT 1 FROM pg_database WHERE datname = %s", [_SPARE], dbname=aside(stage.database))
        require(bool(renamed), f"the statement failed: {result.error_message if result else b''!r}")
        require(ended == len(before) - 1, f"{len(before) - 1} others were there, {ended} have ended meanwhile")
        _timed(stage, f"ALTER DATABASE {_SPARE} RENAME TO {_own(stage)}")
    stage.idle()
    return f"renamed after {took:.2f} s; {len(before)} processes left it, once each; {all_work(stage)}"


def _ended(stage: Stage, mark: int) -> int:
    """How many processes of the own database have ended."""
    titles = "|".join(re.escape(worker.title) for worker in here(stage))
    return len(stage.log(rf'background worker "({titles})( \d+)?" \(PID \d+\) exited', mark))


@check(
    "database.never",
    "somebody wants the database of a worker with restart=NEVER alone",
    "The statement fails, and its hint tells how to end that worker; no worker is stopped for it.",
    rules=(39,),
    needs=("never",),
)
def never(stage: Stage) -> str:
    """It would not come back, so nothing but an administrator ends it."""
    worker = next(worker for worker in stage.static if worker.restart is None)
    took = _names_the_process(stage, stage.home(worker), list(stage.pids(worker).values()))
    return f"refused after {took:.2f} s; same pids; {all_work(stage)}"


@check(
    "database.launched",
    "somebody wants a database alone in which a launched worker is at work",
    "The statement fails, and its hint names the process; no worker is stopped for it, and the launched one goes on.",
    rules=(39,),
    needs=("dynamic",),
)
def launched(stage: Stage) -> str:
    """Its work would be lost, since nothing starts it again."""
    worker = stage.dynamic[0]
    stage.script(worker, HELD)
    with _own_database(stage):
        launch(stage, worker)
        pid = eventually(lambda: stage.pid(worker.title), what=f'a process of "{worker.title}"') or 0
        took = _names_the_process(stage, stage.database, [pid])
        release(stage)
        eventually(lambda: stage.done(worker.name)[0] == 1, what="the end of the launched worker")
    return f"refused after {took:.2f} s; same pids; the launched worker has done its work"


def _names_the_process(stage: Stage, database: str, pids: list[int]) -> float:
    """Try to rename a database, which one of some processes hinders; how long that took, in seconds."""
    before, began = stage.pids(), time.monotonic()
    error = _refused(stage, f"ALTER DATABASE {quote_ident(database)} RENAME TO {_SPARE}", aside(database))
    took = time.monotonic() - began
    require(isinstance(error, psycopg.errors.ObjectInUse), f"refused otherwise: {error}")
    require(took < _MOMENT_S, f"refused after {took:.2f} s")
    hint = error.diag.message_hint or ""
    require(any(f"pg_terminate_backend({pid})" in hint for pid in pids), f"the hint names none of {pids}: {hint}")
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return took


@check(
    "database.refused",
    "statements that can't succeed: without the right, in the database itself, in a transaction block",
    "They fail at once, and no worker is asked to leave.",
    rules=(39,),
    needs=("static",),
)
def refused(stage: Stage) -> str:
    """Trying must not be a way to stop workers."""
    before, own = stage.pids(), _own(stage)
    tried = [
        (f"DROP DATABASE {own}", "42501", {"user": _NOBODY}),
        (f"ALTER DATABASE {own} RENAME TO {_SPARE}", "42501", {"user": _NOBODY}),
        (f"DROP DATABASE {own}", "55006", {"dbname": stage.database}),
        (f"DROP DATABASE {own}", "25001", {"block": "yes"}),
    ]
    stage.rows(f"CREATE ROLE {_NOBODY} LOGIN")
    try:
        for statement, sqlstate, where in tried:
            error = _refused(stage, statement, where.pop("dbname", aside(stage.database)), **where)
            require(error.sqlstate == sqlstate, f"{statement}: {error}; expected was SQLSTATE {sqlstate}")
    finally:
        stage.rows(f"DROP ROLE {_NOBODY}")
    seen = all_work(stage)
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{len(tried)} statements refused; same pids; {seen}"


def _refused(stage: Stage, statement: str, database: str, block: str = "", user: str = "") -> psycopg.Error:
    """The error that a statement ends with, run by a role, and in a transaction block where that is wanted."""
    with contextlib.closing(stage.connect(database, **({"user": user} if user else {}))) as connection:
        try:
            if block:
                connection.execute("BEGIN")
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error
    raise Red(f"{statement} did not fail")
