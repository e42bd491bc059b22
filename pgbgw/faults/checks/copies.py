"""Servers without preload, and databases that were dumped and restored."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.leased import acknowledge, claim, lease_of, put
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.sqltext import quote_ident

__all__ = ["swapped"]

_COPY = "pgbgw_test_copy"
_ASIDE = "pgbgw_test_aside"

_FUNCTIONS = """
    SELECT p.oid::regproc::text, array_to_string(array_agg('NULL::' || format_type(t.type, NULL) ORDER BY t.n), ', ')
    FROM pg_depend AS d
    JOIN pg_proc AS p ON p.oid = d.objid
    JOIN pg_language AS l ON l.oid = p.prolang
    LEFT JOIN LATERAL unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (type, n) ON true
    WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND p.prorettype <> 'trigger'::regtype
        AND l.lanname = 'c'
        AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = %s)
    GROUP BY p.oid ORDER BY 1
"""


@check(
    "copy.not_preloaded",
    "the library is not in shared_preload_libraries, and every function in C is called",
    "Each raises a clean error with the line to add to postgresql.conf; jobs that are enqueued meanwhile are kept.",
    rules=(3, 31),
)
def not_preloaded(stage: Stage) -> str:
    """No crash, whatever is called."""
    functions = stage.rows(_FUNCTIONS, [stage.module.name])
    jobs: dict[str, list[int]] = {}
    with stage.settings(shared_preload_libraries=""):
        mark = stage.mark()
        for name, arguments in functions:
            if name == _announce(stage):
                # the installation script calls it, also where nothing is preloaded yet: it warns
                stage.rows(f"SELECT {name}()")
                continue
            try:
                stage.rows(f"SELECT * FROM {name}({arguments or ''})")
            except psycopg.errors.ObjectNotInPrerequisiteState as error:
                hint = error.diag.message_hint or ""
                require("shared_preload_libraries" in hint, f"{name}: the hint is {hint!r}")
            else:
                require(False, f"{name} raised no error")
        for line in stage.lines:
            jobs[line.name] = stage.enqueue(line, 3)
        require(not stage.log("terminated by signal", mark), "a process crashed")
    for line in stage.lines:
        stage.audit(line, jobs[line.name])
    return f"{len(functions)} functions raised clean errors, {sum(map(len, jobs.values()))} jobs kept and done later"


def _announce(stage: Stage) -> str:
    """The function of the installation script, as regproc shows it."""
    name: str = stage.value("SELECT %s::regproc::text", [stage.module.announce.name])
    return name


@check(
    "copy.restored",
    "the database is dumped and restored, with jobs of every state in it",
    "No job is lost, and the copy's workers are paused until resume() is called in it.",
    needs=("queue",),
)
def restored(stage: Stage) -> str:
    """The copy takes the place of the original, so that the workers connect to it."""
    line = stage.lines[0]
    stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
    jobs = stage.enqueue(line, 6)
    _move(stage, line, jobs[-1], line.queue.later, ("attempt", "run_at"), ("attempt", "now()"))
    _move(stage, line, jobs[-2], line.queue.failed, ("attempts", "sqlstate"), ("attempt + 1", "'P0001'"))
    with swapped(stage):
        # the request is for all databases of the server, so it is the copy alone that pauses from here on
        mark = stage.mark()
        stage.rows(f"SELECT {stage.module.resume.name}()", dbname=_ASIDE)
        stage.told(r'worker ".*" is paused: database ".*" is a restored copy', mark)
        eventually(lambda: set(stage.states(line.worker)) == {"paused"}, what="paused workers")
        require(stage.left(line) == len(jobs) - 1, f"{stage.left(line)} jobs wait, of {len(jobs) - 1}")
        require(list(stage.failed(line)) == [jobs[-2]], f"given up: {stage.failed(line)}")
        new = stage.enqueue(line, 1)
        require(new[0] == jobs[-1] + 1, f"the sequence goes on at {new[0]}, after {jobs[-1]}")
        _woken_and_paused(stage, line)
        stage.rows(f"SELECT {stage.module.resume.name}()")
        seen = stage.audit(line, [*jobs, *new], {jobs[-2]: "P0001"})
        require(stage.value(f"SELECT count(*) FROM {stage.module.copies}") == 1, "the copy was not accepted")
    return f"paused until resumed; then {seen}"


@check(
    "copy.restored_leases",
    "the database is dumped and restored while a session holds leases, and a job is done",
    "The copy has the same leases and history, and gives out no job until resume() is called in it.",
    needs=("lease",),
)
def restored_leases(stage: Stage) -> str:
    """What was leased where it was dumped may be under way there."""
    leased = stage.leased[0]
    put(stage, leased, 3)
    with stage.connect() as connection:
        held = claim(connection, leased)
    done, *others = held
    require(acknowledge(stage, leased, {done: held[done]}) == [], "a lease was lost")
    waiting = put(stage, leased, 2)
    history = leased.queue.history
    with swapped(stage):
        found = stage.rows(f"SELECT id, token FROM {lease_of(leased).running} ORDER BY id")
        require(found == [(job, held[job]) for job in others], f"leased in the copy: {found}")
        if history is not None:
            kept = stage.rows(f"SELECT id FROM {history.done}")
            require(kept == [(done,)], f"done in the copy: {kept}")
        with stage.connect() as connection:
            require(claim(connection, leased) == {}, "the copy gave out jobs")
            stage.rows(f"SELECT {stage.module.resume.name}()")
            again = claim(connection, leased)
        require(sorted(again) == waiting, f"claimed after resume: {sorted(again)}")
        require(min(again.values()) > max(held.values()), "tokens began anew")
    return "the same leases; no job given out until resumed, and larger tokens then"


def _move(stage: Stage, line: Line, job: int, table: str, columns: Sequence[str], values: Sequence[str]) -> None:
    """Put a job among those that wait, or among those that were given up."""
    payload = ["id", *(column.name for column in line.queue.columns), "created_at"]
    stage.rows(
        f"WITH moved AS (DELETE FROM {line.queue.table} WHERE id = {job} RETURNING *)"
        f" INSERT INTO {table} ({', '.join([*payload, *columns])}) SELECT {', '.join([*payload, *values])} FROM moved"
    )


def _woken_and_paused(stage: Stage, line: Line) -> None:
    """A new process finds the copy as well, and touches nothing."""
    since = stage.mark()
    pids = list(stage.pids(line.worker).values())
    stage.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [pids])
    stage.told(r'worker ".*" is paused: database ".*" is a restored copy', since)
    require(not stage.done(line.name), "a paused worker has done a job")


@contextlib.contextmanager
def swapped(stage: Stage) -> Iterator[None]:
    """A dump of the database, restored, in its place; the original comes back when the block ends."""
    own = quote_ident(stage.database)
    elsewhere = "template1"
    with tempfile.TemporaryDirectory(prefix="pgbgw-dump-") as folder:
        dump = Path(folder, "dump")
        _run(stage, "pg_dump", "-Fc", "-f", str(dump), "-d", stage.cluster.conninfo(stage.database))
        stage.rows(f"CREATE DATABASE {_COPY} TEMPLATE template0", dbname=elsewhere)
        mark = stage.mark()
        _run(stage, "pg_restore", "-d", stage.cluster.conninfo(_COPY), str(dump))
    stage.end_unreturning()
    try:
        require(bool(stage.log("WARNING:  .* paused in this restored copy", mark)), "the restore warned of no pause")
        stage.rows(f"ALTER DATABASE {own} RENAME TO {_ASIDE}", dbname=elsewhere)
        try:
            stage.rows(f"ALTER DATABASE {_COPY} RENAME TO {own}", dbname=elsewhere)
            yield
        finally:
            if not _exists(stage, _COPY, elsewhere):
                stage.rows(f"ALTER DATABASE {own} RENAME TO {_COPY}", dbname=elsewhere)
            stage.rows(f"ALTER DATABASE {_ASIDE} RENAME TO {own}", dbname=elsewhere)
    finally:
        stage.rows(f"DROP DATABASE IF EXISTS {_COPY}", dbname=elsewhere)


def _exists(stage: Stage, database: str, elsewhere: str) -> bool:
    return bool(stage.rows("SELECT 1 FROM pg_database WHERE datname = %s", [database], dbname=elsewhere))


def _run(stage: Stage, program: str, *arguments: str) -> None:
    """Run a client program of the server; nothing leads it to another one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    ran = subprocess.run(
        [stage.cluster.pg.program(program), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    require(ran.returncode == 0, f"{program} failed: {ran.stderr.strip()}")
