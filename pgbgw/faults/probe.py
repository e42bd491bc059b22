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
    CronBody,
    DelayIR,
    KeeperBody,
    ModuleIR,
    ParameterIR,
    PayloadColumnIR,
    QueueBody,
    QueueIR,
    RunIR,
    RunnerBody,
    SchedulerBody,
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

# What a setting is, as the parameter of a handler.
_SETTING_TYPES = {"bool": "boolean", "int": "integer", "real": "double precision", "string": "text"}

ACT = f"""
CREATE SCHEMA {SCHEMA};
GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO PUBLIC;

-- what was done: written by the probes in the transaction of the job, so that it is undone with it
CREATE TABLE {SCHEMA}.ledger (
    entry bigint GENERATED ALWAYS AS IDENTITY,
    worker text NOT NULL,
    job bigint,
    payload text,
    -- the values of settings that were handed to the handler
    settings jsonb,
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

-- IS NOT DISTINCT FROM would read all scripts for each job
CREATE FUNCTION {SCHEMA}.act(worker text, job bigint, payload text, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
BEGIN
    PERFORM pg_catalog.nextval('{SCHEMA}.calls');
    INSERT INTO {SCHEMA}.ledger (worker, job, payload, settings)
        VALUES (act.worker, act.job, act.payload, act.settings);
    SELECT s.script INTO wanted FROM {SCHEMA}.scripts AS s
        WHERE s.worker = act.worker AND (s.job = act.job OR (s.job IS NULL AND act.job IS NULL));
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
    stopping = {worker.unless for worker in module.workers if worker.unless}
    for number, worker in enumerate(module.workers):
        # no value of a setting lets a worker run that it starts, and one that it stops: the first runs always
        free = replace(worker, when=None) if worker.when in stopping else worker
        changed, function = _worker(free, number, delay, queues)
        workers.append(changed)
        functions += [function] if function else []
    settings = (*module.settings, every)
    whole = replace(module, settings=settings, queues=tuple(queues.values()), workers=tuple(workers))
    return Probed(whole, tuple(functions))


def _worker(worker: WorkerIR, number: int, every: DelayIR, queues: dict[int, QueueIR]) -> tuple[WorkerIR, str | None]:
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
            given = _settings(body.run)
            run = _run(body.run, name, (*parameters, *given))
            interval = every if body.every is not None else None
            changed = replace(changed, body=replace(body, run=run, every=interval))
            return changed, _function(worker.name, name, arguments, given)
        case CronBody() as body:
            # runs are asked for; by itself it would run on one 29 February, on which the suite is not at work
            schedule = replace(
                body.schedule,
                expression="0 0 29 2 *",
                time_zone="UTC",
                not_before=None,
                not_after=None,
                skip_overlap=False,
                retries=0,
                jitter_us=0,
            )
            given = _settings(body.run)
            run = _run(body.run, name, given)
            changed = replace(changed, body=replace(body, run=run, schedule=schedule))
            return changed, _function(worker.name, name, [], given)
        case CBody() as body:
            return replace(changed, body=replace(body, every=every)), None
        case KeeperBody() as body:
            leased = tuple(queues[queue.number] for queue in body.queues)
            kept = tuple(queues[queue.number] for queue in body.histories)
            return replace(changed, body=replace(body, queues=leased, histories=kept)), None
        case SchedulerBody() | RunnerBody():
            return changed, None
    raise AssertionError(worker.body)


def _job(worker: WorkerIR, name: str, run: RunIR, queue: QueueIR) -> tuple[RunIR, str]:
    """The probe of a job: it is handed the id, the whole payload, and settings, and the ledger shows what arrived."""
    columns: tuple[PayloadColumnIR, ...] = queue.columns
    names = ["id", *(column.name for column in columns)]
    parameters = tuple(ParameterIR(column, "column", index) for index, column in enumerate(names))
    arguments = [("id", "bigint"), *((column.name, column.sql_type) for column in columns)]
    given = _settings(run)
    return _run(run, name, (*parameters, *given)), _function(queue.name, name, arguments, given, job=True)


def _settings(run: RunIR) -> tuple[ParameterIR, ...]:
    """The settings that a handler is handed; each once."""
    return tuple({p.variable: p for p in run.parameters if p.kind in _SETTING_TYPES}.values())


def _run(run: RunIR, name: str, parameters: tuple[ParameterIR, ...]) -> RunIR:
    """A call stays a call, and a statement a statement, since they are emitted differently."""
    if isinstance(run, CallIR):
        return CallIR((SCHEMA, name), parameters, run.origin)
    numbers = ", ".join(f"${number}" for number in range(1, len(parameters) + 1))
    return StatementIR(f"SELECT {SCHEMA}.{name}({numbers})", parameters, False, run.top_level, run.origin)


def _function(
    noted: str, name: str, arguments: list[tuple[str, str]], settings: tuple[ParameterIR, ...], *, job: bool = False
) -> str:
    """``noted`` is what the ledger calls it: the worker, or the queue, since several workers may take from one."""
    types = ", ".join([*(sql_type for _, sql_type in arguments), *(_SETTING_TYPES[each.kind] for each in settings)])
    row = ", ".join(f"${number}" for number in range(2 if job else 1, len(arguments) + 1))
    identity, payload = ("$1" if job else "NULL"), (f"ROW({row})::text" if row else "NULL")
    pairs = [f"{quote_literal(each.name)}, ${number}" for number, each in enumerate(settings, len(arguments) + 1)]
    given = f"jsonb_build_object({', '.join(pairs)})" if pairs else "NULL"
    call = f"{SCHEMA}.act({quote_literal(noted)}, {identity}, {payload}, {given})"
    return f"CREATE FUNCTION {SCHEMA}.{quote_ident(name)}({types}) RETURNS void LANGUAGE plpgsql AS " + quote_literal(
        f"BEGIN PERFORM {call}; END"
    )
