"""Hostile settings by ALTER SYSTEM, DATABASE and ROLE, and row security."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pgbgw.faults.check import check
from pgbgw.faults.checks.crashes import launch
from pgbgw.faults.jobs import soon, wake_up_alone
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.faults.workers import all_work, here, renew, rounds_here, static_processes
from pgbgw.ir.model import WorkerIR
from pgbgw.sqltext import quote_ident, quote_literal

__all__: list[str] = []

# What is set, and what workers have in spite of it. With a shorter transaction_timeout no session could begin.
_SETTINGS = {
    "default_transaction_read_only": ("on", "off"),
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_deferrable": ("on", "off"),
    "statement_timeout": ("1ms", "0"),
    "lock_timeout": ("1ms", "0"),
    "idle_in_transaction_session_timeout": ("1ms", "0"),
    "transaction_timeout": ("5s", "0"),
    "session_replication_role": ("replica", "origin"),
    "row_security": ("off", "on"),
    "array_nulls": ("off", "on"),
    "search_path": ("pgbgw_test_nowhere", "pg_catalog, pg_temp"),
    "datestyle": ("German, DMY", "ISO, MDY"),
    "intervalstyle": ("sql_standard", "postgres"),
    "standard_conforming_strings": ("off", "on"),
}
_SINCE = {"transaction_timeout": 17}

# What sessions of the suite have meanwhile.
_OURS = {
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "search_path": "public",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "role": "none",
}

_SEEN = f"{SCHEMA}.seen"

# A handler that takes longer than any of the timeouts, and notes what its session has.
_LOOK = f"""
    WITH slept AS MATERIALIZED (SELECT pg_sleep(0.2))
    INSERT INTO {_SEEN} SELECT pg_backend_pid(), s.name, s.setting FROM slept, pg_settings AS s"""

_HOSTILE = "pgbgw_test_hostile"


def _known(stage: Stage, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings that the server has."""
    return {name: value for name, value in settings.items() if stage.cluster.pg.major >= _SINCE.get(name, 0)}


@contextlib.contextmanager
def _set(stage: Stage, targets: Sequence[str], settings: Mapping[str, str]) -> Iterator[None]:
    """Settings by "ALTER target SET", with which sessions of the suite have nothing to do."""
    names = _known(stage, settings)
    with stage.sessions(**_known(stage, _OURS)):
        try:
            for target in targets:
                for name, value in names.items():
                    words = ", ".join(quote_literal(word.strip()) for word in value.split(","))
                    stage.rows(
                        f"ALTER {target} SET {name} = {words if name == 'search_path' else quote_literal(value)}"
                    )
            stage.rows("SELECT pg_reload_conf()")
            yield
        finally:
            for target in targets:
                for name in names:
                    stage.rows(f"ALTER {target} RESET {name}")
            stage.rows("SELECT pg_reload_conf()")


def _role(stage: Stage, worker: WorkerIR) -> str:
    """The role that a worker runs as."""
    return stage.role(worker) or str(stage.value("SELECT rolname FROM pg_roles WHERE oid = 10"))


def _roles(stage: Stage) -> list[str]:
    return list(dict.fromkeys(quote_ident(_role(stage, worker)) for worker in here(stage)))


def _own(stage: Stage) -> str:
    return quote_ident(stage.database)


def _hostile(stage: Stage, targets: Sequence[str]) -> str:
    """Set everything, renew the workers, and have each kind do its work and tell what it has."""
    rounds = rounds_here(stage)
    stage.rows(f"CREATE TABLE {_SEEN} (pid int, name text, setting text); GRANT ALL ON {_SEEN} TO PUBLIC")
    try:
        with _set(stage, targets, {name: hostile for name, (hostile, _) in _SETTINGS.items()}):
            renewed = renew(stage)
            for worker in (*rounds, *stage.dynamic):
                stage.script(worker, _LOOK)
            looked = [stage.enqueue(line, 1, _LOOK) for line in stage.lines]
            for worker in stage.dynamic:
                launch(stage, worker)
            for worker in (*rounds, *stage.dynamic):
                eventually(partial(_noted, stage, worker.name), what=f'work of "{worker.name}"')
            told = [stage.audit(line, jobs) for line, jobs in zip(stage.lines, looked, strict=True)]
            told.append(all_work(stage))
        wrong = stage.rows(
            f"SELECT DISTINCT s.name, setting FROM {_SEEN} AS s JOIN unnest(%s::text[], %s::text[]) AS w(name, wanted)"
            " ON lower(s.name) = w.name WHERE setting <> wanted",
            [list(_SETTINGS), [wanted for _, wanted in _SETTINGS.values()]],
        )
        require(not wrong, f"in workers: {wrong}")
        pids = stage.value(f"SELECT count(DISTINCT pid) FROM {_SEEN}")
    finally:
        stage.rows(f"DROP TABLE {_SEEN}")
    return f"{renewed} processes began with it; {pids} have their own values; {'; '.join(dict.fromkeys(told))}"


def _noted(stage: Stage, name: str) -> bool:
    return stage.done(name)[0] > 0


_FAULT = ", ".join(name for name in _SETTINGS if name != "datestyle" and name != "intervalstyle")
_ANSWER = (
    "Workers override all of it when they begin: they write, and no timeout but their declared one ends their work."
)


@check("hostile.system", f"ALTER SYSTEM SET of {_FAULT} to hostile values", _ANSWER, rules=(8, 18), needs=("static",))
def system(stage: Stage) -> str:
    """For every session of the server."""
    return _hostile(stage, ["SYSTEM"])


@check("hostile.database", "the same by ALTER DATABASE ... SET", _ANSWER, rules=(8, 18), needs=("static",))
def database(stage: Stage) -> str:
    """For every session of the workers' database."""
    return _hostile(stage, [f"DATABASE {_own(stage)}"])


@check(
    "hostile.role", "the same by ALTER ROLE ... SET, for the workers' role", _ANSWER, rules=(8, 18), needs=("static",)
)
def role(stage: Stage) -> str:
    """For every session of the roles that workers run as."""
    return _hostile(stage, [f"ROLE {name}" for name in _roles(stage)])


@check(
    "hostile.role_in_database",
    "the same by ALTER ROLE ... IN DATABASE ... SET",
    _ANSWER,
    rules=(8, 18),
    needs=("static",),
)
def role_in_database(stage: Stage) -> str:
    """What takes precedence over all others."""
    return _hostile(stage, [f"ROLE {name} IN DATABASE {_own(stage)}" for name in _roles(stage)])


@check(
    "hostile.set_role",
    "ALTER DATABASE ... SET role = another role",
    "Workers run as the role that they have connected as.",
    rules=(8, 38),
    needs=("queue",),
)
def set_role(stage: Stage) -> str:
    """The ledger says who did the jobs."""
    stage.rows("CREATE ROLE pgbgw_test_weak")
    try:
        with _set(stage, [f"DATABASE {_own(stage)}"], {"role": "pgbgw_test_weak"}):
            renewed = renew(stage)
            told = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    finally:
        stage.rows("DROP ROLE pgbgw_test_weak")
    for line in stage.lines:
        found = {row[0] for row in stage.rows(f"SELECT role FROM {SCHEMA}.ledger WHERE worker = %s", [line.name])}
        wanted = {_role(stage, taker) for taker in line.takers}
        require(found <= wanted, f"jobs were done as {found}, not as {wanted}")
    return f"{renewed} processes began with it, and kept their role; {told[0]}"


# Operators and functions that queries of queues could mean, and tables by the names that they look into. Each function
# leaves a trace: a sequence, which no rollback undoes.
_MAKE_HOSTILE = f"""
    CREATE SCHEMA {_HOSTILE};
    GRANT USAGE ON SCHEMA {_HOSTILE} TO PUBLIC;
    CREATE SEQUENCE {_HOSTILE}.trace;
    GRANT ALL ON SEQUENCE {_HOSTILE}.trace TO PUBLIC;
    DO $do$
    DECLARE
        body CONSTANT text := 'BEGIN PERFORM pg_catalog.nextval(''{_HOSTILE}.trace''); RETURN NULL; END';
        types CONSTANT regtype[] := '{{int2,int4,int8,text,name,oid,bool,timestamptz,interval,tid,"char"}}';
        o record;
    BEGIN
        FOR o IN SELECT oid, oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result
            FROM pg_operator WHERE oprleft = ANY (types) AND oprright = ANY (types)
            AND oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '||')
        LOOP
            EXECUTE format('CREATE FUNCTION {_HOSTILE}.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
                'operator_' || o.oid, o.l, o.r, o.result, body);
            EXECUTE format('CREATE OPERATOR {_HOSTILE}.%s (FUNCTION = {_HOSTILE}.%I, LEFTARG = %s, RIGHTARG = %s)',
                o.oprname, 'operator_' || o.oid, o.l, o.r);
        END LOOP;
        FOR o IN SELECT DISTINCT proname, array_to_string(proargtypes::oid[]::regtype[], ', ') AS arguments,
                prorettype::regtype AS result
            FROM pg_proc AS p
            WHERE pronamespace = 'pg_catalog'::regnamespace AND NOT proretset AND prokind IN ('f', 'a')
            AND proname IN ('now', 'clock_timestamp', 'statement_timestamp', 'transaction_timestamp', 'nextval',
                'count', 'min', 'max', 'bool_and', 'bool_or', 'string_agg', 'quote_ident', 'has_schema_privilege',
                'pg_sleep', 'pg_backend_pid', 'pg_is_other_temp_schema', 'set_config', 'current_setting')
            AND NOT EXISTS (SELECT FROM pg_type AS t
                WHERE t.typtype = 'p' AND (t.oid = ANY (p.proargtypes) OR t.oid = p.prorettype) AND t.typname <> 'void')
        LOOP
            EXECUTE format('CREATE FUNCTION {_HOSTILE}.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
                o.proname, o.arguments, o.result, replace(body, 'NULL', CASE o.result WHEN 'void'::regtype
                THEN '' ELSE 'NULL' END));
        END LOOP;
    END
    $do$;
    CREATE TABLE {_HOSTILE}.pg_constraint (a int);
    CREATE TABLE {_HOSTILE}.pg_namespace (a int);
    CREATE TABLE {_HOSTILE}.pg_extension (a int);
    CREATE DOMAIN {_HOSTILE}.int8 AS bigint CHECK (false);
    CREATE DOMAIN {_HOSTILE}.text AS text CHECK (false)"""


@check(
    "hostile.search_path",
    "operators, functions, types and tables of the same names stand in a schema that is first in search_path",
    "Workers have a search_path of their own, and name everything with its schema: nothing hostile is ever called.",
    rules=(8,),
    needs=("queue",),
)
def search_path(stage: Stage) -> str:
    """Good jobs and failing ones, so that all statements on queues are run."""
    path = f"{_HOSTILE}, pg_catalog, public"
    stage.rows(_MAKE_HOSTILE)
    try:
        for queue in stage.module.queues:
            for table in (queue.table, queue.later, queue.failed):
                _copy_table(stage, table)
        with stage.connect() as connection:
            connection.execute(f"SET search_path = {path}".encode())
            connection.execute("SELECT now() WHERE 1::bigint = 1::bigint")
        called = stage.rows(f"SELECT last_value FROM {_HOSTILE}.trace WHERE is_called")
        require(bool(called), "what is hostile leaves no trace")
        stage.rows(f"ALTER SEQUENCE {_HOSTILE}.trace RESTART")
        with _set(stage, [f"DATABASE {_own(stage)}"], {"search_path": path}):
            renewed = renew(stage)
            all_work(stage)
            told = [_good_and_bad(stage, line) for line in stage.lines]
        called = stage.rows(f"SELECT last_value FROM {_HOSTILE}.trace WHERE is_called")
        require(not called, f"hostile functions were called: {called}")
    finally:
        stage.rows(f"SET log_min_messages = warning; DROP SCHEMA {_HOSTILE} CASCADE")
    return f"{renewed} processes began with it; {told[0]}; nothing hostile was called"


def _copy_table(stage: Stage, table: str) -> None:
    """A table of the same name in the hostile schema; where two have one name, the first is enough."""
    name = stage.value("SELECT relname FROM pg_class WHERE oid = %s::regclass", [table])
    stage.rows(f"CREATE TABLE IF NOT EXISTS {_HOSTILE}.{quote_ident(name)} (LIKE {table} INCLUDING ALL)")


def _good_and_bad(stage: Stage, line: Line) -> str:
    with stage.connect() as connection, connection.transaction():
        good = stage.enqueue(line, 5, connection=connection)
        bad = stage.enqueue(line, 1, "SELECT 1 / 0", connection=connection, start=6)
        good += stage.enqueue(line, 5, connection=connection, start=7)
    return stage.audit(line, good + bad, dict.fromkeys(bad, "22012"))


@check(
    "hostile.replica",
    "session_replication_role = replica for the database, so that ordinary triggers do not fire",
    "Jobs that are put in by such a session wake the workers all the same; triggers fire in what a handler does.",
    rules=(18, 44),
    needs=("queue",),
)
def replica(stage: Stage) -> str:
    """The trigger of the queue is enabled for replicas too, and the workers' sessions are no replicas."""
    stage.rows(f"""
        CREATE SEQUENCE {SCHEMA}.fired;
        CREATE TABLE {SCHEMA}.fires (a int);
        CREATE FUNCTION {SCHEMA}.fire() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_catalog.nextval(''{SCHEMA}.fired''); RETURN NULL; END';
        CREATE TRIGGER fire AFTER INSERT ON {SCHEMA}.fires FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.fire();
        GRANT ALL ON {SCHEMA}.fires, {SCHEMA}.fired TO PUBLIC""")
    fires, told = f"INSERT INTO {SCHEMA}.fires VALUES (1)", []
    try:
        with _set(stage, [f"DATABASE {_own(stage)}"], {"session_replication_role": "replica"}):
            has = stage.value("SHOW session_replication_role")
            require(has == "replica", f"sessions have {has}")
            renew(stage)
            wake_up_alone(stage)
            for line in stage.lines:
                jobs = stage.enqueue(line, 3, fires)
                took = soon(stage, line, jobs)
                told.append(f"{stage.audit(line, jobs)}, {took:.0f} ms after they were enqueued")
        fired = stage.value(f"SELECT last_value FROM {SCHEMA}.fired")
        require(fired == 3 * len(stage.lines), f"{3 * len(stage.lines)} rows fired a trigger {fired} times")
    finally:
        stage.rows(f"DROP TABLE {SCHEMA}.fires; DROP FUNCTION {SCHEMA}.fire(); DROP SEQUENCE {SCHEMA}.fired")
    return f"{told[0]}; {fired} triggers fired in handlers"


@check(
    "hostile.row_security",
    "row security hides the jobs, and row_security = off is set for the database",
    "A superuser does them. For another role they are not there: it waits without an error, until it may see them.",
    rules=(18,),
    needs=("queue",),
)
def row_security(stage: Stage) -> str:
    """With row_security = off PostgreSQL raises an error where rows are hidden; workers have it on."""
    bypass = {row[0] for row in stage.rows("SELECT rolname FROM pg_roles WHERE rolsuper OR rolbypassrls")}
    tables = [table for line in stage.lines for table in (line.queue.table, line.queue.later, line.queue.failed)]
    seeing = [line for line in stage.lines if any(_role(stage, taker) in bypass for taker in line.takers)]
    with _set(stage, [f"DATABASE {_own(stage)}"], {"row_security": "off"}):
        try:
            for table in tables:
                stage.rows(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            renew(stage)
            pids, mark = stage.pids(), stage.mark()
            jobs = {line.name: stage.enqueue(line, 5) for line in stage.lines}
            told = [f"{stage.audit(line, jobs[line.name])} by a superuser" for line in seeing]
            hidden = [line for line in stage.lines if line not in seeing]
            for line in hidden:
                _looked(stage, line)
                require(stage.left(line) == 5, f"{stage.left(line)} of 5 hidden jobs are left")
            failures = [each for each in stage.processes() if each.failures]
            require(not failures, f"not without errors: {failures}")
            require(not stage.log(r"(ERROR|FATAL):  .*row-level security", mark), "an error tells of row security")
            require(stage.pids() == pids, f"processes changed: {pids} became {stage.pids()}")
        finally:
            for table in tables:
                stage.rows(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    told += [f"unseen by another role, then {stage.audit(line, jobs[line.name])}" for line in hidden]
    return "; ".join([*dict.fromkeys(told), "no error, same pids"])


def _looked(stage: Stage, line: Line) -> None:
    """Wait until each process that takes from a queue has been through another round."""
    before = {(each.worker, each.process): each.since for each in static_processes(stage, line.takers)}

    def all_have() -> bool:
        now = {(each.worker, each.process): each.since for each in static_processes(stage, line.takers)}
        return all(now[key] != since for key, since in before.items())

    eventually(all_have, what="a round of each")
    before = {(each.worker, each.process): each.since for each in static_processes(stage, line.takers)}
    eventually(all_have, what="another round of each")
