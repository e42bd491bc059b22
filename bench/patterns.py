"""Subjects that are SQL: the queue as people write it by hand, pgmq, and one statement that does it all.

Their consumers are procedures that run in the server as well, and call the same handler: no subject pays for a network
that the others do not have.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.environments import pgmq_sql
from bench.ground import PAYLOAD, Ground

__all__ = ["NAIVE", "PGMQ", "Pattern", "PatternQueue", "one_delete", "one_move"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to keep a queue in SQL.

    ``insert`` adds jobs from a query named in braces; ``drain`` is what one consumer runs until no job is left, with
    the size of a batch in braces; ``churn`` takes all jobs that there are through at once, and leaves behind as many
    dead rows as batches would.
    """

    name: str
    table: str
    setup: str
    insert: str
    drain: str
    churn: str = ""


_NAIVE = """
CREATE TABLE bench.naive (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status text NOT NULL DEFAULT 'pending',
    attempt integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    payload jsonb NOT NULL
);
CREATE INDEX ON bench.naive (created_at) WHERE status = 'pending';
CREATE PROCEDURE bench.drain_naive(batch integer) LANGUAGE plpgsql AS $$
DECLARE
    job record;
    taken integer;
BEGIN
    LOOP
        taken := 0;
        FOR job IN EXECUTE
            'UPDATE bench.naive SET status = ''processing'', started_at = now() WHERE id IN ('
            ' SELECT id FROM bench.naive WHERE status = ''pending'' ORDER BY created_at LIMIT $1'
            ' FOR UPDATE SKIP LOCKED) RETURNING id, payload' USING batch
        LOOP
            EXECUTE 'SELECT bench.handle($1, $2)' USING job.id, job.payload;
            EXECUTE 'UPDATE bench.naive SET status = ''done'' WHERE id = $1' USING job.id;
            taken := taken + 1;
        END LOOP;
        COMMIT;
        EXIT WHEN taken = 0;
    END LOOP;
END $$;
"""

NAIVE = Pattern(
    name="naive",
    table="bench.naive",
    setup=_NAIVE,
    insert=f"INSERT INTO bench.naive (payload) SELECT {PAYLOAD} FROM {{0}}",
    drain="CALL bench.drain_naive({0})",
    churn="UPDATE bench.naive SET status = 'processing', started_at = now() WHERE status = 'pending';"
    " UPDATE bench.naive SET status = 'done' WHERE status = 'processing'",
)

_PGMQ = """
SELECT pgmq.create('bench');
CREATE PROCEDURE bench.drain_pgmq(batch integer) LANGUAGE plpgsql AS $$
DECLARE
    job record;
    taken bigint[];
BEGIN
    LOOP
        taken := '{}';
        FOR job IN SELECT msg_id, message FROM pgmq.read('bench', 30, batch) LOOP
            PERFORM bench.handle(job.msg_id, job.message);
            taken := taken || job.msg_id;
        END LOOP;
        EXIT WHEN cardinality(taken) = 0;
        PERFORM pgmq.delete('bench', taken);
        COMMIT;
    END LOOP;
END $$;
"""

PGMQ = Pattern(
    name="pgmq",
    table="pgmq.q_bench",
    setup=_PGMQ,
    insert=f"SELECT count(*) FROM pgmq.send_batch('bench', ARRAY(SELECT {PAYLOAD} FROM {{0}}))",
    drain="CALL bench.drain_pgmq({0})",
    churn="SELECT count(*) FROM pgmq.delete('bench', ARRAY(SELECT msg_id FROM pgmq.read('bench', 30, 10000000)))",
)


def one_delete(like: str) -> Pattern:
    """The limit: all jobs deleted by one statement, from a table as that of our queue, and none handled."""
    return Pattern(
        name="one DELETE statement",
        table="bench.deleted",
        setup=f"CREATE TABLE bench.deleted (LIKE {like} INCLUDING ALL);",
        insert=f"INSERT INTO bench.deleted (payload) SELECT {PAYLOAD} FROM {{0}}",
        drain="DELETE FROM bench.deleted",
    )


def one_move(like: str) -> Pattern:
    """The limit of a handler that inserts: all jobs moved by one statement, from a table as that of our queue."""
    moved = "WITH job AS (DELETE FROM bench.moved RETURNING id, payload)"
    return Pattern(
        name="one statement that moves",
        table="bench.moved",
        setup=f"CREATE TABLE bench.moved (LIKE {like} INCLUDING ALL);",
        insert=f"INSERT INTO bench.moved (payload) SELECT {PAYLOAD} FROM {{0}}",
        drain=f"{moved} INSERT INTO bench.written SELECT id, (payload->>'n')::integer FROM job",
    )


class PatternQueue:
    """A pattern as a subject, with so many consumers and such a batch.

    Raises:
        Unavailable: what it needs could not be installed.
    """

    claims = ""

    def __init__(self, ground: Ground, pattern: Pattern, *, batch: int = 100, consumers: int = 1) -> None:
        self.name = pattern.name
        self.ground = ground
        self.pattern = pattern
        self.batch = batch
        self.consumers = consumers
        self.table = pattern.table
        if ground.value("SELECT to_regclass(%s) IS NULL", [pattern.table]):
            script = pgmq_sql() if pattern.name == PGMQ.name else ""
            ground.rows(script + pattern.setup)

    def clear(self) -> None:
        """Empty the queue, as that of ours is emptied: the sequence goes on."""
        self.ground.rows(f"TRUNCATE {self.table}")

    def fill(self, count: int) -> None:
        """Add jobs."""
        self.ground.rows(self.pattern.insert.format(f"generate_series(1, {count}) AS g"))

    def churn(self, count: int) -> None:
        """Take so many jobs through, in one go."""
        self.fill(count)
        self.ground.rows(self.pattern.churn)

    def drain(self) -> float:
        """Start all consumers at once, and wait until they have found nothing more; in seconds."""
        statement = self.pattern.drain.format(self.batch).encode()
        ready = threading.Barrier(self.consumers + 1)

        def consume() -> None:
            with self.ground.connect() as connection:
                ready.wait()
                connection.execute(statement)

        with ThreadPoolExecutor(self.consumers) as pool:
            running = [pool.submit(consume) for _ in range(self.consumers)]
            ready.wait()
            started = time.perf_counter()
            for each in running:
                each.result()
            return time.perf_counter() - started
