"""Faults of single jobs: an error, a NULL, what a handler raises or calls; neighbours and the process are unharmed."""

from __future__ import annotations

import re

from pgbgw.faults.check import check
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually

__all__: list[str] = []

# One of each class that PostgreSQL has (Appendix A of its documentation), and those that are treated apart.
_SQLSTATES = [
    "03000",
    "08006",
    "09000",
    "0A000",
    "0B000",
    "0F001",
    "0L000",
    "0P000",
    "0Z002",
    "20000",
    "21000",
    "22012",
    "22P02",
    "23502",
    "23503",
    "23505",
    "24000",
    "25001",
    "25006",
    "26000",
    "27000",
    "28000",
    "2B000",
    "2D000",
    "2F005",
    "34000",
    "38001",
    "39004",
    "3B001",
    "3D000",
    "3F000",
    "40001",
    "40002",
    "40P01",
    "42501",
    "42601",
    "42883",
    "42P01",
    "44000",
    "53000",
    "53100",
    "53200",
    "54000",
    "55000",
    "55P03",
    "57014",
    "57P05",
    "58030",
    "72000",
    "F0000",
    "HV000",
    "P0001",
    "P0004",
    "XX000",
    "XX001",
]


# A payload of so many characters stands nowhere by chance.
_TELLING = 12


def _raise(sqlstate: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'told to fail' USING ERRCODE = '{sqlstate}'; END $$"


def _mixed(stage: Stage, line: Line, script: str, sqlstate: str, bad: int = 1) -> str:
    """Good jobs with bad ones among them, in one transaction: the same processes afterwards, and every job told."""
    before = stage.pids()
    with stage.connect() as connection, connection.transaction():
        good = stage.enqueue(line, 9, connection=connection)
        poison = stage.enqueue(line, bad, script, connection=connection, start=10)
        good += stage.enqueue(line, 10, connection=connection, start=10 + bad)
    seen = stage.audit(line, [*good, *poison], dict.fromkeys(poison, sqlstate))
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    attempts = {row[2] for row in stage.failed(line).values()}
    require(attempts == {line.queue.retries + 1}, f"attempts: {attempts}, declared: {line.queue.retries + 1}")
    return f"{seen}; same pid"


@check(
    "item.error",
    "one job of twenty raises an error each time",
    "Its neighbours are done once; it is tried again as declared, then kept with its error and SQLSTATE.",
    rules=(22, 27, 28),
    needs=("queue",),
)
def error(stage: Stage) -> str:
    """A failing job among good ones."""
    return [_mixed(stage, line, _raise("22012"), "22012") for line in stage.lines][-1]


@check(
    "item.null",
    "a job whose payload is NULL where the declaration lets NULL in",
    "NULL reaches the handler, as every other value does.",
    rules=(21,),
    needs=("queue",),
)
def null(stage: Stage) -> str:
    """What was enqueued is what arrives."""
    arrived = 0
    for line in stage.lines:
        columns = ", ".join(column.name for column in line.queue.columns)
        values = ", ".join(line.payload)
        # --payload gives the values of all columns in one piece
        nulls = values
        if len(line.payload) == len(line.queue.columns):
            nulls = ", ".join(
                "NULL" if column.nullable else value
                for column, value in zip(line.queue.columns, line.payload, strict=True)
            )
        wanted: dict[int, str] = {}
        for row in (values, nulls):
            wanted |= dict(
                stage.rows(
                    f"INSERT INTO {line.queue.table} ({columns}) SELECT {row} FROM generate_series(1, 2) AS g"
                    f" RETURNING id, ROW({columns})::text"
                )
            )
        stage.audit(line, list(wanted))
        found = dict(stage.rows(f"SELECT job, payload FROM {SCHEMA}.ledger WHERE worker = %s", [line.name]))
        require(found == wanted, f"arrived: {found}; enqueued: {wanted}")
        arrived += len(found)
    return f"{arrived} payloads arrived as they were enqueued, NULL among them where it may be"


@check(
    "item.sqlstates",
    "handlers raise an error of each SQLSTATE class",
    "Whatever a handler raises, it is the error of its own job alone.",
    rules=(27, 28, 30),
    needs=("queue",),
)
def sqlstates(stage: Stage) -> str:
    """Every class in one batch, good jobs between them."""
    line = stage.lines[0]
    before = stage.pids()
    wanted: dict[int, str] = {}
    good: list[int] = []
    with stage.connect() as connection, connection.transaction():
        for sqlstate in _SQLSTATES:
            wanted[stage.enqueue(line, 1, _raise(sqlstate), connection=connection)[0]] = sqlstate
            good += stage.enqueue(line, 1, connection=connection)
    seen = stage.audit(line, [*wanted, *good], wanted)
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{len(_SQLSTATES)} SQLSTATEs: {seen}; same pid"


@check(
    "item.nested",
    "a handler runs queries of its own, many rows each, inside the worker's",
    "The batch is worked through to its end: what was claimed was copied before the first handler ran.",
    rules=(19,),
    needs=("queue",),
)
def nested(stage: Stage) -> str:
    """SPI inside SPI."""
    line = stage.lines[0]
    script = "SELECT count(*) FROM (SELECT g FROM generate_series(1, 500) AS g OFFSET 0) AS s"
    return stage.audit(line, stage.enqueue(line, 20, script))


@check(
    "item.deferred",
    "a job breaks a constraint that is checked at commit",
    "The job is blamed for it, not its batch, and the constraint is deferred again for the next job.",
    rules=(22,),
    needs=("queue",),
)
def deferred(stage: Stage) -> str:
    """A foreign key that is initially deferred."""
    line = stage.lines[0]
    stage.rows(f"""
        CREATE TABLE {SCHEMA}.parent (id bigint PRIMARY KEY);
        CREATE TABLE {SCHEMA}.child (id bigint REFERENCES {SCHEMA}.parent DEFERRABLE INITIALLY DEFERRED);
        GRANT ALL ON {SCHEMA}.parent, {SCHEMA}.child TO PUBLIC""")
    number = f"(SELECT job FROM {SCHEMA}.ledger ORDER BY entry DESC LIMIT 1)"
    orphan = f"INSERT INTO {SCHEMA}.child VALUES ({number})"
    # two statements: where the constraint is not deferred the first one fails
    whole = f"DO $$ BEGIN {orphan}; INSERT INTO {SCHEMA}.parent VALUES ({number}); END $$"
    before = stage.value(f"SELECT nextval('{SCHEMA}.calls')")
    try:
        with stage.connect() as connection, connection.transaction():
            good = stage.enqueue(line, 3, whole, connection=connection)
            bad = stage.enqueue(line, 1, orphan, connection=connection)
            good += stage.enqueue(line, 3, whole, connection=connection)
        seen = stage.audit(line, good + bad, dict.fromkeys(bad, "23503"))
        # each job runs with its batch and then alone; only the bad one runs again
        calls = stage.value(f"SELECT nextval('{SCHEMA}.calls')") - before - 1
        most = 2 * len(good + bad) + 2 * line.queue.retries * len(bad)
        # processes that share the batch may take each other's entries in the ledger for their own
        if sum(worker.count.value for worker in line.takers) == 1:
            require(calls <= most, f"the handler was called {calls} times; {most} are enough")
        rows = stage.value(f"SELECT count(*) FROM {SCHEMA}.child")
        require(rows == len(good), f"{rows} rows of {len(good)} were written")
    finally:
        stage.rows(f"DROP TABLE {SCHEMA}.child, {SCHEMA}.parent")
    return seen


@check(
    "item.attribution",
    "a job fails while others run",
    "View and log name the job, its attempt and its error; nothing of its payload stands in the log.",
    rules=(24,),
    needs=("queue",),
)
def attribution(stage: Stage) -> str:
    """The failure is told of its job, and tells no secret."""
    line = stage.lines[0]
    mark = stage.mark()

    def told() -> int:
        """A worker reports ten failures a second, and the check before this one may have used them up."""
        (job,) = stage.enqueue(line, 1, _raise("P0001"))
        eventually(lambda: job in stage.failed(line), what="giving up")
        line_of_log = rf'WARNING:  job {job} of queue "{line.queue.name}" failed in attempt 1 of'
        return job if stage.log(line_of_log, mark) else 0

    job = eventually(told, what="a log that tells of the first attempt")
    status, attempts = stage.rows(f"SELECT status, attempts FROM {line.queue.view} WHERE id = %s", [job])[0]
    require((status, attempts) == ("failed", line.queue.retries + 1), f"the view shows {status}, {attempts}")
    columns = ", ".join(column.name for column in line.queue.columns)
    secret = stage.value(f"SELECT ROW({columns})::text FROM {line.queue.failed} WHERE id = {job}").strip("()")
    # a short one may stand in the log for another reason
    if len(secret) >= _TELLING:
        leaked = stage.log(re.escape(secret), mark)
        require(not leaked, f"the payload stands in the log: {leaked[:1]}")
    return "told by view and log, without the payload"
