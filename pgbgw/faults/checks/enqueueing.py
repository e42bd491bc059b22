"""Enqueueing, in every kind of transaction."""

from __future__ import annotations

from pgbgw.faults.check import check
from pgbgw.faults.jobs import columns_of, copy_in, counted, never, soon, texts, wake_up_alone
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.sqltext import quote_literal

__all__: list[str] = []


@check(
    "enqueue.insert",
    "INSERT commits while workers look by themselves once an hour",
    "The commit wakes the workers, and the job is done within milliseconds.",
    rules=(13, 44),
    needs=("queue",),
)
def insert(stage: Stage) -> str:
    """The wake-up alone does it, for each queue."""
    wake_up_alone(stage)
    waits = []
    for line in stage.lines:
        for start in range(1, 11):
            jobs = stage.enqueue(line, 1, start=start)
            waits.append(soon(stage, line, jobs))
            stage.audit(line, jobs)
    return f"{len(waits)} jobs done, each seen {min(waits):.0f} to {max(waits):.0f} ms after its commit"


@check(
    "enqueue.copy",
    "COPY commits while workers look by themselves once an hour",
    "COPY wakes the workers as INSERT does.",
    rules=(44,),
    needs=("queue",),
)
def copy(stage: Stage) -> str:
    """COPY FROM STDIN, by a client."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        payloads = texts(stage, line, 200)
        with counted(stage, line) as jobs, stage.connect() as connection:
            copy_in(connection, line, payloads)
        require(len(jobs) == 200, f"ids given: {len(jobs)}")
        wait = soon(stage, line, jobs)
        seen = f"{stage.audit(line, jobs)}, {wait:.0f} ms after the commit"
    return seen


@check(
    "enqueue.uncommitted",
    "a transaction that has enqueued stays open while others commit; then it commits, or is rolled back",
    "Its jobs are seen when it commits, and not before; after a rollback there are none.",
    rules=(44,),
    needs=("queue",),
)
def uncommitted(stage: Stage) -> str:
    """Workers look while jobs are not committed yet."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        with stage.connect() as slow, stage.connect() as undone:
            slow.execute("BEGIN")
            late = stage.enqueue(line, 3, connection=slow)
            undone.execute("BEGIN")
            dropped = stage.enqueue(line, 3, connection=undone)
            soon(stage, line, stage.enqueue(line, 2))
            never(stage, line, [*late, *dropped], "before their transaction has ended")
            undone.execute("ROLLBACK")
            slow.execute("COMMIT")
            soon(stage, line, late)
        seen = stage.audit(line, late)
        never(stage, line, dropped, "though rolled back")
    return f"{seen}; none of those that were rolled back"


@check(
    "enqueue.prepared",
    "PREPARE TRANSACTION with jobs in it, then COMMIT PREPARED",
    "It wakes nobody: the jobs are found when the workers look by themselves.",
    rules=(44,),
    needs=("queue",),
)
def prepared(stage: Stage) -> str:
    """Not seen while prepared, not lost when committed."""
    seen = ""
    for line in stage.lines:
        jobs = _prepare(stage, line)
        stage.rows(f"COMMIT PREPARED '{SCHEMA}'")
        soon(stage, line, jobs)
        seen = stage.audit(line, jobs)
    return f"{seen}; none while they were prepared"


@check(
    "enqueue.rollback_prepared",
    "PREPARE TRANSACTION with jobs in it, then ROLLBACK PREPARED",
    "There were no jobs.",
    rules=(44,),
    needs=("queue",),
)
def rollback_prepared(stage: Stage) -> str:
    """Nothing is left of them, and the next jobs are done."""
    for line in stage.lines:
        jobs = _prepare(stage, line)
        stage.rows(f"ROLLBACK PREPARED '{SCHEMA}'")
        stage.audit(line, stage.enqueue(line, 5))
        never(stage, line, jobs, "though rolled back")
    return "none of the prepared jobs was done, and those enqueued after them were"


def _prepare(stage: Stage, line: Line) -> list[int]:
    """Jobs of a prepared transaction, after a worker has looked and not found them."""
    with stage.connect() as connection:
        connection.execute("BEGIN")
        jobs = stage.enqueue(line, 5, connection=connection)
        connection.execute(f"PREPARE TRANSACTION '{SCHEMA}'".encode())
    soon(stage, line, stage.enqueue(line))
    never(stage, line, jobs, "while prepared")
    return jobs


@check(
    "enqueue.savepoint",
    "jobs are enqueued before, in and after a savepoint that is rolled back",
    "Those of the savepoint are gone, the others are done, and the commit wakes the workers.",
    rules=(44,),
    needs=("queue",),
)
def savepoint(stage: Stage) -> str:
    """ROLLBACK TO takes back jobs, not the wake-up."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        with stage.connect() as connection, connection.transaction():
            jobs = stage.enqueue(line, 1, connection=connection)
            connection.execute("SAVEPOINT undone")
            gone = stage.enqueue(line, 2, connection=connection)
            connection.execute("SAVEPOINT within")
            gone += stage.enqueue(line, 1, connection=connection)
            connection.execute("RELEASE within; ROLLBACK TO undone; SAVEPOINT kept")
            jobs += stage.enqueue(line, 2, connection=connection)
            connection.execute("RELEASE kept")
        soon(stage, line, jobs)
        with stage.connect() as connection, connection.transaction():
            connection.execute("SAVEPOINT undone")
            gone += stage.enqueue(line, 2, connection=connection)
            connection.execute("ROLLBACK TO undone")
        seen = stage.audit(line, jobs)
        never(stage, line, gone, "though their savepoint was rolled back")
    return f"{seen}; none of those in the savepoints that were rolled back"


@check(
    "enqueue.subtransactions",
    "a transaction enqueues in 200 subtransactions, a third of them rolled back, while workers look",
    "More subtransactions than a process keeps account of change nothing: jobs come with the commit, or not at all.",
    rules=(44,),
    needs=("queue",),
)
def subtransactions(stage: Stage) -> str:
    """More than the 64 that stand in the proc array (PGPROC_MAX_CACHED_SUBXIDS)."""
    wake_up_alone(stage)
    line = stage.lines[0]
    jobs: list[int] = []
    gone: list[int] = []
    with stage.connect() as connection, connection.transaction():
        for number in range(200):
            connection.execute("SAVEPOINT step")
            (gone if number % 3 == 2 else jobs).extend(stage.enqueue(line, 1, connection=connection))
            connection.execute("ROLLBACK TO step" if number % 3 == 2 else "RELEASE step")
        soon(stage, line, stage.enqueue(line))
        never(stage, line, [*jobs, *gone], "before the commit")
    soon(stage, line, jobs)
    seen = stage.audit(line, jobs)
    never(stage, line, gone, "though their subtransaction was rolled back")
    return seen


@check(
    "enqueue.exception",
    "a PL/pgSQL block catches an error after it has enqueued",
    "What the block has enqueued is undone with it; what its handler enqueues is done.",
    rules=(44,),
    needs=("queue",),
)
def exception(stage: Stage) -> str:
    """EXCEPTION is a subtransaction."""
    wake_up_alone(stage)
    line = stage.lines[0]
    first, second = (
        f"INSERT INTO {line.queue.table} ({columns_of(line)}) SELECT {', '.join(line.payload)}"
        f" FROM generate_series(1::bigint, {count}) AS g"
        for count in (3, 2)
    )
    block = f"{first}; RAISE EXCEPTION 'undo'; EXCEPTION WHEN raise_exception THEN {second};"
    with counted(stage, line) as given:
        stage.rows(f"DO {quote_literal(f'BEGIN {block} END')}")
    gone, jobs = given[:3], given[3:]
    require(len(jobs) == 2, f"ids given: {given}")
    soon(stage, line, jobs)
    seen = stage.audit(line, jobs)
    never(stage, line, gone, "though their block was undone")
    return seen


@check(
    "enqueue.deferred_trigger",
    "a deferred constraint trigger enqueues at commit",
    "Also a job that is enqueued by the commit itself wakes the workers.",
    rules=(44,),
    needs=("queue",),
)
def deferred_trigger(stage: Stage) -> str:
    """The last moment at which a transaction can enqueue."""
    wake_up_alone(stage)
    line = stage.lines[0]
    add = (
        f"INSERT INTO {line.queue.table} ({columns_of(line)}) SELECT {', '.join(line.payload)}"
        " FROM generate_series(1::bigint, 3) AS g"
    )
    try:
        stage.rows(f"""
            CREATE TABLE {SCHEMA}.ordered (n integer);
            CREATE FUNCTION {SCHEMA}.enqueue() RETURNS trigger LANGUAGE plpgsql
                AS {quote_literal(f"BEGIN {add}; RETURN NULL; END")};
            CREATE CONSTRAINT TRIGGER late AFTER INSERT ON {SCHEMA}.ordered DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.enqueue()""")
        with counted(stage, line) as jobs:
            stage.rows(f"INSERT INTO {SCHEMA}.ordered VALUES (1), (2)")
        require(len(jobs) == 6, f"ids given: {jobs}")
        soon(stage, line, jobs)
        return stage.audit(line, jobs)
    finally:
        stage.rows(f"DROP TABLE IF EXISTS {SCHEMA}.ordered; DROP FUNCTION IF EXISTS {SCHEMA}.enqueue()")


@check(
    "enqueue.handler",
    "a job enqueues others into its own queue; another does so and then fails",
    "They are done as soon as the job that enqueued them is committed; what a failed attempt enqueued is undone.",
    rules=(22, 44),
    needs=("queue",),
)
def handler(stage: Stage) -> str:
    """A worker that wakes itself."""
    wake_up_alone(stage)
    seen = ""
    for line in stage.lines:
        spare = f"{SCHEMA}.spare"
        try:
            stage.rows(f"""
                CREATE TABLE {spare} AS SELECT {", ".join(f"{e} AS v{n}" for n, e in enumerate(line.payload))}
                    FROM generate_series(1::bigint, 4) AS g;
                GRANT SELECT ON {spare} TO PUBLIC""")
            add = f"INSERT INTO {line.queue.table} ({columns_of(line)}) SELECT * FROM {spare}"
            with counted(stage, line) as given:
                parents = stage.enqueue(line, 2, add)
                stage.drained(line)
            jobs = [job for job in given if job not in parents]
            require(len(jobs) == 8, f"ids given: {given}")
            soon(stage, line, jobs)
            stage.audit(line, [*parents, *jobs])
            before = sum(stage.done(line.name).values())
            failing = stage.enqueue(line, 1, f"{add}; SELECT 1/0")
            seen = stage.audit(line, [*parents, *jobs, *failing], dict.fromkeys(failing, "22012"))
            require(sum(stage.done(line.name).values()) == before, "jobs of a failed attempt were done")
        finally:
            stage.rows(f"DROP TABLE IF EXISTS {spare}")
    return f"{seen}; nothing of what failed attempts enqueued"
