"""What workers run: statements that can't be used, and parameters without a source."""

from __future__ import annotations

from collections.abc import Iterator

from pgbgw.check.target import Rule, Target
from pgbgw.check.uses import columns, parameters, run_of
from pgbgw.declare.extension import Extension
from pgbgw.declare.places import argument
from pgbgw.declare.queues import JOB_COLUMNS
from pgbgw.declare.settings import EnumSetting
from pgbgw.declare.sql import Call, Sql
from pgbgw.declare.workers import DynamicWorker, QueueWorker, Worker
from pgbgw.diagnostics import Diagnostic
from pgbgw.sqltext import SqlError, near

__all__ = ["RULES"]

_REFUSED = {
    "syntax": ("BGW201", "does not parse"),
    "empty": ("BGW202", "is not one statement"),
    "many": ("BGW202", "is not one statement"),
    "transaction_control": ("BGW203", "controls the transaction"),
    "unsupported": ("BGW206", "can't be run by a worker"),
}


def statements(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW201 to BGW206 and BGW208: what the parser refused."""
    for worker in extension.workers:
        run = run_of(worker)
        if isinstance(run, Sql) and run.error is not None:
            code, problem = _problem(run, run.error)
            yield Diagnostic(
                code, f"SQL of {worker} {problem}: {run.error.message}", run.at(run.error.offset), hint=run.error.hint
            )


def _problem(run: Sql, error: SqlError) -> tuple[str, str]:
    if error.kind == "parameter":
        # A parameter by name that can't stand there, or a number in place of a name.
        named = run.text[error.offset : error.offset + 1] == ":"
        return ("BGW208", "has a parameter that can't be used") if named else ("BGW205", "has a parameter by number")
    return _REFUSED[error.kind]


def blocks(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW204 and BGW209: statements outside a transaction block, and calls that can't be."""
    for worker in extension.workers:
        run = run_of(worker)
        inside = getattr(worker, "transaction", True)
        if isinstance(run, Sql) and run.parsed is not None and run.parsed.outside_block and inside:
            yield Diagnostic(
                "BGW204",
                f"SQL of {worker} can't run in a transaction block: {run.parsed.command}",
                run.at(_first_word(run.text), len(run.parsed.command.split()[0])),
                detail="PostgreSQL refuses it inside a transaction block.",
                hint="Run it in an interval worker with transaction=False; a queue worker has one transaction a batch."
                if isinstance(worker, QueueWorker)
                else "Declare the worker with transaction=False, which runs the statement at top level.",
            )
        if isinstance(run, Call) and not inside:
            yield Diagnostic(
                "BGW209",
                f"{worker} calls a function outside a transaction",
                argument(worker.origin, "transaction"),
                detail="A function runs inside a transaction always; call() has no statement around it.",
                hint='Leave transaction=False out, or write run=sql("CALL ...") of a procedure that commits.',
            )


def _first_word(text: str) -> int:
    return len(text) - len(text.lstrip())


def sources(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW207: every parameter has a source."""
    settings = {setting.name: setting for setting in extension.settings}
    for worker in extension.workers:
        if isinstance(worker, QueueWorker) and not columns(worker):
            continue  # its queue is none, which was reported
        own = columns(worker)
        usable = [name for name, setting in settings.items() if not isinstance(setting, EnumSetting)]
        known = [*own, *usable, "main_argument"]
        for parameter in parameters(worker):
            name = parameter.name
            if name not in known:
                suggestion = near(name, known)
                yield Diagnostic(
                    "BGW207",
                    f'parameter "{name}" of {worker} has no source',
                    parameter.origin,
                    detail="Enum settings can't be parameters." if name in settings else _known(worker, own, usable),
                    hint=f"Did you mean {suggestion}?" if suggestion else "Use one of those, or declare a setting.",
                )


def _known(worker: Worker, own: tuple[str, ...], settings: list[str]) -> str:
    parts = []
    if isinstance(worker, QueueWorker):
        payload = [name for name in own if name not in JOB_COLUMNS]
        parts.append(f"columns {', '.join([*payload, *JOB_COLUMNS])}")
    elif own:
        parts.append(f"arguments {', '.join(own)}")
    if settings:
        parts.append(f"settings {', '.join(settings)}")
    return f"There are {'; '.join([*parts, 'main_argument'])}."


def unused_arguments(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW212: an argument that nothing reads."""
    for worker in extension.workers:
        run = run_of(worker)
        if not isinstance(worker, DynamicWorker) or run is None or (isinstance(run, Sql) and run.parsed is None):
            continue
        used = {parameter.name for parameter in parameters(worker)}
        for each in worker.args:
            if each.name not in used:
                yield Diagnostic(
                    "BGW212",
                    f'argument "{each.name}" of {worker} is not used',
                    argument(worker.origin, "args"),
                    detail="Who launches the worker has to give it a value, and nothing reads it.",
                    hint="Use it in run=, or remove it.",
                )


def batch_calls(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW213: only a queue worker has jobs to hand over as a batch."""
    for worker in extension.workers:
        run = run_of(worker)
        if isinstance(run, Call) and run.batch and not isinstance(worker, QueueWorker):
            yield Diagnostic(
                "BGW213",
                f"{worker} has no batch to hand to its function",
                argument(run.origin, "batch"),
                detail="With batch=True each column of a queue is an array, and it has no queue.",
                hint="Leave batch=True out.",
            )


RULES: tuple[Rule, ...] = (statements, blocks, sources, unused_arguments, batch_calls)
