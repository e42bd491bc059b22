"""State that a handler leaves in its session."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import partial

from pgbgw.faults.check import check
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.faults.workers import all_work, rounds_here

__all__: list[str] = []

_SEEN = f"{SCHEMA}.seen"
_LOGIN = "pgbgw_test_login"
_OTHER = "pgbgw_test_other"
_LOCK = 8_401_733

# What a session has that outlasts a transaction.
_STATE = f"""
    INSERT INTO {_SEEN} (leaves, role, login, work_mem, path, read_only, temporary, locks, cursors, prepared, channels)
    SELECT LEAVES, current_user, session_user, current_setting('work_mem'), current_setting('search_path'),
        current_setting('default_transaction_read_only'), to_regclass('pg_temp.leftover') IS NOT NULL,
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_cursors WHERE is_holdable),
        (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels())"""

_COLUMNS = "work_mem, path, read_only, temporary, locks, cursors, prepared"
_DIRTY = ("77MB", "public", "on", True, 1, 1, 1)
_CLEAN = ("pg_catalog, pg_temp", "off", False, 0, 0, 0)

# A background process may not LISTEN; if it could, the channel would be seen. Who may not be another stays who it is.
_LEAVE = f"""
    PERFORM set_config('work_mem', '77MB', false), set_config('search_path', 'public', false),
        set_config('default_transaction_read_only', 'on', false);
    CREATE TEMPORARY TABLE leftover (a int);
    PERFORM pg_advisory_lock({_LOCK});
    EXECUTE 'PREPARE leftover AS SELECT 1';
    EXECUTE 'DECLARE leftover CURSOR WITH HOLD FOR SELECT 1';
    BEGIN
        EXECUTE 'LISTEN leftover';
    EXCEPTION WHEN feature_not_supported THEN
    END;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
        SET SESSION AUTHORIZATION {_LOGIN};
        SET ROLE {_OTHER};
    END IF;
    {_STATE.replace("LEAVES", "true")};"""

_LOOK = _STATE.replace("LEAVES", "false")
_LOOK_AND_LEAVE = f"DO $leave$ BEGIN {_LOOK}; {_LEAVE} END $leave$"
_LEAVE_AND_FAIL = f"DO $leave$ BEGIN {_LEAVE} RAISE EXCEPTION 'told to leave'; END $leave$"


@contextlib.contextmanager
def _seeing(stage: Stage) -> Iterator[None]:
    """A table for what handlers find, and roles that they may become."""
    stage.rows(f"""
        CREATE TABLE {_SEEN} (pid int DEFAULT pg_backend_pid(), leaves bool, role text, login text, work_mem text,
            path text, read_only text, temporary bool, locks int, cursors int, prepared int, channels int);
        GRANT ALL ON {_SEEN} TO PUBLIC;
        CREATE ROLE {_LOGIN}; CREATE ROLE {_OTHER}; GRANT {_OTHER} TO {_LOGIN}""")
    try:
        yield
    finally:
        stage.rows(f"DELETE FROM {SCHEMA}.scripts")
        stage.rows(f"DROP TABLE {_SEEN}; DROP ROLE {_OTHER}; DROP ROLE {_LOGIN}")


def _left(stage: Stage) -> None:
    """Require that handlers have left something, and that others may take what they had locked."""
    left = stage.rows(f"SELECT DISTINCT {_COLUMNS} FROM {_SEEN} WHERE leaves")
    require(left == [_DIRTY], f"handlers did not leave what they should: {left}")
    may = stage.rows(f"SELECT DISTINCT role, login FROM {_SEEN} WHERE leaves AND login = '{_LOGIN}'")
    require(may in ([], [(_OTHER, _LOGIN)]), f"a handler became {may}")


def _found_clean(stage: Stage) -> str:
    """Require that whoever looked found a session without anything of the handlers before, and no lock is held."""
    found = stage.rows(
        f"SELECT DISTINCT {_COLUMNS.removeprefix('work_mem, ')}, channels, role = login AND role <> '{_OTHER}',"
        f" work_mem <> '77MB' FROM {_SEEN} WHERE NOT leaves"
    )
    require(found == [(*_CLEAN, 0, True, True)], f"handlers found {found}")
    require(stage.value(f"SELECT pg_try_advisory_lock({_LOCK})"), "an advisory lock is still held")
    return f"{stage.value(f'SELECT count(*) FROM {_SEEN} WHERE NOT leaves')} handlers found a clean session"


def _looks(stage: Stage) -> dict[int, int]:
    """How often each process has looked."""
    return dict(stage.rows(f"SELECT pid, count(*) FROM {_SEEN} WHERE NOT leaves GROUP BY 1"))


@check(
    "session.batch",
    "a handler leaves settings, roles, a temporary table, a cursor, a prepared statement and an advisory lock",
    "All of it is undone after the batch: the next one in this process finds a clean session, and others get the lock.",
    rules=(8, 18),
    needs=("queue",),
)
def batch(stage: Stage) -> str:
    """One job a batch, until a process has had a second one."""
    done = []
    with _seeing(stage):
        for line in stage.lines:
            before = _looks(stage)
            jobs: list[int] = []
            eventually(partial(_once_more, stage, line, jobs, before), what="two batches in one process")
            done.append(stage.audit(line, jobs))
        _left(stage)
        seen = _found_clean(stage)
    return f"{seen}; {done[0]}; {all_work(stage)}"


def _once_more(stage: Stage, line: Line, jobs: list[int], before: dict[int, int]) -> bool:
    jobs += stage.enqueue(line, 1, _LOOK_AND_LEAVE)
    stage.drained(line)
    return any(looks - before.get(pid, 0) > 1 for pid, looks in _looks(stage).items())


@check(
    "session.failed_job",
    "a handler leaves the same, and fails, at each attempt",
    "It is undone as well, also what a rollback leaves alone: prepared statements and advisory locks.",
    rules=(8, 18, 22),
    needs=("queue",),
)
def failed_job(stage: Stage) -> str:
    """Another attempt that found the prepared statement would fail of that."""
    told = []
    with _seeing(stage):
        for line in stage.lines:
            mark = stage.mark()
            bad = stage.enqueue(line, 1, _LEAVE_AND_FAIL)
            stage.drained(line)
            lines = stage.log(rf'job {bad[0]} of queue "{re.escape(line.queue.name)}" failed', mark)
            failed = {int(found[1]) for found in (re.search(r"\[(\d+)\]", text) for text in lines) if found}
            require(bool(failed), "the log does not tell who has failed")
            jobs: list[int] = []
            eventually(
                partial(_look_there, stage, line, jobs, failed), what=f"a batch in one of the processes {failed}"
            )
            told.append(stage.audit(line, [*jobs, *bad], dict.fromkeys(bad, "P0001")))
        seen = _found_clean(stage)
    return f"{seen}; {told[0]}"


def _look_there(stage: Stage, line: Line, jobs: list[int], pids: set[int]) -> bool:
    jobs += stage.enqueue(line, 1, _LOOK)
    stage.drained(line)
    return bool(pids & _looks(stage).keys())


@check(
    "session.round",
    "interval workers leave the same in each round, in a transaction or outside a transaction block",
    "All of it is undone after the round.",
    rules=(8, 18),
    needs=("round",),
)
def rounds(stage: Stage) -> str:
    """Each round looks, and leaves something for the next."""
    workers = rounds_here(stage)
    with _seeing(stage):
        pids = [pid for worker in workers for pid in stage.pids(worker).values()]
        for worker in workers:
            stage.script(worker, _LOOK_AND_LEAVE)
        stage.every(100)
        eventually(lambda: all(_looks(stage).get(pid, 0) > 2 for pid in pids), what="three rounds of each")
        _left(stage)
        stage.rows(f"DELETE FROM {SCHEMA}.scripts")
        stage.every(1_000)
        stage.idle()
        seen = _found_clean(stage)
    return f"{seen}; {all_work(stage)}"


@check(
    "session.failed_round",
    "interval workers leave the same, and fail",
    "It is undone before the next round, which finds a clean session; the advisory lock is free at once.",
    rules=(8, 18, 28),
    needs=("round",),
)
def failed_round(stage: Stage) -> str:
    """A reload ends the wait after the error."""
    workers = rounds_here(stage)
    with _seeing(stage):
        pids, mark = stage.pids(), stage.mark()
        mine = [pid for worker in workers for pid in stage.pids(worker).values()]
        for worker in workers:
            stage.script(worker, _LEAVE_AND_FAIL)
        stage.every(100)
        for pid in mine:
            stage.told(rf"\[{pid}\] .*ERROR:  told to leave", mark)
        for worker in workers:
            stage.script(worker, _LOOK)
        stage.rows("SELECT pg_reload_conf()")
        eventually(lambda: _looks(stage).keys() >= set(mine), what="another round of each")
        stage.every(1_000)
        seen = _found_clean(stage)
        require(stage.pids() == pids, f"processes changed: {pids} became {stage.pids()}")
    return f"{seen}; same pids"
