"""Who uses what: the settings, shared-memory handles and parameters of workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pgbgw.declare.extension import Extension
from pgbgw.declare.places import argument
from pgbgw.declare.queues import JOB_COLUMNS, Queue
from pgbgw.declare.schedules import CronWorker
from pgbgw.declare.settings import EnumSetting, Setting
from pgbgw.declare.shared import Action, Handle
from pgbgw.declare.sql import Call, Sql
from pgbgw.declare.workers import CWorker, DynamicWorker, IntervalWorker, QueueWorker, Worker
from pgbgw.origin import Origin

__all__ = [
    "Parameter",
    "Use",
    "actions",
    "columns",
    "handles",
    "parameters",
    "run_of",
    "runs_sql",
    "uses",
]

_ACTION_OPTIONS = ("on_done", "on_failed", "on_round")

_READ_ONCE = ("database", "role", "workers", "limit")
_READ_IN_THE_LOOP = ("when", "unless", "batch", "every", "timeout")


class Use(NamedTuple):
    """A setting in an option of a worker, or as a parameter of what it runs (``option`` has a colon then)."""

    worker: Worker
    option: str
    setting: Setting

    @property
    def once(self) -> bool:
        """Whether it is read at server start and never again."""
        return self.option in _READ_ONCE


class Parameter(NamedTuple):
    """A name that a value is taken by: at an offset of the statement, or an index among the arguments of call()."""

    name: str
    run: Sql | Call
    position: int

    @property
    def origin(self) -> Origin:
        """Where it stands in the source file."""
        if isinstance(self.run, Sql):
            return self.run.at(self.position, len(self.name) + 1)
        return argument(self.run.origin, self.position)


def uses(extension: Extension) -> Iterator[Use]:
    """Every use of a setting, in order of declaration."""
    by_name = {setting.name: setting for setting in extension.settings}
    for worker in extension.workers:
        for option in (*_READ_ONCE, *_READ_IN_THE_LOOP):
            value = getattr(worker, option, None)
            if isinstance(value, Setting):
                yield Use(worker, option, value)
        own = columns(worker)
        for name, _, _ in parameters(worker):
            if name not in own and name in by_name and not isinstance(by_name[name], EnumSetting):
                yield Use(worker, f":{name}", by_name[name])


def run_of(worker: Worker) -> Sql | Call | None:
    """What the worker runs; None for a C worker, and where a faulty value was reported already."""
    running = QueueWorker | IntervalWorker | CronWorker | DynamicWorker
    run: object = worker.run if isinstance(worker, running) else None
    return run if isinstance(run, Sql | Call) else None


def runs_sql(worker: Worker) -> bool:
    """Whether the worker needs a database."""
    return not isinstance(worker, CWorker) or worker.sql


def parameters(worker: Worker) -> Iterator[Parameter]:
    """What the statement or the call takes values by."""
    run = run_of(worker)
    if isinstance(run, Sql) and run.parsed is not None:
        for used in run.parsed.parameters:
            yield Parameter(used.name, run, used.offset)
    elif isinstance(run, Call):
        for index, name in enumerate(run.arguments):
            yield Parameter(name, run, index + 1)


def columns(worker: Worker) -> tuple[str, ...]:
    """Names that are the worker's own: columns of its queue, or its arguments."""
    if isinstance(worker, QueueWorker):
        queue: object = worker.queue
        return (*(column.name for column in queue.columns), *JOB_COLUMNS) if isinstance(queue, Queue) else ()
    return tuple(each.name for each in worker.args) if isinstance(worker, DynamicWorker) else ()


def actions(worker: Worker) -> Iterator[tuple[str, Action]]:
    """Every action of a worker, with its option."""
    for option in _ACTION_OPTIONS:
        for action in getattr(worker, option):
            yield option, action


def handles(worker: Worker) -> Iterator[tuple[str, Handle]]:
    """Every field of shared state that a worker touches, with the option that names it."""
    if worker.alive is not None:
        yield "alive", worker.alive
    for option, action in actions(worker):
        yield option, action.target
