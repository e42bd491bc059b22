"""Rights: of PUBLIC, of pg_monitor, of the role of a worker, of producers."""

from __future__ import annotations

from collections.abc import Sequence

from pgbgw.faults.check import check
from pgbgw.faults.jobs import columns_of
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.roles import refused, role
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import WorkerIR
from pgbgw.sqltext import quote_literal

__all__: list[str] = []

_MEMBERS = """
    SELECT objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = %s AND d.classid = %s::regclass
"""

# Calls of every function, with NULL for each argument.
_CALLS = f"""
    SELECT p.oid, format('SELECT %%s(%%s)', p.oid::regproc,
        (SELECT string_agg('NULL::' || format_type(a.type, NULL), ', ' ORDER BY a.n)
            FROM unnest(p.proargtypes) WITH ORDINALITY AS a(type, n)))
    FROM pg_proc AS p WHERE p.oid IN ({_MEMBERS}) ORDER BY p.oid
"""

# What may be tried on every table, view and sequence.
_LOOKS = f"SELECT c.oid, c.oid::regclass::text, c.relkind FROM pg_class AS c WHERE c.oid IN ({_MEMBERS}) ORDER BY c.oid"


def _calls(stage: Stage, but: Sequence[str] = ()) -> list[str]:
    """A statement that calls each function of the extension, but for some of them."""
    left_out = {stage.value("SELECT %s::regproc::oid", [name]) for name in but}
    return [call for oid, call in stage.rows(_CALLS, [stage.module.name, "pg_proc"]) if oid not in left_out]


def _accesses(stage: Stage, readable: Sequence[str] = ()) -> list[str]:
    """Statements that read and change each table, view and sequence of the extension, but do not read some of them."""
    left_out = {stage.value("SELECT %s::regclass::oid", [name]) for name in readable}
    found = []
    for oid, name, kind in stage.rows(_LOOKS, [stage.module.name, "pg_class"]):
        if kind in ("r", "v", "S") and oid not in left_out:
            found.append(f"SELECT * FROM {name}")
        if kind == "S":
            found.append(f"SELECT setval({oid}::regclass, 1)")
        if kind == "r":
            found += [f"INSERT INTO {name} DEFAULT VALUES", f"DELETE FROM {name}", f"TRUNCATE {name}"]
            found.append(
                f"CREATE TRIGGER t BEFORE INSERT ON {name} EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            )
    return found


@check(
    "security.public",
    "a role without grants calls every function of the extension, and reads and changes every table",
    "All of it is refused: nothing of the extension is granted to PUBLIC.",
    rules=(8,),
)
def public(stage: Stage) -> str:
    """What was not granted can't be done."""
    functions, tables = _calls(stage), _accesses(stage)
    with role(stage) as nobody:
        refused(stage, nobody, functions, "permission denied for function")
        refused(stage, nobody, tables, "permission denied for")
    unpinned = stage.rows(
        f"SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.oid IN ({_MEMBERS}) AND p.prosecdef"
        " AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%%')",
        [stage.module.name, "pg_proc"],
    )
    require(not unpinned, f"functions with the rights of their owner and an open search_path: {unpinned}")
    return f"{len(functions)} functions and {len(tables)} accesses to tables refused"


@check(
    "security.monitor",
    "a member of pg_monitor looks at workers and shared state, and tries everything else",
    "It sees processes, shared state, how many jobs there are, which queues are paused, schedules and what became of"
    " them, and no job; it can't stop, resume or launch workers.",
    rules=(8,),
)
def monitor(stage: Stage) -> str:
    """What monitoring may see."""
    functions = [
        stage.module.processes.name,
        *(state.function.name for state in stage.module.shared),
        *(queue.counts for queue in stage.module.queues),
    ]
    # what the views of schedules call
    called = [stage.module.local_time.name] if stage.module.local_time is not None else []
    views = [state.view for state in stage.module.shared]
    if stage.module.queues:
        views.append(stage.module.paused_queues)
    if stage.module.schedules is not None:
        views += [stage.module.schedules.view, stage.module.schedules.runs]
    for table in stage.module.tables:
        views += [table.table, table.view, table.runs]
    shown = [f"SELECT * FROM {name}" for name in (*(f"{name}()" for name in functions), *views)]
    calls, accesses = _calls(stage, [*functions, *called]), _accesses(stage, views)
    with role(stage, "pg_monitor") as reader:
        with stage.connect(user=reader) as connection:
            for statement in shown:
                connection.execute(statement.encode())
        refused(stage, reader, calls, "permission denied for function")
        refused(stage, reader, accesses, "permission denied for")
    return f"{len(shown)} ways to look; {len(calls)} functions and {len(accesses)} accesses to tables refused"


_TRIED = """
DO $do$
DECLARE
    tried text;
BEGIN
    FOREACH tried IN ARRAY ARRAY[{statements}] LOOP
        BEGIN
            EXECUTE tried;
            INSERT INTO {schema}.tried VALUES (tried, '00000', current_user, session_user);
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO {schema}.tried VALUES (tried, sqlstate, current_user, session_user);
        END;
    END LOOP;
END
$do$
"""


@check(
    "security.role",
    "a handler of a worker with a role of its own tries to become another role, and to get rights",
    "The worker has connected as that role, so there is nothing behind it to go back to: RESET ROLE changes nothing, "
    "and whatever needs another role is refused.",
    rules=(8, 37),
    needs=("role",),
)
def confined(stage: Stage) -> str:
    """RESET ROLE, SET ROLE, SET SESSION AUTHORIZATION, and the ways of a superuser."""
    stage.every(50)
    superuser = stage.value("SELECT quote_ident(rolname) FROM pg_roles WHERE oid = 10")
    allowed = ["RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT"]
    forbidden = [
        f"SET ROLE {superuser}",
        f"SET SESSION AUTHORIZATION {superuser}",
        f"SELECT set_config('role', {quote_literal(superuser)}, false)",
        f"SELECT set_config('session_authorization', {quote_literal(superuser)}, false)",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        f"CREATE ROLE {SCHEMA}_made SUPERUSER",
        "UPDATE pg_catalog.pg_authid SET rolsuper = true",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        f"SELECT {stage.module.request_shutdown.name}()",
    ]
    statements = ", ".join(quote_literal(each) for each in (*allowed, *forbidden))
    script = _TRIED.format(statements=statements, schema=SCHEMA)
    for worker in stage.confined:
        own = stage.role(worker)
        try:
            stage.rows(
                f"CREATE TABLE {SCHEMA}.tried (tried text, outcome text, who text, session text);"
                f" GRANT ALL ON {SCHEMA}.tried TO PUBLIC"
            )
            _have_done(stage, worker, script)
            found = stage.rows(f"SELECT DISTINCT tried, outcome, who, session FROM {SCHEMA}.tried")
        finally:
            stage.rows(f"DROP TABLE IF EXISTS {SCHEMA}.tried")
        wanted = {(each, "00000", own, own) for each in allowed} | {(each, "42501", own, own) for each in forbidden}
        require(
            set(found) == wanted, f'as "{own}": {sorted(set(found) - wanted)}, missing {sorted(wanted - set(found))}'
        )
        noted = _have_done(stage, worker, None)
        last = stage.value(f"SELECT role FROM {SCHEMA}.ledger WHERE worker = %s ORDER BY entry DESC LIMIT 1", [noted])
        require(last == own, f'the next round ran as "{last}", not as "{own}"')
    roles = sorted({str(stage.role(worker)) for worker in stage.confined})
    return f"{len(forbidden)} statements refused, {len(allowed)} without effect, as {', '.join(roles)}"


def _have_done(stage: Stage, worker: WorkerIR, script: str | None) -> str:
    """Let a worker run a script once or more: by a job, or in its rounds; what the ledger calls it."""
    for line in stage.lines:
        if worker in line.takers:
            stage.audit(line, stage.enqueue(line, 1, script))
            return line.name
    stage.script(worker, script)
    # the first may have begun before
    query = f"SELECT count(*) FROM {SCHEMA}.ledger WHERE worker = %s"
    before = stage.value(query, [worker.name])
    eventually(lambda: stage.value(query, [worker.name]) >= before + 2, what=f'two rounds of "{worker.title}"')
    stage.script(worker, None)
    return worker.name


@check(
    "security.columns",
    "whoever may write every column of the queue enqueues failing jobs with extreme ids, attempts and times",
    "Each is given up after its last attempt, as every other job: none stays for ever, and none stops the queue.",
    rules=(22, 25),
    needs=("queue",),
)
def columns(stage: Stage) -> str:
    """What INSERT on the whole table lets through."""
    line = stage.lines[0]
    names, values = columns_of(line), ", ".join(line.payload)
    extremes = [
        (id_, attempt, created)
        for id_ in (2**63 - 1, -(2**63), -1, 0)
        for attempt, created in ((2**31 - 1, "infinity"), (-(2**31), "-infinity"), (-1, "now"))
    ]
    before = stage.pids()
    stage.rows(
        f"INSERT INTO {SCHEMA}.scripts SELECT DISTINCT {quote_literal(line.name)}, v, 'SELECT 1/0'"
        " FROM unnest(%s::bigint[]) AS v",
        [sorted({each[0] for each in extremes})],
    )
    for id_, attempt, created in extremes:
        stage.rows(
            f"INSERT INTO {line.queue.table} (id, {names}, attempt, created_at) OVERRIDING SYSTEM VALUE"
            f" SELECT {id_}, {values}, {attempt}, '{created}' FROM generate_series(1::bigint, 1) AS g"
        )
        eventually(lambda: stage.left(line) == 0, what=f"the end of a job with id {id_} and attempt {attempt}")
    given_up = len(stage.failed(line))
    require(given_up == len(extremes), f"{given_up} of {len(extremes)} jobs given up")
    jobs = stage.enqueue(line, 20)
    stage.drained(line)
    lost = [job for job in jobs if stage.done(line.name)[job] != 1]
    require(not lost, f"other jobs lost: {lost}")
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{given_up} such jobs given up; {len(jobs)} others done once, none lost; same pids"
