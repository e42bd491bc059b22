"""Shared state as its views show it: which fields tell of jobs and of living processes, and whether they are right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pgbgw.faults.stage import Stage
from pgbgw.ir.model import ActionIR, FieldIR, SharedIR, WorkerIR

__all__ = ["gauges", "job_counters", "read", "wrong_gauges"]


def read(stage: Stage, state: SharedIR, column: str) -> Any:
    """The value of a column now."""
    return stage.value(f"SELECT {column} FROM {state.view}")


def job_counters(stage: Stage) -> list[tuple[SharedIR, str]]:
    """Counters that grow with jobs that are done, and with nothing else as long as no worker is launched."""
    takers = [taker for line in stage.lines for taker in line.takers]
    wanted = _touched(a for taker in takers for a in taker.on_done if a.operation == "add" and a.value)
    for worker in stage.module.workers:
        wanted -= _touched((*worker.on_failed, *worker.on_round))
        if worker not in takers and not worker.launched:
            wanted -= _touched(worker.on_done)
    return [
        (state, column.name)
        for state in stage.module.shared
        for column in state.columns
        if column.field.kind in ("counter", "hot") and (state.member, column.field) in wanted
    ]


def gauges(stage: Stage) -> list[tuple[SharedIR, str, set[str]]]:
    """Gauges that count the living processes of some workers, and the names of these."""
    workers = stage.module.workers
    touched = _touched(a for w in workers for a in (*w.on_done, *w.on_failed, *w.on_round))
    found = []
    for state in stage.module.shared:
        for column in state.columns:
            names = {worker.name for worker in workers if _counts(worker, state, column.field)}
            if names and (state.member, column.field) not in touched:
                found.append((state, column.name, names))
    return found


def wrong_gauges(stage: Stage) -> list[str]:
    """What gauges of living processes show, where it is not the number of processes that live."""
    wrong = []
    for state, column, names in gauges(stage):
        living = len([each for each in stage.processes() if each.pid is not None and each.worker in names])
        shown = read(stage, state, column)
        if shown != living:
            wrong.append(f"{column} is {shown}, and {living} processes live")
    return wrong


def _counts(worker: WorkerIR, state: SharedIR, field: FieldIR) -> bool:
    return worker.alive == (state.member, field)


def _touched(actions: Iterable[ActionIR]) -> set[tuple[str, FieldIR]]:
    return {(action.member, action.field) for action in actions}
