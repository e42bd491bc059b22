"""Tables of schedules: what C runs on them, and the bodies of the functions by which people keep their schedules."""

from __future__ import annotations

from collections.abc import Callable

from pgbgw.declare.derived import local_time, table_objects
from pgbgw.declare.tables import ScheduleTable
from pgbgw.ir.model import FunctionIR, ScheduleTableIR, SqlLines
from pgbgw.lower.names import Names
from pgbgw.sqltext import quote_ident

__all__ = ["lower_table"]

# Whoever runs the statement, as a value of the column "owner".
_ME = "pg_catalog.to_regrole(pg_catalog.quote_ident(CURRENT_USER))"

# What the scheduler looks at.
_ROW = (
    "id, expression, time_zone, skip_gap, repeated, missed, paused, run_now, transaction, settled_until, next_run,"
    " owner::pg_catalog.oid, COALESCE(not_before, '-infinity'::pg_catalog.timestamptz),"
    " COALESCE(not_after, 'infinity'::pg_catalog.timestamptz)"
)

# As the index of such runs has it.
_OPEN = "outcome OPERATOR(pg_catalog.=) ANY ('{waiting,running}'::pg_catalog.text[])"


def lower_table(
    table: ScheduleTable, number: int, places: int, names: Names, qualified: Callable[[str], str]
) -> ScheduleTableIR:
    """A table of schedules, which is number ``number``; ``qualified`` puts the schema before a quoted name."""
    objects = table_objects(table)
    rows, runs = qualified(objects.table), qualified(objects.runs)
    return ScheduleTableIR(
        name=table.name,
        number=number,
        variable=names.table_spec(table.name),
        places=places,
        runners=table.runs,
        keep_us=table.keep.us,
        relation=objects.table,
        table=rows,
        sequence=qualified(objects.sequence),
        key=quote_ident(objects.key),
        runs=runs,
        runs_sequence=qualified(objects.runs_sequence),
        runs_index=quote_ident(objects.runs_index),
        ended_index=quote_ident(objects.ended_index),
        open_index=quote_ident(objects.open_index),
        view=qualified(objects.view),
        check=FunctionIR(qualified(objects.check), names.table(table.name, "check")),
        wake=FunctionIR(qualified(objects.wake), names.table(table.name, "wake")),
        check_trigger=quote_ident(objects.check),
        wake_trigger=quote_ident(objects.wake),
        truncate_trigger=quote_ident(objects.truncate),
        schedule=qualified(objects.schedule),
        unschedule=qualified(objects.unschedule),
        run=qualified(objects.run),
        pause=qualified(objects.pause),
        resume=qualified(objects.resume),
        view_sql=_view(rows, runs, qualified(local_time(table.extension))),
        schedule_sql=_schedule(rows),
        unschedule_sql=_told(f"DELETE FROM {rows} AS s", ""),
        run_sql=_told(f"UPDATE {rows} AS s SET run_now = true", ""),
        pause_sql=_told(f"UPDATE {rows} AS s SET paused = true", " AND NOT s.paused"),
        resume_sql=_told(f"UPDATE {rows} AS s SET paused = false", " AND s.paused"),
        statements=tuple(_statements(rows, runs, table.keep.us).items()),
        schedulers=tuple(map(quote_ident, table.schedulers)),
        origin=table.origin,
    )


def _told(change: str, further: str) -> str:
    """The body of a function that changes one schedule of the caller's, and says whether it did."""
    return (
        f"WITH told AS ({change} WHERE s.owner OPERATOR(pg_catalog.=) {_ME} AND s.name OPERATOR(pg_catalog.=) $1"
        f"{further} RETURNING s.id) SELECT EXISTS (SELECT FROM told)"
    )


def _schedule(rows: str) -> SqlLines:
    """The body of the function that makes a schedule, or changes the one of that name."""
    return (
        f"INSERT INTO {rows} (name, expression, command, time_zone, transaction, missed, timeout,",
        "    not_before, not_after)",
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        "ON CONFLICT (owner, name) DO UPDATE SET expression = EXCLUDED.expression, command = EXCLUDED.command,",
        "    time_zone = EXCLUDED.time_zone, transaction = EXCLUDED.transaction, missed = EXCLUDED.missed,",
        "    timeout = EXCLUDED.timeout, not_before = EXCLUDED.not_before, not_after = EXCLUDED.not_after",
        "RETURNING id",
    )


def _view(rows: str, runs: str, shown: str) -> SqlLines:
    """Each schedule with its next run and its last."""
    return (
        "SELECT s.id, s.name, s.owner, s.expression, s.time_zone, s.command, s.transaction, s.paused,",
        "    CASE WHEN NOT s.paused THEN s.next_run END AS next_run,",
        f"    CASE WHEN NOT s.paused THEN {shown}(s.next_run, s.time_zone) END AS next_run_local,",
        "    r.due AS last_due, r.started_at, r.ended_at,",
        "    r.ended_at OPERATOR(pg_catalog.-) r.started_at AS duration, r.outcome, r.error, r.sqlstate",
        f"FROM {rows} AS s LEFT JOIN LATERAL (",
        f"    SELECT * FROM {runs} AS r WHERE r.schedule OPERATOR(pg_catalog.=) s.id ORDER BY r.id DESC LIMIT 1",
        ") AS r ON true",
    )


def _statements(rows: str, runs: str, keep_us: int) -> dict[str, SqlLines]:
    this = "WHERE id OPERATOR(pg_catalog.=) $1"
    kept = f"pg_catalog.make_interval(secs => {keep_us // 1_000_000})"
    return {
        "load": (f"SELECT {_ROW}", f"FROM {rows}"),
        "find": (f"SELECT {_ROW}", f"FROM {rows} {this}"),
        "lock": (f"SELECT {_ROW}", f"FROM {rows} {this} FOR UPDATE SKIP LOCKED"),
        "plan": (f"UPDATE {rows} SET settled_until = $2, next_run = $3 {this}",),
        "taken": (f"UPDATE {rows} SET settled_until = $2, next_run = $3, run_now = false {this}",),
        "begin_run": (
            f"INSERT INTO {runs} (schedule, owner, due, started_at, outcome, attempts) VALUES ($1, $2, $3,",
            "    pg_catalog.clock_timestamp(), CASE WHEN $4 THEN 'running' ELSE 'waiting' END,",
            "    CASE WHEN $4 THEN 1 ELSE 0 END) RETURNING id",
        ),
        "open_runs": (
            f"SELECT id, schedule, owner::pg_catalog.oid, started_at FROM {runs}",
            f"WHERE {_OPEN} ORDER BY id",
        ),
        "find_run": (
            "SELECT r.outcome OPERATOR(pg_catalog.=) 'waiting', r.attempts, s.transaction, s.paused",
            f"FROM {runs} AS r LEFT JOIN {rows} AS s ON s.id OPERATOR(pg_catalog.=) r.schedule",
            "    AND s.owner OPERATOR(pg_catalog.=) r.owner",
            f"WHERE r.id OPERATOR(pg_catalog.=) $1 AND r.{_OPEN}",
        ),
        "again": (f"UPDATE {runs} SET outcome = 'waiting' {this}",),
        "end_run": (
            f"UPDATE {runs} SET outcome = $2, error = $3, sqlstate = $4, started_at = $5,",
            f"ended_at = pg_catalog.clock_timestamp() {this} AND {_OPEN}",
            # the extension, and with it the ids, may be other ones by now
            "AND ($6 IS NULL OR due OPERATOR(pg_catalog.=) $6)",
        ),
        "read_run": (
            "SELECT s.name, s.command, s.transaction, r.outcome OPERATOR(pg_catalog.=) 'waiting', r.due,",
            "    COALESCE((EXTRACT(epoch FROM s.timeout) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int4, 0)",
            f"FROM {runs} AS r JOIN {rows} AS s ON s.id OPERATOR(pg_catalog.=) r.schedule",
            "    AND s.owner OPERATOR(pg_catalog.=) r.owner",
            f"WHERE r.id OPERATOR(pg_catalog.=) $1 AND r.{_OPEN}",
        ),
        "start_run": (
            f"UPDATE {runs} SET outcome = 'running', started_at = pg_catalog.clock_timestamp(),",
            f"attempts = attempts OPERATOR(pg_catalog.+) 1 {this}",
        ),
        "forget": (
            f"DELETE FROM {runs} WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY(",
            f"SELECT r.id FROM {runs} AS r WHERE r.ended_at OPERATOR(pg_catalog.<)",
            f"(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) {kept})",
            "ORDER BY r.ended_at LIMIT 1000 FOR UPDATE SKIP LOCKED))",
        ),
    }
