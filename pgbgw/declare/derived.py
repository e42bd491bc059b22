"""Names of SQL objects that follow from declared names; the objects stand in the extension's schema, unquoted here.

Indexes and sequences have the names that PostgreSQL itself would choose (makeObjectName in indexcmds.c), so that people
who know PostgreSQL guess them right; but for the index by priority and time, whose name would be long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pgbgw.declare.extension import Extension
from pgbgw.declare.queues import Queue
from pgbgw.declare.tables import ScheduleTable

__all__ = [
    "LeaseFunctions",
    "QueueIndexes",
    "QueueTables",
    "announce",
    "copies",
    "extension_functions",
    "lease_functions",
    "pause_trigger",
    "paused_queues",
    "processes",
    "queue_channel",
    "queue_default",
    "queue_done",
    "queue_done_index",
    "queue_ends_index",
    "queue_functions",
    "queue_indexes",
    "queue_keys",
    "queue_later_trigger",
    "queue_partition",
    "queue_running",
    "queue_sequence",
    "queue_suspects",
    "queue_tables",
    "queue_tokens",
    "queue_trigger",
    "queue_update_trigger",
    "schedule_objects",
    "table_objects",
]


class QueueTables(NamedTuple):
    """The tables of a queue, one for each state of a job."""

    now: str
    later: str
    failed: str


class QueueFunctions(NamedTuple):
    """The SQL functions of a queue, for producers and for those who look after it."""

    enqueue: str
    enqueue_at: str
    enqueue_many: str
    retry: str
    cancel: str
    purge: str
    pause: str
    resume: str
    counts: str


class LeaseFunctions(NamedTuple):
    """The SQL functions for those who take jobs of a queue in sessions of their own."""

    claim: str
    acknowledge: str
    extend: str
    fail: str
    release: str


class ScheduleObjects(NamedTuple):
    """What an extension has with workers that run by the calendar: tables, an index, a view, functions."""

    table: str
    runs: str
    runs_sequence: str
    runs_index: str
    view: str
    wake: str
    run: str
    pause: str
    resume: str
    change: str


class TableObjects(NamedTuple):
    """What a table of schedules has: relations, and functions from ``check`` on."""

    table: str
    sequence: str
    pkey: str
    key: str
    runs: str
    runs_sequence: str
    runs_pkey: str
    runs_index: str
    ended_index: str
    open_index: str
    view: str
    check: str
    wake: str
    truncate: str
    schedule: str
    unschedule: str
    run: str
    pause: str
    resume: str


class QueueIndexes(NamedTuple):
    """The indexes of those tables."""

    now_pkey: str
    later_pkey: str
    later_due: str
    failed_pkey: str


def queue_tables(queue: Queue[Any]) -> QueueTables:
    """Jobs that can run, jobs that wait, and jobs that were given up."""
    return QueueTables(queue.table, f"{queue.table}_later", f"{queue.table}_failed")


def queue_indexes(queue: Queue[Any]) -> QueueIndexes:
    """Primary keys, and the index by priority and time of the jobs that wait."""
    now, later, failed = queue_tables(queue)
    return QueueIndexes(f"{now}_pkey", f"{later}_pkey", f"{later}_run_at_idx", f"{failed}_pkey")


def queue_functions(queue: Queue[Any]) -> QueueFunctions:
    """What producers call, and what those call who look after the queue."""
    return QueueFunctions(*(f"{queue.table}_{verb}" for verb in QueueFunctions._fields))


def lease_functions(queue: Queue[Any]) -> LeaseFunctions:
    """What consumers call, where the queue has leases."""
    return LeaseFunctions(*(f"{queue.table}_{verb}" for verb in LeaseFunctions._fields))


def queue_running(queue: Queue[Any]) -> str:
    """The table of leased jobs."""
    return f"{queue.table}_running"


def queue_ends_index(queue: Queue[Any]) -> str:
    """The index of leased jobs by the end of their leases."""
    return f"{queue.table}_running_lease_end_idx"


def queue_done(queue: Queue[Any]) -> str:
    """The table of jobs that are done, which has a partition a day."""
    return f"{queue.table}_done"


def queue_done_index(queue: Queue[Any]) -> str:
    """The index by id of the jobs in its default partition."""
    return f"{queue_default(queue)}_id_idx"


def queue_default(queue: Queue[Any]) -> str:
    """The partition for jobs that are done on a day that has none."""
    return f"{queue_done(queue)}_default"


def queue_partition(queue: Queue[Any]) -> str:
    """The names of the partitions of a day, which end in its date, eight digits."""
    return f"{queue_done(queue)}_"


def queue_tokens(queue: Queue[Any]) -> str:
    """The sequence of the tokens of leases."""
    return f"{queue.table}_token_seq"


def queue_channel(queue: Queue[Any]) -> str:
    """The channel on which listeners are told of its jobs."""
    return f"{queue.extension.name}_{queue.table}"


def queue_keys(queue: Queue[Any]) -> str:
    """The table of the keys of its jobs, where these are unique."""
    return f"{queue.table}_keys"


def queue_suspects(queue: Queue[Any]) -> str:
    """The table of jobs that are run alone after a crash."""
    return f"{queue.table}_suspects"


def queue_sequence(queue: Queue[Any]) -> str:
    """The sequence behind the identity column."""
    return f"{queue.table}_id_seq"


def queue_trigger(queue: Queue[Any]) -> str:
    """The function, and the trigger, that wakes the queue's workers at commit."""
    return f"{queue.table}_wake"


def queue_later_trigger(queue: Queue[Any]) -> str:
    """The same for the jobs that wait."""
    return f"{queue.table}_later_wake"


def queue_update_trigger(queue: Queue[Any]) -> str:
    """The trigger that does so when a job is changed."""
    return f"{queue.table}_update_wake"


def announce(extension: Extension) -> str:
    """The function that the install script calls at its end, so that workers that wait for the extension begin."""
    return f"{extension.name}_announce"


def copies(extension: Extension) -> str:
    """The table that tells a restored copy of a database from the database itself."""
    return f"{extension.name}_copies"


def paused_queues(extension: Extension) -> str:
    """The table of the queues that are paused."""
    return "paused_queues" if extension.schema == extension.name else f"{extension.name}_paused_queues"


def pause_trigger(extension: Extension) -> str:
    """The function, and the trigger, that tells when that table has changed."""
    return f"{paused_queues(extension)}_wake"


def next_run(extension: Extension) -> str:
    """The function that tells when something is due; with a prefix where the schema is not the extension's own."""
    return "next_run" if extension.schema == extension.name else f"{extension.name}_next_run"


def local_time(extension: Extension) -> str:
    """The function that tells what the clocks of a time zone show; with a prefix as that."""
    return "local_time" if extension.schema == extension.name else f"{extension.name}_local_time"


def schedule_objects(extension: Extension) -> ScheduleObjects:
    """All with a prefix where the schema is not the extension's own."""
    prefix = "" if extension.schema == extension.name else f"{extension.name}_"
    names = (
        *("schedules", "schedule_runs", "schedule_runs_id_seq", "schedule_runs_schedule_id_idx", "schedule_status"),
        *("schedules_wake", "run_schedule", "pause_schedule", "resume_schedule", "change_schedule"),
    )
    return ScheduleObjects(*(f"{prefix}{name}" for name in names))


def table_objects(table: ScheduleTable) -> TableObjects:
    """All begin with the name of the table."""
    endings = (
        *("", "_id_seq", "_pkey", "_owner_name_key", "_runs", "_runs_id_seq", "_runs_pkey", "_runs_schedule_id_idx"),
        *("_runs_ended_at_idx", "_runs_open_idx", "_status", "_check", "_wake", "_truncate_wake"),
        *("_schedule", "_unschedule", "_run", "_pause", "_resume"),
    )
    return TableObjects(*(f"{table.name}{ending}" for ending in endings))


def processes(extension: Extension) -> str:
    """The function that lists the extension's processes; with a prefix where the schema is not the extension's own."""
    return "workers" if extension.schema == extension.name else f"{extension.name}_workers"


def extension_functions(extension: Extension) -> tuple[str, ...]:
    """Functions that every extension has."""
    return announce(extension), processes(extension), extension.stop.request, extension.stop.resume
