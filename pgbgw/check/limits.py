"""What the server has room for: slots of background workers, bgw_extra, arguments of functions."""

from __future__ import annotations

from collections.abc import Iterator

from pgbgw.check.target import Rule, Target
from pgbgw.check.uses import run_of
from pgbgw.declare.extension import Extension
from pgbgw.declare.launch import EXTRA_BYTES, OWN_BYTES, needed_bytes
from pgbgw.declare.places import argument
from pgbgw.declare.schedules import CronWorker
from pgbgw.declare.settings import IntSetting
from pgbgw.declare.sql import Call
from pgbgw.declare.tables import RunnerWorker
from pgbgw.declare.workers import DynamicWorker, QueueWorker, Worker
from pgbgw.diagnostics import Diagnostic

__all__ = ["RULES"]

FUNCTION_ARGUMENTS = 100  # FUNC_MAX_ARGS


def slots(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW701 to BGW703: processes against max_worker_processes."""
    most = target.max_worker_processes
    total = 0
    static = [worker for worker in extension.workers if not isinstance(worker, DynamicWorker | RunnerWorker)]
    for worker in static:
        before, total = total, total + _processes(worker)
        if before <= most < total:
            everyone = sum(map(_processes, static))
            yield Diagnostic(
                "BGW701",
                f"workers need {everyone} processes, and max_worker_processes is {most}",
                argument(worker.origin, "workers", "overlap", 0, "name"),
                detail=f"From {worker} on, not all would be registered.",
                hint="Declare fewer processes, or check for a server with more.",
            )
    if total and most - 1 <= total <= most:
        yield Diagnostic(
            "BGW702",
            f"workers take {total} of {most} slots of max_worker_processes",
            argument(static[-1].origin, "workers", 0, "name"),
            detail="The launcher of logical replication takes one before them, unless max_logical_replication_workers "
            "is 0, so that " + ("one of them is not registered." if total == most else "no parallel query gets any."),
            hint="Raise max_worker_processes on the server.",
        )
    yield from _dynamic_slots(extension, total, most)


def _dynamic_slots(extension: Extension, static: int, most: int) -> Iterator[Diagnostic]:
    if static > most:
        return
    total = static
    for worker in extension.workers:
        if isinstance(worker, DynamicWorker | RunnerWorker):
            option = "limit" if isinstance(worker, DynamicWorker) else "runs"
            limit = worker.limit if isinstance(worker, DynamicWorker) else worker.table.runs
            before, total = total, total + _number(limit)
            if before <= most < total:
                yield Diagnostic(
                    "BGW703",
                    f"{worker} may find no slot: {total} processes, and max_worker_processes is {most}",
                    argument(worker.origin, option, 0, "name"),
                    detail=f"Static workers take {static} of them; those that are launched come on top.",
                    hint=f"Lower {option}=, or raise max_worker_processes on the server.",
                )


def _processes(worker: Worker) -> int:
    if isinstance(worker, CronWorker):
        return worker.processes
    return _number(worker.workers) if isinstance(worker, QueueWorker) else 1


def _number(value: int | IntSetting) -> int:
    return value.default if isinstance(value, IntSetting) else value


def extra(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW704: the arguments of a dynamic worker fit into bgw_extra."""
    for worker in extension.workers:
        if isinstance(worker, DynamicWorker):
            needed = needed_bytes(worker.args) - OWN_BYTES
            if needed > EXTRA_BYTES - OWN_BYTES:
                yield Diagnostic(
                    "BGW704",
                    f"arguments of {worker} do not fit: {needed} bytes or more, of {EXTRA_BYTES - OWN_BYTES}",
                    argument(worker.origin, "args"),
                    detail=f"They travel in bgw_extra, {EXTRA_BYTES} bytes, {OWN_BYTES} of which are taken.",
                    hint="Pass the key of a row, and let the worker read the row.",
                )


def function_arguments(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW705: a function has at most 100 arguments."""
    for worker in extension.workers:
        run = run_of(worker)
        if isinstance(run, Call) and len(run.arguments) > FUNCTION_ARGUMENTS:
            yield Diagnostic(
                "BGW705",
                f"{worker} calls a function with {len(run.arguments)} arguments",
                run.origin,
                detail=f"Functions of PostgreSQL have at most {FUNCTION_ARGUMENTS} (FUNC_MAX_ARGS).",
                hint="Pass fewer, for instance one value of type jsonb.",
            )


RULES: tuple[Rule, ...] = (slots, extra, function_arguments)
