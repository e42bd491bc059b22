"""What an extension is made of once every name, number and statement is decided.

Strings are plain text; quoting for C happens in ``codegen``. SQL statements are complete, one tuple item a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgbgw.origin import Origin

__all__ = [
    "ActionIR",
    "AmountIR",
    "ArgumentIR",
    "CBody",
    "CallIR",
    "CronBody",
    "DelayIR",
    "FieldIR",
    "FlagIR",
    "FunctionIR",
    "HistoryIR",
    "KeeperBody",
    "LeaseIR",
    "ModuleIR",
    "OptionIR",
    "ParameterIR",
    "PayloadColumnIR",
    "QueueBody",
    "QueueIR",
    "RunIR",
    "RunnerBody",
    "ScheduleIR",
    "ScheduleTableIR",
    "SchedulerBody",
    "SchedulesIR",
    "SettingIR",
    "SharedColumnIR",
    "SharedIR",
    "SourceIR",
    "SqlBody",
    "StatementIR",
    "WorkerIR",
]

SqlLines: TypeAlias = tuple[str, ...]
ValueKind: TypeAlias = Literal["column", "argument", "bool", "int", "real", "string", "main_argument"]


@dataclass(frozen=True, slots=True)
class SourceIR:
    """A value known at run time: a constant, or the C variable of a setting where ``variable`` is given."""

    value: str | None
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class AmountIR:
    """A number: a constant, or the C variable of an integer setting."""

    value: int
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class DelayIR:
    """A length of time in milliseconds: a constant, or a setting's variable times ``value``.

    ``real`` tells that the variable is a double, which may be larger than any integer.
    """

    value: int
    variable: str | None = None
    real: bool = False


@dataclass(frozen=True, slots=True)
class FlagIR:
    """A flag of a setting, and the PG_VERSION_NUM from which servers know it (0: all of them)."""

    macro: str
    since: int = 0


@dataclass(frozen=True, slots=True)
class OptionIR:
    """A value of an enum setting."""

    name: str
    number: int
    hidden: bool


@dataclass(frozen=True, slots=True)
class SettingIR:
    """A setting; ``default``, ``minimum`` and ``maximum`` have the type that ``kind`` says, None elsewhere."""

    name: str
    variable: str
    kind: Literal["bool", "int", "real", "string", "enum"]
    context: str
    flags: tuple[FlagIR, ...]
    comment: str
    description: str
    default: bool | int | float | str | None
    minimum: int | float | None
    maximum: int | float | None
    options: tuple[OptionIR, ...]
    table: str
    preload_only: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class FieldIR:
    """A field of shared state."""

    name: str
    kind: Literal["counter", "hot", "gauge", "integer", "float", "boolean", "timestamp", "text"]
    size: int
    comment: str


@dataclass(frozen=True, slots=True)
class SharedColumnIR:
    """A column of the function and the view that show shared state."""

    name: str
    sql_type: str
    field: FieldIR


@dataclass(frozen=True, slots=True)
class FunctionIR:
    """An SQL function written in C: its quoted name with schema, and its C symbol."""

    name: str
    symbol: str


@dataclass(frozen=True, slots=True)
class SharedIR:
    """One declared state in shared memory."""

    name: str
    struct: str
    member: str
    fields: tuple[FieldIR, ...]
    columns: tuple[SharedColumnIR, ...]
    function: FunctionIR
    view: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class PayloadColumnIR:
    """A payload column: its quoted name, its SQL type."""

    name: str
    sql_type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class LeaseIR:
    """How sessions take jobs of a queue: the table of leased jobs and the sequence of their tokens, quoted and, as
    ``relation`` and ``tokens``, not; how long a lease is by default; where listeners are told of jobs.
    """

    running: str
    relation: str
    sequence: str
    tokens: str
    ends_index: str
    us: int
    channel: str
    channel_sql: str
    claim: FunctionIR
    acknowledge: FunctionIR
    extend: FunctionIR
    fail: FunctionIR
    release: FunctionIR


@dataclass(frozen=True, slots=True)
class HistoryIR:
    """Where jobs that are done are kept: the partitioned table, its default partition, whose index; all quoted."""

    done: str
    default: str
    index: str


@dataclass(frozen=True, slots=True)
class QueueIR:
    """A queue: quoted names with schema, and the statements that move its jobs; ``relation`` and
    ``sequence_relation`` are its table and its sequence unquoted and without schema.

    ``columns`` are those of the payload, and the key of the job where ``keys``, the table of these, is given.
    ``statements`` are those that C runs, by the names of ``lower.names``.
    """

    name: str
    number: int
    variable: str
    table: str
    relation: str
    sequence_relation: str
    later: str
    failed: str
    suspects: str
    keys: str | None
    sequence: str
    later_index: str
    view: str
    trigger: str
    update_trigger: str
    later_trigger: str
    payload: tuple[PayloadColumnIR, ...]
    columns: tuple[PayloadColumnIR, ...]
    retries: int
    crashes: int
    backoff_us: int
    backoff_limit_us: int
    wake: FunctionIR
    wake_later: FunctionIR
    enqueue: str
    enqueue_at: str
    enqueue_many: str
    retry_failed: str
    cancel: str
    purge: str
    pause: str
    resume: str
    counts: str
    enqueue_sql: str
    enqueue_at_sql: str
    enqueue_many_sql: str
    retry_sql: str
    cancel_sql: str
    purge_sql: str
    pause_sql: str
    resume_sql: str
    counts_sql: str
    producers: tuple[str, ...]
    operators: tuple[str, ...]
    consumers: tuple[str, ...]
    lease: LeaseIR | None
    history: HistoryIR | None
    statements: tuple[tuple[str, SqlLines], ...]
    origin: Origin

    def statement(self, name: str) -> SqlLines:
        """One of the statements that C runs; raises KeyError for a name that the queue has none of."""
        return dict(self.statements)[name]


@dataclass(frozen=True, slots=True)
class ParameterIR:
    """A parameter of a statement or call, and where its value comes from.

    ``index`` counts the claimed columns for ``column``; ``variable`` names a setting's C variable or an argument.
    """

    name: str
    kind: ValueKind
    index: int = 0
    variable: str = ""


@dataclass(frozen=True, slots=True)
class StatementIR:
    """One statement run through SPI, or through a portal where ``top_level`` is set."""

    sql: str
    parameters: tuple[ParameterIR, ...]
    read_only: bool
    top_level: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class CallIR:
    """A function called by its address; with ``batch`` it gets arrays of the columns of all jobs of a batch."""

    function: tuple[str, ...]
    parameters: tuple[ParameterIR, ...]
    origin: Origin
    batch: bool = False


RunIR: TypeAlias = StatementIR | CallIR


@dataclass(frozen=True, slots=True)
class ActionIR:
    """What is done to a field of shared state after a commit."""

    member: str
    field: FieldIR
    operation: Literal["add", "set", "now", "report"]
    value: int | float | bool | str | None


@dataclass(frozen=True, slots=True)
class ArgumentIR:
    """An argument of a dynamic worker, as it stands in bgw_extra.

    ``kind`` is "value" where it travels as a Datum of the C type, else "text": its text form in ``size`` bytes.
    ``oid`` is the macro of a built-in type, or "" where the server looks ``sql_type`` up.
    """

    name: str
    sql_type: str
    member: str
    kind: Literal["value", "text"]
    c_type: str
    from_datum: str
    to_datum: str
    size: int
    oid: str


@dataclass(frozen=True, slots=True)
class QueueBody:
    """Takes jobs from a queue, a batch a transaction."""

    queue: QueueIR
    run: RunIR
    batch: AmountIR
    every: DelayIR
    batch_time: DelayIR
    synchronous_commit: bool


@dataclass(frozen=True, slots=True)
class SqlBody:
    """Runs one statement or function: each interval, or once where ``every`` is None (a dynamic worker)."""

    run: RunIR
    every: DelayIR | None


@dataclass(frozen=True, slots=True)
class ScheduleIR:
    """When a worker runs; ``missed`` is how many of the times that were missed are made up for, ``retries`` how often a
    failed run is tried again, ``processes`` how many runs may be under way. ``not_before`` and ``not_after`` are
    microseconds since 2000-01-01 00:00 UTC.
    """

    name: str
    expression: str
    time_zone: str
    skip_gap: bool
    repeat: bool
    missed: int
    skip_overlap: bool
    processes: int
    not_before: int | None
    not_after: int | None
    jitter_us: int
    retries: int
    backoff_us: int
    backoff_limit_us: int


@dataclass(frozen=True, slots=True)
class CronBody:
    """Runs one statement or function by the calendar."""

    run: RunIR
    schedule: ScheduleIR


@dataclass(frozen=True, slots=True)
class SchedulesIR:
    """What the workers share that run by the calendar: quoted names with schema, but for the index and the trigger.

    ``statements`` are those that C runs, by the names of ``lower.names``.
    """

    table: str
    runs: str
    runs_sequence: str
    runs_index: str
    view: str
    trigger: str
    wake: FunctionIR
    run: str
    pause: str
    resume: str
    change: str
    view_sql: SqlLines
    run_sql: str
    pause_sql: str
    resume_sql: str
    change_sql: str
    operators: tuple[str, ...]
    statements: tuple[tuple[str, SqlLines], ...]


@dataclass(frozen=True, slots=True)
class ScheduleTableIR:
    """A table of schedules: quoted names with schema, but for ``relation``, the indexes and the triggers.

    ``runners`` is how many runs may be under way, ``keep_us`` for how long what became of one is kept; ``places`` is
    how many runners the tables before it have. ``statements`` are those that C runs, by their names in the template.
    """

    name: str
    number: int
    variable: str
    places: int
    runners: int
    keep_us: int
    relation: str
    table: str
    sequence: str
    key: str
    runs: str
    runs_sequence: str
    runs_index: str
    ended_index: str
    open_index: str
    view: str
    check: FunctionIR
    wake: FunctionIR
    check_trigger: str
    wake_trigger: str
    truncate_trigger: str
    schedule: str
    unschedule: str
    run: str
    pause: str
    resume: str
    view_sql: SqlLines
    schedule_sql: SqlLines
    unschedule_sql: str
    run_sql: str
    pause_sql: str
    resume_sql: str
    statements: tuple[tuple[str, SqlLines], ...]
    schedulers: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class SchedulerBody:
    """Gives the runs of a table's schedules out when they are due."""

    table: ScheduleTableIR


@dataclass(frozen=True, slots=True)
class RunnerBody:
    """Carries them out."""

    table: ScheduleTableIR


@dataclass(frozen=True, slots=True)
class KeeperBody:
    """Ends leases of some queues and tells listeners of jobs, and keeps the histories of some."""

    queues: tuple[QueueIR, ...]
    histories: tuple[QueueIR, ...]


@dataclass(frozen=True, slots=True)
class CBody:
    """Calls a C function of the user's own each interval."""

    source: str
    text: str
    function: str
    every: DelayIR
    sql: bool


@dataclass(frozen=True, slots=True)
class WorkerIR:
    """One worker and all that PostgreSQL is told of it."""

    name: str
    kind: Literal["queue", "interval", "cron", "dynamic", "c", "keeper", "scheduler", "runner"]
    title: str
    symbol: str
    file: str
    count: AmountIR
    start: str
    restart: int | None
    connected: bool
    database: SourceIR
    role: SourceIR
    timeout: DelayIR | None
    when: str | None
    unless: str | None
    activity: str
    log_level: str
    main_argument: int
    alive: tuple[str, FieldIR] | None
    on_done: tuple[ActionIR, ...]
    on_failed: tuple[ActionIR, ...]
    on_round: tuple[ActionIR, ...]
    body: QueueBody | SqlBody | CronBody | CBody | KeeperBody | SchedulerBody | RunnerBody
    arguments: tuple[ArgumentIR, ...]
    launch: FunctionIR | None
    launch_struct: str
    notify: bool
    origin: Origin

    @property
    def launched(self) -> bool:
        """Whether the postmaster is told of it only when it is wanted."""
        return self.kind in ("dynamic", "runner")


@dataclass(frozen=True, slots=True)
class ModuleIR:
    """The whole extension.

    ``symbols``, ``types`` and ``macros`` map the short names that templates use to C identifiers of this extension.
    """

    name: str
    version: str
    schema: str
    schema_sql: str
    header: str
    comment: str
    origin: Origin
    symbols: Mapping[str, str]
    types: Mapping[str, str]
    macros: Mapping[str, str]
    settings: tuple[SettingIR, ...]
    shared: tuple[SharedIR, ...]
    queues: tuple[QueueIR, ...]
    workers: tuple[WorkerIR, ...]
    request_shutdown: FunctionIR
    resume: FunctionIR
    shutdown_flag: tuple[str, FieldIR] | None
    processes: FunctionIR
    announce: FunctionIR
    copies: str
    copies_name: str
    accept_copy: SqlLines
    paused_queues: str
    pause_trigger: FunctionIR
    pause_trigger_name: str
    next_run: FunctionIR | None
    next_run_roles: tuple[str, ...]
    local_time: FunctionIR | None
    schedules: SchedulesIR | None
    tables: tuple[ScheduleTableIR, ...]
    roles: tuple[str, ...]
    databases: tuple[SourceIR, ...]
