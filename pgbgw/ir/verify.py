"""Invariants of the middle form; a fault found here is a fault of the lowering, never of a declaration."""

from __future__ import annotations

import re

from pgbgw.ir.model import ActionIR, CBody, FunctionIR, ModuleIR, QueueBody, WorkerIR

__all__ = ["InvariantError", "verify"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class InvariantError(AssertionError):
    """The middle form contradicts itself."""


def verify(module: ModuleIR) -> ModuleIR:
    """Return the module if it holds together, else raise InvariantError."""
    _identifiers(module)
    _unique("file", [worker.file for worker in module.workers])
    _unique("SQL function", [function.name for function in _functions(module)])
    for number, queue in enumerate(module.queues):
        _require(queue.number == number, f"queue {queue.name} is number {number}, not {queue.number}")
        _require(0 < queue.backoff_us <= queue.backoff_limit_us, f"back-off of queue {queue.name}")
    for worker in module.workers:
        _worker(module, worker)
    return module


def _worker(module: ModuleIR, worker: WorkerIR) -> None:
    _require((worker.kind == "dynamic") == (worker.launch is not None), f"launch function of {worker.name}")
    _require(not worker.launched or worker.restart is None, f"restart of {worker.name}")
    connected = worker.connected and not worker.launched
    named = worker.database.value is not None or worker.database.variable is not None
    _require(named == connected, f"database of {worker.name}")
    _require(worker.connected or isinstance(worker.body, CBody), f"connection of {worker.name}")
    if isinstance(worker.body, QueueBody):
        _require(worker.body.queue in module.queues, f"queue of {worker.name}")
        columns = len(worker.body.queue.columns) + 4
        for parameter in worker.body.run.parameters:
            _require(parameter.kind != "column" or parameter.index < columns, f"parameters of {worker.name}")
    fields = {(state.member, field) for state in module.shared for field in state.fields}
    actions: tuple[ActionIR, ...] = worker.on_done + worker.on_failed + worker.on_round
    for action in actions:
        _require((action.member, action.field) in fields, f"action of {worker.name}")


def _identifiers(module: ModuleIR) -> None:
    symbols = [setting.variable for setting in module.settings]
    symbols += [queue.variable for queue in module.queues]
    symbols += [worker.symbol for worker in module.workers]
    symbols += [function.symbol for function in _functions(module)]
    _unique("C symbol", [*symbols, *module.symbols.values()])
    types = [state.struct for state in module.shared] + [w.launch_struct for w in module.workers if w.launch_struct]
    _unique("C type", [*types, *module.types.values()])
    for name in (*symbols, *types, *module.symbols.values(), *module.types.values(), *module.macros.values()):
        _require(_IDENTIFIER.match(name) is not None, f"C identifier {name!r}")


def _functions(module: ModuleIR) -> list[FunctionIR]:
    launches = [worker.launch for worker in module.workers if worker.launch is not None]
    return [
        *(queue.wake for queue in module.queues),
        *(queue.wake_later for queue in module.queues),
        *(
            function
            for queue in module.queues
            if queue.lease
            for function in (
                queue.lease.claim,
                queue.lease.acknowledge,
                queue.lease.extend,
                queue.lease.fail,
                queue.lease.release,
            )
        ),
        *(state.function for state in module.shared),
        *((module.schedules.wake,) if module.schedules else ()),
        *((module.next_run,) if module.next_run else ()),
        *(function for table in module.tables for function in (table.check, table.wake)),
        *launches,
        module.processes,
        module.announce,
        module.pause_trigger,
        module.request_shutdown,
        module.resume,
    ]


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    _require(not twice, f"{what} stands there twice: {', '.join(twice)}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantError(what)
