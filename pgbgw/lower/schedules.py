"""Schedules: what C runs on their tables, and the bodies of the functions that steer them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pgbgw.declare.derived import local_time, next_run, schedule_objects
from pgbgw.declare.extension import Extension
from pgbgw.declare.schedules import CatchUp, CronWorker
from pgbgw.ir.model import FunctionIR, ScheduleIR, SchedulesIR, SqlLines
from pgbgw.lower.names import Names
from pgbgw.sqltext import quote_ident

__all__ = ["lower_next_run", "lower_schedule", "lower_schedules"]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

# So many runs of a schedule are kept.
_KEPT = 1000

_WORDS = {"skip": 0, "once": 1}

_ROW = (
    "expression, time_zone, declared_expression, declared_time_zone, paused, run_now, settled_until, next_run, retry_at"
)


def lower_schedule(worker: CronWorker) -> ScheduleIR:
    """When a worker runs."""
    return ScheduleIR(
        name=worker.name,
        expression=worker.expression,
        time_zone=worker.time_zone,
        skip_gap=worker.gap == "skip",
        repeat=worker.repeated == "both",
        missed=worker.missed.runs if isinstance(worker.missed, CatchUp) else _WORDS[worker.missed],
        skip_overlap=worker.overlap == "skip",
        processes=worker.processes,
        not_before=_microseconds(worker.earliest),
        not_after=_microseconds(worker.latest),
        jitter_us=worker.jitter.us if worker.jitter is not None else 0,
        retries=worker.retries,
        backoff_us=worker.backoff.us,
        backoff_limit_us=worker.backoff_limit.us,
    )


def _microseconds(at: datetime | None) -> int | None:
    """A time as PostgreSQL keeps it."""
    return None if at is None else (at - _EPOCH) // timedelta(microseconds=1)


def lower_next_run(
    extension: Extension, names: Names, qualified: Callable[[str], str]
) -> tuple[FunctionIR | None, FunctionIR | None, tuple[str, ...]]:
    """The functions that tell when something is due, where anything is, and what clocks show then, and the roles that
    may call them.
    """
    if not extension.tables and not any(isinstance(worker, CronWorker) for worker in extension.workers):
        return None, None, ()
    roles = (*extension.operators, *(role for table in extension.tables for role in table.schedulers))
    return (
        FunctionIR(qualified(next_run(extension)), names.function("next_run")),
        FunctionIR(qualified(local_time(extension)), names.function("local_time")),
        tuple(dict.fromkeys(map(quote_ident, roles))),
    )


def lower_schedules(extension: Extension, names: Names, qualified: Callable[[str], str]) -> SchedulesIR | None:
    """What the extension has for its schedules, if it has any; ``qualified`` puts the schema before a quoted name."""
    if not any(isinstance(worker, CronWorker) for worker in extension.workers):
        return None
    objects = schedule_objects(extension)
    table, runs, due = qualified(objects.table), qualified(objects.runs), qualified(next_run(extension))
    return SchedulesIR(
        table=table,
        runs=runs,
        runs_sequence=qualified(objects.runs_sequence),
        runs_index=quote_ident(objects.runs_index),
        view=qualified(objects.view),
        trigger=quote_ident(objects.wake),
        wake=FunctionIR(qualified(objects.wake), names.function("note_schedules")),
        run=qualified(objects.run),
        pause=qualified(objects.pause),
        resume=qualified(objects.resume),
        change=qualified(objects.change),
        view_sql=_view(table, runs, qualified(local_time(extension))),
        run_sql=_told(table, "run_now = true"),
        pause_sql=_told(table, "paused = true", "NOT s.paused"),
        resume_sql=_told(
            table,
            "paused = false, settled_until = pg_catalog.clock_timestamp(), retry_at = NULL,"
            f" next_run = {due}(s.expression, s.time_zone)",
            "s.paused",
            runs,
        ),
        change_sql=_told(
            table,
            "expression = COALESCE($2, s.declared_expression), time_zone = COALESCE($3, s.declared_time_zone),"
            " settled_until = pg_catalog.clock_timestamp(), retry_at = NULL,"
            f" next_run = {due}(COALESCE($2, s.declared_expression), COALESCE($3, s.declared_time_zone))",
            runs=runs,
        ),
        operators=tuple(map(quote_ident, extension.operators)),
        statements=tuple(_statements(table, runs).items()),
    )


def _told(table: str, change: str, unless_so: str = "", runs: str = "") -> str:
    """The body of a function that changes one schedule, and says whether there is one.

    With a condition for the change it says whether it did, and NULL where there is none: who pauses a schedule by a
    wrong name must not be told that it was paused already. None of ``runs`` is tried again after it, nor one that fails
    while this waits for the row, which has a statement of its own therefore.
    """
    mine = "s.name OPERATOR(pg_catalog.=) $1"
    further = f" AND {unless_so}" if unless_so else ""
    forgotten = (
        f", forgotten AS (UPDATE {runs} AS r SET retry_at = NULL FROM told"
        " WHERE r.schedule OPERATOR(pg_catalog.=) told.name AND r.retry_at IS NOT NULL)"
    )
    locked = f"SELECT FROM {table} AS s WHERE {mine} FOR UPDATE; " if runs else ""
    told = f"{locked}WITH told AS (UPDATE {table} AS s SET {change} WHERE {mine}{further} RETURNING s.name)"
    told += f"{forgotten if runs else ''} SELECT"
    if not unless_so:
        return f"{told} EXISTS (SELECT FROM told)"
    return (
        f"{told} CASE WHEN EXISTS (SELECT FROM told) THEN true"
        f" WHEN EXISTS (SELECT FROM {table} AS s WHERE {mine}) THEN false END"
    )


def _view(table: str, runs: str, shown: str) -> SqlLines:
    """Each schedule with its next run and its last."""
    return (
        "SELECT s.name, s.expression, s.time_zone,",
        "    s.expression OPERATOR(pg_catalog.<>) s.declared_expression",
        "        OR s.time_zone OPERATOR(pg_catalog.<>) s.declared_time_zone AS changed,",
        "    s.paused, CASE WHEN NOT s.paused THEN s.next_run END AS next_run,",
        f"    CASE WHEN NOT s.paused THEN {shown}(s.next_run, s.time_zone) END AS next_run_local,",
        "    r.due AS last_due, r.started_at, r.ended_at,",
        "    r.ended_at OPERATOR(pg_catalog.-) r.started_at AS duration, r.outcome, r.error, r.sqlstate,",
        "    r.attempt, CASE WHEN NOT s.paused THEN s.retry_at END AS retry_at,",
        f"    (SELECT pg_catalog.count(*) FROM {runs} AS u WHERE u.schedule OPERATOR(pg_catalog.=) s.name",
        "        AND u.outcome OPERATOR(pg_catalog.=) 'running')::pg_catalog.int4 AS running",
        f"FROM {table} AS s LEFT JOIN LATERAL (",
        f"    SELECT * FROM {runs} AS r WHERE r.schedule OPERATOR(pg_catalog.=) s.name ORDER BY r.id DESC LIMIT 1",
        ") AS r ON true",
    )


def _statements(table: str, runs: str) -> dict[str, SqlLines]:
    mine = "WHERE name OPERATOR(pg_catalog.=) $1"
    this = "WHERE id OPERATOR(pg_catalog.=) $1"
    waits = "WHERE schedule OPERATOR(pg_catalog.=) $1 AND retry_at IS NOT NULL"
    changed = (
        "expression OPERATOR(pg_catalog.<>) declared_expression OR time_zone OPERATOR(pg_catalog.<>) declared_time_zone"
    )
    return {
        "find": (f"SELECT {_ROW} FROM {table} {mine}",),
        "lock": (f"SELECT {_ROW} FROM {table} {mine} FOR UPDATE",),
        "add": (
            f"INSERT INTO {table} (name, expression, time_zone, declared_expression, declared_time_zone)",
            "VALUES ($1, $2, $3, $2, $3) ON CONFLICT DO NOTHING",
        ),
        "redeclare": (
            f"UPDATE {table} SET",
            f"expression = CASE WHEN {changed} THEN expression ELSE $2 END,",
            f"time_zone = CASE WHEN {changed} THEN time_zone ELSE $3 END,",
            f"settled_until = CASE WHEN {changed} THEN settled_until ELSE pg_catalog.clock_timestamp() END,",
            f"retry_at = CASE WHEN {changed} THEN retry_at END,",
            f"declared_expression = $2, declared_time_zone = $3 {mine}",
        ),
        "plan": (f"UPDATE {table} SET settled_until = $2, next_run = $3 {mine}",),
        "taken": (f"UPDATE {table} SET run_now = false {mine} AND run_now",),
        "begin_run": (
            f"INSERT INTO {runs} (schedule, process, due) VALUES ($1, $2, $3) RETURNING id, attempt, process",
        ),
        "retry_run": (
            f"WITH waiting AS (SELECT id FROM {runs} {waits} ORDER BY retry_at LIMIT 1),",
            f"taken AS (UPDATE {runs} AS r SET retry_at = NULL FROM waiting",
            "WHERE r.id OPERATOR(pg_catalog.=) waiting.id RETURNING r.due, r.attempt)",
            f"INSERT INTO {runs} (schedule, process, due, attempt)",
            "SELECT $1, $2, due, attempt OPERATOR(pg_catalog.+) 1 FROM taken RETURNING id, attempt, process",
        ),
        "note_retries": (
            f"UPDATE {table} SET retry_at = (SELECT pg_catalog.min(r.retry_at) FROM {runs} AS r",
            f"WHERE r.schedule OPERATOR(pg_catalog.=) $1) {mine}",
        ),
        "forget_retries": (
            f"WITH forgotten AS (UPDATE {runs} SET retry_at = NULL {waits})",
            f"UPDATE {table} SET retry_at = NULL {mine}",
        ),
        "find_running": (
            f"SELECT id, begun, process FROM {runs} WHERE schedule OPERATOR(pg_catalog.=) $1",
            "AND outcome OPERATOR(pg_catalog.=) 'running' AND (process OPERATOR(pg_catalog.=) $2",
            "OR $2 OPERATOR(pg_catalog.=) 1 AND process OPERATOR(pg_catalog.>) $3) ORDER BY id",
        ),
        "find_end": (
            f"SELECT ended_at FROM {runs} WHERE schedule OPERATOR(pg_catalog.=) $1 AND ended_at IS NOT NULL",
            # nobody knows when a lost one has ended
            "AND outcome OPERATOR(pg_catalog.<>) 'lost' ORDER BY id DESC LIMIT 1",
        ),
        "run_again": (
            f"UPDATE {runs} SET started_at = pg_catalog.clock_timestamp(), begun = begun OPERATOR(pg_catalog.+) 1,",
            f"process = $2 {this} RETURNING id, attempt, process",
        ),
        "end_run": (
            f"UPDATE {runs} SET outcome = $2, error = $3, sqlstate = $4, retry_at = $6,",
            "ended_at = pg_catalog.clock_timestamp()",
            # the extension, and with it the ids, may be other ones by now
            f"{this} AND schedule OPERATOR(pg_catalog.=) $5 AND process OPERATOR(pg_catalog.=) $7",
            "AND outcome OPERATOR(pg_catalog.=) 'running'",
        ),
        "forget_runs": (
            f"DELETE FROM {runs} WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY(",
            f"SELECT r.id FROM {runs} AS r WHERE r.schedule OPERATOR(pg_catalog.=) $1",
            # one that is under way for long ends later than those after it
            "AND r.outcome OPERATOR(pg_catalog.<>) 'running' AND r.id OPERATOR(pg_catalog.<) (",
            f"SELECT k.id FROM {runs} AS k WHERE k.schedule OPERATOR(pg_catalog.=) $1",
            f"ORDER BY k.id DESC OFFSET {_KEPT - 1} LIMIT 1) FOR UPDATE SKIP LOCKED))",
        ),
    }
