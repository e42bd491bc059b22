"""Schedules: what C runs on their tables, and the bodies of the functions that steer them."""

from __future__ import annotations

from collections.abc import Callable

from pgbgw.declare.derived import schedule_objects
from pgbgw.declare.extension import Extension
from pgbgw.declare.schedules import CatchUp, CronWorker
from pgbgw.ir.model import FunctionIR, ScheduleIR, SchedulesIR, SqlLines
from pgbgw.lower.names import Names
from pgbgw.sqltext import quote_ident

__all__ = ["lower_schedule", "lower_schedules"]

# So many runs of a schedule are kept.
_KEPT = 1000

_WORDS = {"skip": 0, "once": 1}

_ROW = "expression, time_zone, declared_expression, declared_time_zone, paused, run_now, settled_until, next_run"


def lower_schedule(worker: CronWorker) -> ScheduleIR:
    """When a worker runs."""
    return ScheduleIR(
        name=worker.name,
        expression=worker.schedule,
        time_zone=worker.time_zone,
        skip_gap=worker.gap == "skip",
        repeat=worker.repeated == "both",
        missed=worker.missed.runs if isinstance(worker.missed, CatchUp) else _WORDS[worker.missed],
    )


def lower_schedules(extension: Extension, names: Names, qualified: Callable[[str], str]) -> SchedulesIR | None:
    """What the extension has for its schedules, if it has any; ``qualified`` puts the schema before a quoted name."""
    if not any(isinstance(worker, CronWorker) for worker in extension.workers):
        return None
    objects = schedule_objects(extension)
    table, runs, due = qualified(objects.table), qualified(objects.runs), qualified(objects.due)
    return SchedulesIR(
        table=table,
        runs=runs,
        runs_sequence=qualified(objects.runs_sequence),
        runs_index=quote_ident(objects.runs_index),
        view=qualified(objects.view),
        trigger=quote_ident(objects.wake),
        wake=FunctionIR(qualified(objects.wake), names.function("note_schedules")),
        due=FunctionIR(due, names.function("next_run")),
        run=qualified(objects.run),
        pause=qualified(objects.pause),
        resume=qualified(objects.resume),
        change=qualified(objects.change),
        view_sql=_view(table, runs),
        run_sql=_told(table, "run_now = true", ""),
        pause_sql=_told(table, "paused = true", " AND NOT s.paused"),
        resume_sql=_told(table, "paused = false, settled_until = pg_catalog.clock_timestamp()", " AND s.paused"),
        change_sql=_told(
            table,
            "expression = COALESCE($2, s.declared_expression), time_zone = COALESCE($3, s.declared_time_zone),"
            " settled_until = pg_catalog.clock_timestamp(),"
            f" next_run = {due}(COALESCE($2, s.declared_expression), COALESCE($3, s.declared_time_zone))",
            "",
        ),
        statements=tuple(_statements(table, runs).items()),
    )


def _told(table: str, change: str, further: str) -> str:
    """The body of a function that changes one schedule, and says whether it did."""
    return (
        f"WITH told AS (UPDATE {table} AS s SET {change} WHERE s.name OPERATOR(pg_catalog.=) $1{further}"
        " RETURNING s.name) SELECT EXISTS (SELECT FROM told)"
    )


def _view(table: str, runs: str) -> SqlLines:
    """Each schedule with its next run and its last."""
    return (
        "SELECT s.name, s.expression, s.time_zone,",
        "    s.expression OPERATOR(pg_catalog.<>) s.declared_expression",
        "        OR s.time_zone OPERATOR(pg_catalog.<>) s.declared_time_zone AS changed,",
        "    s.paused, CASE WHEN NOT s.paused THEN s.next_run END AS next_run,",
        "    CASE WHEN NOT s.paused THEN pg_catalog.timezone(s.time_zone, s.next_run) END AS next_run_local,",
        "    r.due AS last_due, r.started_at, r.ended_at,",
        "    r.ended_at OPERATOR(pg_catalog.-) r.started_at AS duration, r.outcome, r.error, r.sqlstate",
        f"FROM {table} AS s LEFT JOIN LATERAL (",
        f"    SELECT * FROM {runs} AS r WHERE r.schedule OPERATOR(pg_catalog.=) s.name ORDER BY r.id DESC LIMIT 1",
        ") AS r ON true",
    )


def _statements(table: str, runs: str) -> dict[str, SqlLines]:
    mine = "WHERE name OPERATOR(pg_catalog.=) $1"
    this = "WHERE id OPERATOR(pg_catalog.=) $1"
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
            f"declared_expression = $2, declared_time_zone = $3 {mine}",
        ),
        "plan": (f"UPDATE {table} SET settled_until = $2, next_run = $3 {mine}",),
        "taken": (f"UPDATE {table} SET run_now = false {mine} AND run_now",),
        "begin_run": (f"INSERT INTO {runs} (schedule, due) VALUES ($1, $2) RETURNING id",),
        "find_running": (
            f"SELECT id FROM {runs} WHERE schedule OPERATOR(pg_catalog.=) $1",
            "AND outcome OPERATOR(pg_catalog.=) 'running' ORDER BY id",
        ),
        "run_again": (f"UPDATE {runs} SET started_at = pg_catalog.clock_timestamp() {this}",),
        "end_run": (
            f"UPDATE {runs} SET outcome = $2, error = $3, sqlstate = $4,",
            f"ended_at = pg_catalog.clock_timestamp() {this}",
        ),
        "forget_runs": (
            f"DELETE FROM {runs} WHERE schedule OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.<) (",
            f"SELECT r.id FROM {runs} AS r WHERE r.schedule OPERATOR(pg_catalog.=) $1",
            f"ORDER BY r.id DESC OFFSET {_KEPT - 1} LIMIT 1)",
        ),
    }
