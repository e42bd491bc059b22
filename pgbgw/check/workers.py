"""Workers: connections, start times, options that contradict each other, sources of C workers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgbgw.check.target import Rule, Target, place
from pgbgw.check.uses import handles, run_of, runs_sql, uses
from pgbgw.declare.durations import Never
from pgbgw.declare.extension import Extension
from pgbgw.declare.places import argument
from pgbgw.declare.queues import Queue
from pgbgw.declare.schedules import CronWorker
from pgbgw.declare.sql import Sql
from pgbgw.declare.tables import RunnerWorker
from pgbgw.declare.workers import CWorker, DynamicWorker, QueueWorker
from pgbgw.diagnostics import Diagnostic
from pgbgw.origin import Origin

__all__ = ["RULES"]

_EMITTED = (
    "answer.c",
    "batch.c",
    "behind.c",
    "calendar.c",
    "careful.c",
    "claim.c",
    "database.c",
    "direct.c",
    "give.c",
    "history.c",
    "keep.c",
    "lane.c",
    "launch.c",
    "lease.c",
    "life_cycle.c",
    "log.c",
    "module.c",
    "queue.c",
    "runner.c",
    "runs.c",
    "schedule.c",
    "scheduler.c",
    "session.c",
    "settle.c",
    "shared.c",
    "statement.c",
    "table.c",
    "top_level.c",
)


def databases(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW420: a worker that runs SQL has a database."""
    for worker in extension.workers:
        launched = isinstance(worker, DynamicWorker | RunnerWorker)
        if runs_sql(worker) and worker.database is None and not launched:
            yield Diagnostic(
                "BGW420",
                f"{worker} runs SQL without a database",
                argument(worker.origin, 0, "name"),
                detail="A background worker is connected to one database for its whole life.",
                hint=f'Write Extension("{extension.name}", database="..."), or give the worker database=.',
            )


def start_times(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW421 and BGW422: SQL needs a database, and writes need the end of recovery."""
    for worker in extension.workers:
        if worker.start == "postmaster" and runs_sql(worker) and not isinstance(worker, DynamicWorker):
            yield Diagnostic(
                "BGW421",
                f'{worker} runs SQL and has start="postmaster"',
                argument(worker.origin, "start"),
                detail="At that time there is no database yet; only a C worker with sql=False can start then.",
                hint="Leave start= out.",
            )
        if worker.start != "consistent":
            continue
        run = run_of(worker)
        if isinstance(worker, QueueWorker):
            reason = "To take a job from a queue is a write."
        elif isinstance(worker, CronWorker):
            reason = "What became of a run is written down."
        elif isinstance(run, Sql) and run.parsed is not None and not run.parsed.read_only:
            reason = f"{run.parsed.command} is not of a shape that only reads."
        else:
            continue
        yield Diagnostic(
            "BGW422",
            f'{worker} writes and has start="consistent"',
            argument(worker.origin, "start"),
            detail=f"It would run during recovery and on a standby. {reason}",
            hint="Leave start= out: the worker starts when the server takes writes, on a promoted standby too.",
        )


def dynamic_options(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW423: options that make no sense for a process that is launched from SQL and runs once."""
    for worker in extension.workers:
        if not isinstance(worker, DynamicWorker):
            continue
        caller = "It runs in the database and as the role of who launches it."
        for option, senseless, reason in (
            ("restart", not isinstance(worker.restart, Never), "A second run would repeat the work of the first."),
            ("database", worker.database is not None, caller),
            ("role", worker.role is not None, caller),
            ("when", worker.when is not None, "It has no rounds before which a setting could be read."),
            ("unless", worker.unless is not None, "It has no rounds before which a setting could be read."),
            ("on_round", bool(worker.on_round), "It runs once; on_done= and on_failed= tell how that went."),
            ("start", worker.start == "postmaster", "It runs SQL, and is launched from SQL."),
        ):
            if senseless:
                yield Diagnostic(
                    "BGW423",
                    f"{option}= makes no sense for {worker}",
                    argument(worker.origin, option),
                    detail=reason,
                    hint=f"Leave {option}= out.",
                )


def strangers(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW424: settings, queues and shared state are the extension's own."""
    for use in uses(extension):
        if use.setting.extension is not extension:
            yield _stranger(f'setting "{use.setting.name}"', str(use.worker), use.worker.origin, use.option)
    own = [id(state.stats) for state in extension.shared]
    for worker in extension.workers:
        for option, handle in handles(worker):
            if id(handle.stats) not in own:
                yield _stranger(f'field "{handle.field}"', str(worker), worker.origin, option)
        queue: object = worker.queue if isinstance(worker, QueueWorker) else None
        if isinstance(queue, Queue) and queue.extension is not extension:
            yield _stranger(f'queue "{queue.name}"', str(worker), worker.origin, 1, "queue")
    flag = extension.stop.flag
    if flag is not None and id(flag.stats) not in own:
        yield _stranger(f'field "{flag.field}"', "the shutdown", extension.stop.origin, "flag")


def _stranger(what: str, user: str, origin: Origin, *where: str | int) -> Diagnostic:
    return Diagnostic(
        "BGW424",
        f"{what} belongs to another extension than {user}",
        argument(origin, *where),
        detail="Variables and shared memory of another library are out of reach.",
        hint="Declare one in this extension.",
    )


def c_sources(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW412 and BGW415: a source has the function, and no two sources clash."""
    emitted = set(_EMITTED)
    files: dict[str, CWorker] = {}
    functions: dict[str, CWorker] = {}
    for worker in extension.workers:
        if not isinstance(worker, CWorker) or not worker.text:
            continue
        if not re.search(rf"\b{re.escape(worker.function)}\b", worker.text):
            yield Diagnostic(
                "BGW412",
                f'source of {worker} has no function "{worker.function}": {worker.source}',
                argument(worker.origin, "function", 0, "name"),
                detail="The server could not load the library.",
                hint=f"Define void {worker.function}(Datum main_arg) there, or name the function with function=.",
            )
        if worker.source in emitted or worker.source.startswith("worker_"):
            yield Diagnostic(
                "BGW415",
                f"source of {worker} has the name of an emitted file: {worker.source}",
                argument(worker.origin, "source"),
                detail="All files of the extension stand in one folder.",
                hint="Rename the file.",
            )
        same = files.setdefault(worker.source, worker)
        if same.text != worker.text:
            yield _clash(worker, same, f"another file of the name {worker.source}", "source")
        first = functions.setdefault(worker.function, worker)
        if first.source != worker.source:
            yield _clash(worker, first, f'another function "{worker.function}"', "function", 0, "name")


def _clash(worker: CWorker, first: CWorker, what: str, *where: str | int) -> Diagnostic:
    return Diagnostic(
        "BGW415",
        f"{worker} brings {what} than {first}",
        argument(worker.origin, *where),
        detail=f"Both become part of one library; the first one stands at {place(first.origin, worker.origin)}.",
        hint="Rename one of them.",
    )


def operators(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW426: operators of the extension have schedules to look after."""
    if extension.operators and not any(isinstance(worker, CronWorker) for worker in extension.workers):
        yield Diagnostic(
            "BGW426",
            f'extension "{extension.name}" has operators and no schedules',
            argument(extension.origin, "operators"),
            detail="They look after workers that run by the calendar.",
            hint="Declare a cron_worker(), or give operators= to a queue.",
        )


RULES: tuple[Rule, ...] = (databases, start_times, dynamic_options, strangers, c_sources, operators)
