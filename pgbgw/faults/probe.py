"""A declaration's middle form with its handlers replaced by probes.

What the fault suite wants to see is what the emitted code does around a handler, so it needs one that misbehaves on
request and keeps a ledger. Queues, workers, settings, state, roles and databases stay as they were declared. Changed
are what workers run, and lengths of time, so that a suite takes minutes: restarts come after a second at most, timeouts
fire after a second, retries come soon, and how often workers look by themselves is a setting of the suite's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pgbgw.ir.model import (
    CallIR,
    CBody,
    DelayIR,
    ModuleIR,
    ParameterIR,
    PayloadColumnIR,
    QueueBody,
    QueueIR,
    RunIR,
    SettingIR,
    SqlBody,
    StatementIR,
    WorkerIR,
)
from pgbgw.sqltext import quote_ident, quote_literal

__all__ = ["ACT", "EVERY", "SCHEMA", "Probed", "probed"]

SCHEMA = "pgbgw_test"

EVERY = "pgbgw_test_every"
"""The setting, in milliseconds, that says how often a worker of the suite looks by itself."""

_RESTART_S = 1
_TIMEOUT_MS = 1_000
_BACKOFF_US = 50_000
_BACKOFF_LIMIT_US = 200_000
_RETRIES = 3

ACT = f"""
CREATE SCHEMA {SCHEMA};
GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO PUBLIC;

-- what was done: written by the probes in the transaction of the job, so that it is undone with it
CREATE TABLE {SCHEMA}.ledger (
    entry bigint GENERATED ALWAYS AS IDENTITY,
    worker text NOT NULL,
    job bigint,
    payload text,
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    role text NOT NULL DEFAULT current_user,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON {SCHEMA}.ledger (worker, job);

-- what a probe is to do when it is called: SQL
CREATE TABLE {SCHEMA}.scripts (
    worker text NOT NULL,
    job bigint,
    script text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (worker, job)
);

-- counts every call, also those that are undone
CREATE SEQUENCE {SCHEMA}.calls;

CREATE FUNCTION {SCHEMA}.act(worker text, job bigint, payload text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
BEGIN
    PERFORM pg_catalog.nextval('{SCHEMA}.calls');
    INSERT INTO {SCHEMA}.ledger (worker, job, payload) VALUES (act.worker, act.job, act.payload);
    SELECT s.script INTO wanted FROM {SCHEMA}.scripts AS s
        WHERE s.worker = act.worker AND s.job IS NOT DISTINCT FROM act.job;
    IF wanted IS NOT NULL THEN
        EXECUTE wanted;
    END IF;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO PUBLIC;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO PUBLIC;
"""
"""The objects that all probes share."""


@dataclass(frozen=True, slots=True)
class Probed:
    """The changed middle form, and the SQL of each probe: made beside ``ACT`` in every database that is served."""

    module: ModuleIR
    functions: tuple[str, ...]


def probed(module: ModuleIR) -> Probed:
    """Replace the handlers of a module by probes."""
    every = SettingIR(
        name=f"{module.name}.{EVERY}",
        variable=f"{module.name}_{EVERY}",
        kind="int",
        context="PGC_SIGHUP",
        flags=(),
        comment="How often workers look by themselves while they are tested, ms.",
        description="",
        default=1_000,
        minimum=1,
        maximum=2**31 - 1,
        options=(),
        table="",
        preload_only=False,
        origin=module.origin,
    )
    delay = DelayIR(1, every.variable)
    queues = {
        queue.number: replace(
            queue, retries=min(queue.retries, _RETRIES), backoff_us=_BACKOFF_US, backoff_limit_us=_BACKOFF_LIMIT_US
        )
        for queue in module.queues
    }
    workers = []
    functions = []
    for number, worker in enumerate(module.workers):
        changed, function = _worker(worker, number, delay, queues)
        workers.append(changed)
        functions += [function] if function else []
    settings = (*module.settings, every)
    changed = replace(module, settings=settings, queues=tuple(queues.values()), workers=tuple(workers))
    return Probed(changed, tuple(functions))


def _worker(
    worker: WorkerIR, number: int, every: DelayIR, queues: dict[int, QueueIR]
) -> tuple[WorkerIR, str | None]:
    changed = replace(
        worker,
        restart=None if worker.restart is None else min(worker.restart, _RESTART_S),
        timeout=None if worker.timeout is None else DelayIR(_TIMEOUT_MS),
    )
    name = f"probe_{number}"
    match worker.body:
        case QueueBody() as body:
            queue = queues[body.queue.number]
            run, function = _job(worker, name, body.run, queue)
            return replace(changed, body=replace(body, queue=queue, run=run, every=every)), function
        case SqlBody() as body:
            arguments = [(a.name, a.sql_type) for a in worker.arguments]
            parameters = tuple(ParameterIR(a.name, "argument", index) for index, a in enumerate(worker.arguments))
            run = _run(body.run, name, parameters)
            interval = every if body.every is not None else None
            return replace(changed, body=replace(body, run=run, every=interval)), _function(worker, name, arguments)
        case CBody() as body:
            return replace(changed, body=replace(body, every=every)), None
    raise AssertionError(worker.body)


def _job(worker: WorkerIR, name: str, run: RunIR, queue: QueueIR) -> tuple[RunIR, str]:
    """The probe of a job: it is handed the id and the whole payload, so that the ledger shows what arrived."""
    columns: tuple[PayloadColumnIR, ...] = queue.columns
    names = ["id", *(column.name for column in columns)]
    parameters = tuple(ParameterIR(column, "column", index) for index, column in enumerate(names))
    arguments = [("id", "bigint"), *((column.name, column.sql_type) for column in columns)]
    return _run(run, name, parameters), _function(worker, name, arguments, job=True)


def _run(run: RunIR, name: str, parameters: tuple[ParameterIR, ...]) -> RunIR:
    """A call stays a call, and a statement a statement, since they are emitted differently."""
    if isinstance(run, CallIR):
        return CallIR((SCHEMA, name), parameters, run.origin)
    numbers = ", ".join(f"${number}" for number in range(1, len(parameters) + 1))
    return StatementIR(f"SELECT {SCHEMA}.{name}({numbers})", parameters, False, run.top_level, run.origin)


def _function(worker: WorkerIR, name: str, arguments: list[tuple[str, str]], *, job: bool = False) -> str:
    types = ", ".join(sql_type for _, sql_type in arguments)
    row = ", ".join(f"${number}" for number in range(2 if job else 1, len(arguments) + 1))
    identity, payload = ("$1" if job else "NULL"), (f"ROW({row})::text" if row else "NULL")
    return (
        f"CREATE FUNCTION {SCHEMA}.{quote_ident(name)}({types}) RETURNS void LANGUAGE plpgsql AS "
        + quote_literal(f"BEGIN PERFORM {SCHEMA}.act({quote_literal(worker.name)}, {identity}, {payload}); END")
    )
