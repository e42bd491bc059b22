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
    "acknowledge",
    "acknowledge_and_keep",
    "cancel",
    "claim",
    "claim_due",
    "claim_suspect",
    "clear_suspect",
    "clear_suspects",
    "counts",
    "end_leases",
    "enqueue",
    "enqueue_at",
    "enqueue_many",
    "extend",
    "find_leases",
    "forget_done",
    "give_up",
    "is_paused",
    "keep_done",
    "lease",
    "list_partitions",
    "next_due",
    "next_end",
    "note_suspect",
    "pause",
    "pick_suspect",
    "purge",
    "put_back",
    "release_keys",
    "resume",
    "retry",
    "retry_failed",
    "take_back",
    "void_suspects",
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
    """Note that job $1 is about to run in the life $2 of the server, and whether alone ($3).

    Returns in how many lives it was alone, and in how many not.
    """
    same = "s.life OPERATOR(pg_catalog.=) $2"
    return (
        f"INSERT INTO {suspects} AS s (id, life, alone) VALUES ($1, $2, $3)",
        "ON CONFLICT (id) DO UPDATE SET crashes = s.crashes OPERATOR(pg_catalog.+)",
        f"CASE WHEN {same} OR NOT s.alone THEN 0 ELSE 1 END,",
        f"voided = s.voided OPERATOR(pg_catalog.+) CASE WHEN {same} OR s.alone THEN 0 ELSE 1 END,",
        "life = $2, alone = $3",
        "RETURNING crashes, voided",
    )


def void_suspects(suspects: str) -> SqlLines:
    """Whatever is noted in the life $1 of the server is no longer alone."""
    return (f"UPDATE {suspects} AS s SET alone = false WHERE s.life OPERATOR(pg_catalog.=) $1 AND s.alone",)


def clear_suspect(suspects: str) -> SqlLines:
    """Job $1 has run, and the server still does."""
    return (f"DELETE FROM {suspects} AS s WHERE s.id OPERATOR(pg_catalog.=) $1",)


def clear_suspects(suspects: str) -> SqlLines:
    """No job has to be run alone, but for one that somebody still does."""
    return (
        f"DELETE FROM {suspects} AS s WHERE s.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT o.ctid FROM {suspects} AS o FOR UPDATE SKIP LOCKED))",
    )


def retry(later: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Keep a failed job for another attempt: its columns, then run_at, error, SQLSTATE and context."""
    return _insert(later, sequence, (*_claimed(payload), "run_at", "error", "sqlstate", "context"))


def give_up(failed: str, sequence: str, payload: Sequence[str]) -> SqlLines:
    """Keep a job that has failed for the last time: its columns, then error, SQLSTATE and context."""
    columns = ("id", *payload, "priority", "attempts", "created_at", "error", "sqlstate", "context")
    return _insert(failed, sequence, columns)


def lease(running: str, payload: Sequence[str]) -> SqlLines:
    """Write down the jobs that C hands over as a relation named claimed."""
    columns = ", ".join((*_claimed(payload), "lease_end", "token", "who"))
    return (f"INSERT INTO {running} ({columns})", f"SELECT {columns} FROM claimed")


def acknowledge(running: str, keys: str | None) -> SqlLines:
    """Forget the leases with ids $1 and tokens $2; returns the places of those that were held, and the keys."""
    return (
        f"DELETE FROM {running} AS r USING {_NAMED_LEASES}",
        f"WHERE {_SAME_LEASE}",
        "RETURNING g.number, r.unique_key" if keys else "RETURNING g.number",
    )


def acknowledge_and_keep(running: str, done: str, keys: str | None, payload: Sequence[str]) -> SqlLines:
    """The same where jobs that are done are kept."""
    columns = ("id", *payload, "priority", "attempt", "created_at")
    return (
        f"WITH gone AS (DELETE FROM {running} AS r USING {_NAMED_LEASES}",
        f"WHERE {_SAME_LEASE} RETURNING {_of('r', columns)}, g.number),",
        f"kept AS (INSERT INTO {done} ({', '.join(('id', *payload, 'priority', 'attempts', 'created_at'))})",
        f"SELECT {_of('gone', columns)} FROM gone)",
        f"SELECT gone.number{', gone.unique_key' if keys else ''} FROM gone",
    )


def keep_done(done: str, payload: Sequence[str]) -> SqlLines:
    """Keep the jobs that C hands over as a relation named finished, with the claimed columns in order."""
    last = len(payload) + 3
    values = ", ".join(f"f.c{number}" for number in range(1, last))
    return (
        f"INSERT INTO {done} (id, {', '.join(payload)}, priority, attempts, created_at)",
        f"SELECT {values}, GREATEST(f.c{last}, 0) OPERATOR(pg_catalog.+) 1, f.c{last + 1} FROM finished AS f",
    )


def list_partitions(schema: str, prefix: str, done: str, default: str, us: int) -> SqlLines:
    """Statements that make the partitions of today and of the next two days, and drop those whose time is over.

    Days are of UTC. A day of which jobs lie in the default partition gets none: they would have to be moved.
    """
    named = quote_literal(prefix)
    relname = "c.relname::pg_catalog.text"
    last_day = f"pg_catalog.to_date(pg_catalog.right({relname}, 8), 'YYYYMMDD')"
    return (
        "WITH days AS (SELECT n.day AT TIME ZONE 'UTC' AS first,",
        "(n.day OPERATOR(pg_catalog.+) '1 day'::pg_catalog.interval) AT TIME ZONE 'UTC' AS last,",
        f"{named} OPERATOR(pg_catalog.||) pg_catalog.to_char(n.day, 'YYYYMMDD') AS name",
        "FROM (SELECT pg_catalog.date_trunc('day', pg_catalog.now() AT TIME ZONE 'UTC')",
        "OPERATOR(pg_catalog.+) pg_catalog.make_interval(days => g)",
        "FROM pg_catalog.generate_series(0, 2) AS g) AS n(day))",
        "SELECT pg_catalog.format('CREATE TABLE %1$I.%2$I PARTITION OF %3$s FOR VALUES FROM (%4$L) TO (%5$L)",
        "USING heap; CREATE INDEX %6$I ON %1$I.%2$I (id)',",
        f"{quote_literal(schema)}, d.name, {quote_literal(done)}, d.first, d.last,",
        "d.name OPERATOR(pg_catalog.||) '_id_idx')",
        "FROM days AS d",
        f"WHERE pg_catalog.to_regclass(pg_catalog.format('%I.%I', {quote_literal(schema)}, d.name)) IS NULL",
        f"AND NOT EXISTS (SELECT FROM {default} AS r WHERE r.done_at OPERATOR(pg_catalog.>=) d.first",
        "AND r.done_at OPERATOR(pg_catalog.<) d.last)",
        "UNION ALL",
        "SELECT pg_catalog.format('DROP TABLE %s', c.oid::pg_catalog.regclass)",
        "FROM pg_catalog.pg_inherits AS i",
        "JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid",
        f"WHERE i.inhparent OPERATOR(pg_catalog.=) {quote_literal(done)}::pg_catalog.regclass",
        f"AND pg_catalog.length({relname}) OPERATOR(pg_catalog.=) {len(prefix) + 8}",
        f"AND pg_catalog.left({relname}, {len(prefix)}) OPERATOR(pg_catalog.=) {named}",
        f"AND pg_catalog.right({relname}, 8) OPERATOR(pg_catalog.~) '^[0-9]+$'",
        f"AND ({last_day} OPERATOR(pg_catalog.+) 1)::pg_catalog.timestamp AT TIME ZONE 'UTC'",
        f"OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.-) {_interval(us)})",
    )


def forget_done(default: str, us: int) -> SqlLines:
    """Remove what has been in the default partition for long enough."""
    return (
        f"DELETE FROM {default} AS r WHERE r.done_at OPERATOR(pg_catalog.<=)",
        f"(pg_catalog.now() OPERATOR(pg_catalog.-) {_interval(us)})",
    )


def _interval(us: int) -> str:
    return f"'{us // 1_000_000} s'::pg_catalog.interval"


def extend(running: str) -> SqlLines:
    """Have the leases with ids $1 and tokens $2 end at $3; returns the places of those that are held."""
    return (
        f"UPDATE {running} AS r SET lease_end = $3 FROM {_NAMED_LEASES}",
        f"WHERE {_SAME_LEASE}",
        "RETURNING g.number",
    )


def find_leases(running: str) -> SqlLines:
    """Which of the ids $1 leased jobs have."""
    return (f"SELECT r.id FROM {running} AS r WHERE r.id OPERATOR(pg_catalog.=) ANY ($1)",)


def take_back(running: str, payload: Sequence[str]) -> SqlLines:
    """Take the jobs with ids $1 and tokens $2 out, as they were before they were claimed, and where each stands."""
    return (
        f"DELETE FROM {running} AS r USING {_NAMED_LEASES}",
        f"WHERE {_SAME_LEASE}",
        f"RETURNING g.number, {_unclaimed('r', payload)}",
    )


def end_leases(running: str, payload: Sequence[str]) -> SqlLines:
    """Take up to $2 jobs whose lease has ended, and not before $1, and who had them."""
    return (
        f"DELETE FROM {running} AS r",
        "WHERE r.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(",
        f"SELECT e.ctid FROM {running} AS e WHERE e.lease_end OPERATOR(pg_catalog.>=) $1",
        "AND e.lease_end OPERATOR(pg_catalog.<=) pg_catalog.now()",
        "ORDER BY e.lease_end LIMIT $2 FOR UPDATE SKIP LOCKED))",
        f"RETURNING r.who, {_unclaimed('r', payload)}",
    )


def next_end(running: str) -> SqlLines:
    """When the first lease ends that does not end before $1."""
    return (
        f"SELECT r.lease_end FROM {running} AS r WHERE r.lease_end OPERATOR(pg_catalog.>=) $1",
        "ORDER BY r.lease_end LIMIT 1",
    )


_NAMED_LEASES = "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS g(id, token, number)"
_SAME_LEASE = "r.id OPERATOR(pg_catalog.=) g.id AND r.token OPERATOR(pg_catalog.=) g.token"


def _unclaimed(alias: str, payload: Sequence[str]) -> str:
    """The columns of a leased job as they were before its attempt was counted."""
    return f"{_of(alias, ('id', *payload, 'priority'))}, {alias}.attempt OPERATOR(pg_catalog.-) 1, {alias}.created_at"


def is_paused(paused: str, queue: str) -> SqlLines:
    """A row where the queue is paused."""
    return (f"SELECT 1 FROM {paused} AS p WHERE p.queue OPERATOR(pg_catalog.=) {quote_literal(queue)}",)


def pause(paused: str, queue: str) -> str:
    """The body of the function that pauses a queue; whether it was not."""
    return (
        f"WITH p AS (INSERT INTO {paused} (queue) VALUES ({quote_literal(queue)}) ON CONFLICT DO NOTHING"
        " RETURNING queue) SELECT EXISTS (SELECT FROM p)"
    )


def resume(paused: str, queue: str) -> str:
    """The body of the function that lets it go on; whether it was paused."""
    return (
        f"WITH p AS (DELETE FROM {paused} AS p WHERE p.queue OPERATOR(pg_catalog.=) {quote_literal(queue)}"
        " RETURNING p.queue) SELECT EXISTS (SELECT FROM p)"
    )


def counts(tables: Sequence[tuple[str, str]]) -> str:
    """The body of the function that counts jobs by status, in a time that does not depend on how many there are.

    A small table is counted. For another the server's own statistics have the number of rows, which every transaction
    reports as it ends; after a crash they are lost, and the estimate of the last vacuum or analyze stands in.
    """

    def one(status: str, table: str) -> str:
        relation = f"{quote_literal(table)}::pg_catalog.regclass"
        live = f"pg_catalog.pg_stat_get_live_tuples({relation})"
        seen = f"pg_catalog.pg_stat_get_tuples_inserted({relation}) OPERATOR(pg_catalog.+) {live}"
        estimate = (
            "(SELECT GREATEST(c.reltuples, 0)::pg_catalog.int8 FROM pg_catalog.pg_class AS c"
            f" WHERE c.oid OPERATOR(pg_catalog.=) {relation})"
        )
        return (
            f"SELECT {quote_literal(status)}::pg_catalog.text, CASE WHEN s.small"
            f" THEN (SELECT pg_catalog.count(*) FROM {table}) WHEN ({seen}) OPERATOR(pg_catalog.>) 0"
            f" THEN {live} ELSE {estimate} END, s.small"
            f" FROM (SELECT pg_catalog.pg_relation_size({relation}) OPERATOR(pg_catalog.<=) {_SMALL}) AS s(small)"
        )

    return " UNION ALL ".join(one(status, table) for status, table in tables)


_SMALL = 64 * 8192


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


def enqueue_many(table: str, keys: str | None, payload: Sequence[tuple[str, str]]) -> str:
    """The body of the function that puts jobs in that are the objects of a JSON array; returns their ids, in order.

    ``payload`` has names and types. Of several jobs with one key the first is put in.
    """
    fields = [*payload, ("priority", "pg_catalog.int2")]
    names = ", ".join(name for name, _ in fields)
    values = ", ".join([*(f"g.{name}" for name, _ in payload), "COALESCE(g.priority, 5)"])
    if keys is not None:
        fields += [("unique_key", "pg_catalog.text"), ("unique_for", "pg_catalog.interval")]
    given = (
        "WITH given AS (SELECT g.* FROM ROWS FROM (pg_catalog.jsonb_to_recordset($1) AS"
        f" ({', '.join(f'{name} {type_}' for name, type_ in fields)})) WITH ORDINALITY"
        f" AS g({', '.join(name for name, _ in fields)}, number))"
    )
    if keys is None:
        return f"{given} INSERT INTO {table} ({names}) SELECT {values} FROM given AS g ORDER BY g.number RETURNING id"
    # keys in their order, so that two transactions that take some wait for each other, and not both
    return (
        f"{given}, firsts AS (SELECT DISTINCT ON (g.unique_key) g.unique_key, g.unique_for, g.number FROM given AS g"
        " WHERE g.unique_key IS NOT NULL ORDER BY g.unique_key, g.number),"
        f" taken AS (INSERT INTO {keys} AS k (key, until)"
        " SELECT f.unique_key, pg_catalog.now() OPERATOR(pg_catalog.+) f.unique_for FROM firsts AS f"
        f" WHERE NOT EXISTS ({_key_is_taken(keys, 'f.unique_key')}) ORDER BY f.unique_key"
        f" {_ON_FREE_KEY})"
        f" INSERT INTO {table} ({names}, unique_key) SELECT {values}, g.unique_key FROM given AS g"
        " WHERE g.unique_key IS NULL OR EXISTS (SELECT FROM firsts AS f JOIN taken AS t"
        " ON t.key OPERATOR(pg_catalog.=) f.unique_key WHERE f.number OPERATOR(pg_catalog.=) g.number)"
        " ORDER BY g.number RETURNING id"
    )


def _take_key(keys: str, key: int) -> str:
    """Take the key that parameter ``key`` is, for as long as the next one says; ``taken`` has a row if it was free."""
    return (
        f"WITH taken AS (INSERT INTO {keys} AS k (key, until)"
        f" SELECT ${key}, pg_catalog.now() OPERATOR(pg_catalog.+) ${key + 1} WHERE ${key} IS NOT NULL"
        f" AND NOT EXISTS ({_key_is_taken(keys, f'${key}')}) {_ON_FREE_KEY})"
    )


def _key_is_taken(keys: str, key: str) -> str:
    """Looks without a lock: ON CONFLICT would lock the row of a job that is in hand, and its worker would wait."""
    return (
        f"SELECT FROM {keys} AS t WHERE t.key OPERATOR(pg_catalog.=) {key}"
        " AND (t.pending OR t.until OPERATOR(pg_catalog.>) pg_catalog.now())"
    )


_ON_FREE_KEY = (
    "ON CONFLICT (key) DO UPDATE SET until = excluded.until, pending = true"
    " WHERE NOT k.pending AND k.until OPERATOR(pg_catalog.<=) pg_catalog.now() RETURNING k.key"
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


def cancel(table: str, later: str, running: str | None, keys: str | None) -> str:
    """The body of the function that removes a job, and frees its key; one that a worker has in hand is left."""
    returned = "t.id, t.unique_key" if keys else "t.id"

    def removed(name: str, where: str) -> str:
        return (
            f"DELETE FROM {name} AS t WHERE t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
            f"SELECT c.ctid FROM {name} AS c WHERE {where}c.id OPERATOR(pg_catalog.=) $1 FOR UPDATE SKIP LOCKED))"
            f" RETURNING {returned}"
        )

    # the index begins with the priority
    priorities = "c.priority OPERATOR(pg_catalog.=) ANY ('{0,1,2,3,4,5,6,7,8,9}'::pg_catalog.int2[]) AND "
    found = {"ready": removed(table, priorities), "waiting": removed(later, "")}
    if running is not None:
        found["leased"] = removed(running, "")
    free = ""
    if keys:
        gone = " UNION ALL ".join(f"SELECT unique_key FROM {name}" for name in found)
        free = f", free AS (DELETE FROM {keys} AS k WHERE k.key OPERATOR(pg_catalog.=) ANY (ARRAY({gone})))"
    return f"WITH {', '.join(f'{name} AS ({text})' for name, text in found.items())}{free} SELECT " + " OR ".join(
        f"EXISTS (SELECT FROM {name})" for name in found
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
