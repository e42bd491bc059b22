"""The statements that move a queue's jobs; the claim stands here and nowhere else.

Names are quoted already. Operators and functions are written with their schema, so that no search_path can change
what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgbgw.ir.model import SqlLines
from pgbgw.sqltext import quote_literal

__all__ = [
    "accept_copy",
    "cancel",
    "claim",
    "claim_due",
    "claim_suspect",
    "clear_suspect",
    "clear_suspects",
    "enqueue",
    "enqueue_at",
    "give_up",
    "next_due",
    "note_suspect",
    "pick_suspect",
    "purge",
    "put_back",
    "release_keys",
    "retry",
    "retry_failed",
]


def claim(table: str, payload: Sequence[str]) -> SqlLines:
    """Take up to $1 jobs out of the table, of priorities up to $2, oldest first; what somebody has locked is left.

    The rows are found by an array of ctids, which is computed once: ``id IN (SELECT ... LIMIT n)`` may be run again
    for each row of a nested loop, and then claims more than n.
    """
    columns = _claimed(payload)
    return (
        "WITH claimed AS (",
        f"DELETE FROM {table} AS q",
        "WHERE q.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT c.ctid FROM {table} AS c WHERE c.priority OPERATOR(pg_catalog.<=) $2",
        "ORDER BY c.priority, c.id LIMIT $1 FOR UPDATE SKIP LOCKED))",
        f"RETURNING {_of('q', columns)})",
        f"SELECT {_of('claimed', columns)} FROM claimed ORDER BY claimed.priority, claimed.id",
    )


def claim_due(later: str, payload: Sequence[str]) -> SqlLines:
    """Take up to $1 jobs of priority $2 whose time has come, and is not before $3, out of those that wait."""
    columns = _claimed(payload)
    return (
        "WITH claimed AS (",
        f"DELETE FROM {later} AS l",
        "WHERE l.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT d.ctid FROM {later} AS d WHERE d.priority OPERATOR(pg_catalog.=) $2",
        "AND d.run_at OPERATOR(pg_catalog.>=) $3 AND d.run_at OPERATOR(pg_catalog.<=) pg_catalog.now()",
        "ORDER BY d.run_at LIMIT $1 FOR UPDATE SKIP LOCKED))",
        f"RETURNING {_of('l', columns)}, l.run_at)",
        f"SELECT {_of('claimed', columns)} FROM claimed ORDER BY claimed.run_at",
    )


def next_due(later: str) -> SqlLines:
    """For each priority of jobs that wait for a time not before $1: the first of these times."""
    return (
        "SELECT p.priority, d.run_at FROM pg_catalog.generate_series(0, 9) AS p(priority)",
        f"CROSS JOIN LATERAL (SELECT l.run_at FROM {later} AS l",
        "WHERE l.priority OPERATOR(pg_catalog.=) p.priority AND l.run_at OPERATOR(pg_catalog.>=) $1",
        "ORDER BY l.run_at LIMIT 1) AS d",
    )


def put_back(table: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Put a job back that was claimed and not begun; where its id is taken by now, it gets a new one."""
    columns = _claimed(payload)
    values = ", ".join(f"${number}" for number in range(2, len(columns) + 1))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE",
        f"SELECT CASE WHEN EXISTS (SELECT FROM {table} AS t",
        f"WHERE t.priority OPERATOR(pg_catalog.=) ${len(columns) - 2} AND t.id OPERATOR(pg_catalog.=) $1)",
        f"THEN pg_catalog.nextval({quote_literal(sequence)}) ELSE $1 END,",
        values,
    )


def pick_suspect(table: str, later: str) -> SqlLines:
    """The first job that may run and has an id up to $1: its priority and id."""
    return (
        "WITH ready AS (",
        f"SELECT q.priority, q.id FROM {table} AS q WHERE q.id OPERATOR(pg_catalog.<=) $1",
        "ORDER BY q.priority, q.id LIMIT 1 FOR UPDATE SKIP LOCKED), waiting AS (",
        f"SELECT l.priority, l.id FROM {later} AS l WHERE l.id OPERATOR(pg_catalog.<=) $1",
        "AND l.run_at OPERATOR(pg_catalog.<=) pg_catalog.now()",
        "ORDER BY l.priority, l.run_at LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "SELECT s.priority, s.id FROM (SELECT priority, id FROM waiting UNION ALL SELECT priority, id FROM ready) AS s",
        "ORDER BY s.priority LIMIT 1",
    )


def claim_suspect(table: str, later: str, payload: Sequence[str]) -> SqlLines:
    """Take job $1 of priority $2 out of the table that has it."""
    columns = _claimed(payload)
    mine = "c.id OPERATOR(pg_catalog.=) $1 AND c.priority OPERATOR(pg_catalog.=) $2"
    return (
        "WITH ready AS (",
        f"DELETE FROM {table} AS q WHERE q.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT c.ctid FROM {table} AS c WHERE {mine} FOR UPDATE SKIP LOCKED))",
        f"RETURNING {_of('q', columns)}), waiting AS (",
        f"DELETE FROM {later} AS l WHERE l.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT c.ctid FROM {later} AS c WHERE {mine}",
        "AND c.run_at OPERATOR(pg_catalog.<=) pg_catalog.now() FOR UPDATE SKIP LOCKED))",
        f"RETURNING {_of('l', columns)})",
        f"SELECT {', '.join(columns)} FROM ready UNION ALL SELECT {', '.join(columns)} FROM waiting",
    )


def note_suspect(suspects: str) -> SqlLines:
    """Note that job $1 is about to run alone, in the life $2 of the server; returns in how many it was."""
    return (
        f"INSERT INTO {suspects} AS s (id, life) VALUES ($1, $2)",
        "ON CONFLICT (id) DO UPDATE SET crashes = s.crashes OPERATOR(pg_catalog.+)",
        "CASE WHEN s.life OPERATOR(pg_catalog.=) $2 THEN 0 ELSE 1 END, life = $2",
        "RETURNING crashes",
    )


def clear_suspect(suspects: str) -> SqlLines:
    """Job $1 has run, and the server still does."""
    return (f"DELETE FROM {suspects} AS s WHERE s.id OPERATOR(pg_catalog.=) $1",)


def clear_suspects(suspects: str) -> SqlLines:
    """No job has to be run alone."""
    return (f"DELETE FROM {suspects}",)


def retry(later: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Keep a failed job for another attempt: its columns, then run_at, error, SQLSTATE and context."""
    return _insert(later, sequence, (*_claimed(payload), "run_at", "error", "sqlstate", "context"))


def give_up(failed: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Keep a job that has failed for the last time: its columns, then error, SQLSTATE and context."""
    columns = ("id", *payload, "priority", "attempts", "created_at", "error", "sqlstate", "context")
    return _insert(failed, sequence, columns)


def enqueue(table: str, keys: str | None, payload: Sequence[str]) -> str:
    """The body of the function that puts a job into the queue: the payload, its priority, its key and for how long.

    The key is taken first. Whoever takes it at the same time waits for the end of this transaction.
    """
    last = len(payload) + 1
    values = ", ".join(f"${number}" for number in range(1, last + 1))
    if keys is None:
        return f"INSERT INTO {table} ({', '.join(payload)}, priority) VALUES ({values}) RETURNING id"
    return (
        f"{_take_key(keys, last + 1)} INSERT INTO {table} ({', '.join(payload)}, priority, unique_key)"
        f" SELECT {values}, ${last + 1} WHERE ${last + 1} IS NULL OR EXISTS (SELECT FROM taken) RETURNING id"
    )


def enqueue_at(later: str, keys: str | None, sequence: str, payload: Sequence[str]) -> str:
    """The same for a job that waits, with its time before all of that. A time that has passed is now."""
    last = len(payload) + 2
    values = ", ".join(f"${number}" for number in range(2, last + 1))
    number, time = f"pg_catalog.nextval({quote_literal(sequence)})", "GREATEST($1, pg_catalog.now())"
    columns = f"id, {', '.join(payload)}, priority, run_at"
    if keys is None:
        return f"INSERT INTO {later} ({columns}) VALUES ({number}, {values}, {time}) RETURNING id"
    return (
        f"{_take_key(keys, last + 1)} INSERT INTO {later} ({columns}, unique_key)"
        f" SELECT {number}, {values}, {time}, ${last + 1}"
        f" WHERE ${last + 1} IS NULL OR EXISTS (SELECT FROM taken) RETURNING id"
    )


def _take_key(keys: str, key: int) -> str:
    """Take the key that parameter ``key`` is, for as long as the next one says; ``taken`` has a row if it was free."""
    return (
        f"WITH taken AS (INSERT INTO {keys} AS k (key, until)"
        f" SELECT ${key}, pg_catalog.now() OPERATOR(pg_catalog.+) ${key + 1} WHERE ${key} IS NOT NULL"
        # looked at without a lock: ON CONFLICT would lock the row of a job that is in hand, and its worker would wait
        f" AND NOT EXISTS (SELECT FROM {keys} AS t WHERE t.key OPERATOR(pg_catalog.=) ${key}"
        " AND (t.pending OR t.until OPERATOR(pg_catalog.>) pg_catalog.now()))"
        " ON CONFLICT (key) DO UPDATE SET until = excluded.until, pending = true"
        " WHERE NOT k.pending AND k.until OPERATOR(pg_catalog.<=) pg_catalog.now() RETURNING k.key)"
    )


def release_keys(keys: str) -> SqlLines:
    """The jobs with the keys $1 are over: a key that is taken for some time is free after that, the others are now."""
    mine = "k.key OPERATOR(pg_catalog.=) ANY ($1)"
    return (
        f"WITH free AS (DELETE FROM {keys} AS k WHERE {mine}",
        "AND (k.until IS NULL OR k.until OPERATOR(pg_catalog.<=) pg_catalog.now()))",
        f"UPDATE {keys} AS k SET pending = false WHERE {mine} AND k.until OPERATOR(pg_catalog.>) pg_catalog.now()",
    )


def retry_failed(later: str, failed: str, sequence: str, payload: Sequence[str]) -> str:
    """The body of the function that has jobs run now, by a due time: that is told of, unlike an old id."""
    columns = ("id", *payload, "priority", "created_at")
    wanted = "$1 IS NULL OR f.id OPERATOR(pg_catalog.=) ANY ($1)"
    return (
        f"WITH again AS (DELETE FROM {failed} AS f WHERE {wanted} RETURNING {_of('f', columns)}),"
        f" moved AS (INSERT INTO {later} ({', '.join(columns)}, run_at)"
        f" SELECT CASE WHEN EXISTS (SELECT FROM {later} AS t WHERE t.id OPERATOR(pg_catalog.=) again.id)"
        f" THEN pg_catalog.nextval({quote_literal(sequence)}) ELSE again.id END,"
        f" {_of('again', columns[1:])}, pg_catalog.now() FROM again RETURNING id),"
        f" forward AS (UPDATE {later} AS l SET run_at = pg_catalog.now() WHERE l.id OPERATOR(pg_catalog.=) ANY ($1)"
        " AND l.run_at OPERATOR(pg_catalog.>) pg_catalog.now() RETURNING l.id)"
        " SELECT (SELECT pg_catalog.count(*) FROM moved)"
        " OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM forward)"
    )


def cancel(table: str, later: str, keys: str | None) -> str:
    """The body of the function that removes a job, and frees its key; one that somebody has in hand is left."""
    returned = "t.id, t.unique_key" if keys else "t.id"

    def removed(name: str, where: str) -> str:
        return (
            f"DELETE FROM {name} AS t WHERE t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
            f"SELECT c.ctid FROM {name} AS c WHERE {where}c.id OPERATOR(pg_catalog.=) $1 FOR UPDATE SKIP LOCKED))"
            f" RETURNING {returned}"
        )

    # the index begins with the priority
    priorities = "c.priority OPERATOR(pg_catalog.=) ANY ('{0,1,2,3,4,5,6,7,8,9}'::pg_catalog.int2[]) AND "
    free = ""
    if keys:
        gone = "SELECT unique_key FROM ready UNION ALL SELECT unique_key FROM waiting"
        free = f", free AS (DELETE FROM {keys} AS k WHERE k.key OPERATOR(pg_catalog.=) ANY (ARRAY({gone})))"
    return (
        f"WITH ready AS ({removed(table, priorities)}), waiting AS ({removed(later, '')}){free}"
        " SELECT EXISTS (SELECT FROM ready) OR EXISTS (SELECT FROM waiting)"
    )


def purge(failed: str, keys: str | None) -> str:
    """The body of the function that removes jobs that were given up, and keys that are free by now."""
    free = ""
    if keys:
        free = (
            f"WITH free AS (DELETE FROM {keys} AS k WHERE NOT k.pending"
            " AND k.until OPERATOR(pg_catalog.<=) pg_catalog.now()), "
        )
    return (
        f"{free or 'WITH '}gone AS (DELETE FROM {failed} AS f WHERE f.failed_at OPERATOR(pg_catalog.<=)"
        " (pg_catalog.now() OPERATOR(pg_catalog.-) $1) RETURNING f.id) SELECT pg_catalog.count(*) FROM gone"
    )


def accept_copy(copies: str) -> SqlLines:
    """Let one row stand for the database as it is now."""
    return (
        f"WITH others AS (DELETE FROM {copies})",
        f"INSERT INTO {copies} (restored) VALUES (false)",
    )


def _insert(table: str, sequence: str, columns: Sequence[str]) -> SqlLines:
    """One row; where its id is taken, which takes a restarted sequence, it gets the next free one of the table.

    Whoever may write the column id may use up the largest number. Then the sequence gives one: if that is taken too the
    round fails, and the next one gets another.
    """
    values = ", ".join(f"${number}" for number in range(2, len(columns) + 1))
    return (
        f"INSERT INTO {table} ({', '.join(columns)})",
        f"SELECT CASE WHEN EXISTS (SELECT FROM {table} AS t WHERE t.id OPERATOR(pg_catalog.=) $1)",
        f"THEN (SELECT CASE WHEN pg_catalog.max(t.id) OPERATOR(pg_catalog.<) {2**63 - 1}",
        f"THEN pg_catalog.max(t.id) OPERATOR(pg_catalog.+) 1 ELSE pg_catalog.nextval({quote_literal(sequence)}) END",
        f"FROM {table} AS t) ELSE $1 END,",
        values,
    )


def _claimed(payload: Sequence[str]) -> tuple[str, ...]:
    """The columns of a job that is claimed, in the order of the table."""
    return ("id", *payload, "priority", "attempt", "created_at")


def _of(alias: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{column}" for column in columns)
