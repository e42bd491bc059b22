"""The extension: an ordered collection of declared values, each of which knows where it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack, cast

from pgbgw.calendar import Gap, Repeated
from pgbgw.declare.durations import Duration
from pgbgw.declare.naming import durable_name, free_text, sql_name
from pgbgw.declare.places import argument, keyword, shown
from pgbgw.declare.queues import Payload, Queue, queue, role_names
from pgbgw.declare.schedules import CronWorker, Missed, Moment, Overlap
from pgbgw.declare.settings import (
    BoolSetting,
    Context,
    EnumOption,
    EnumSetting,
    Flag,
    IntSetting,
    RealSetting,
    Setting,
    StringSetting,
    Unit,
    enum_options,
)
from pgbgw.declare.shared import BooleanHandle, SharedState, SharedStats, shared_state
from pgbgw.declare.sql import Run
from pgbgw.declare.tables import RunnerWorker, SchedulerWorker, ScheduleTable, schedule_table
from pgbgw.declare.workers import (
    CWorker,
    DynamicWorker,
    Every,
    IntervalWorker,
    KeeperWorker,
    QueueWorker,
    TableOptions,
    Worker,
    WorkerOptions,
    arguments,
)
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin
from pgbgw.sqltext import near

__all__ = ["Extension", "Shutdown"]

P = TypeVar("P", bound=Payload)
S = TypeVar("S", bound=SharedStats)
V = TypeVar("V", bound=Setting)
W = TypeVar("W", bound=Worker)

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_]*(?:-[0-9A-Za-z.+_]+)*\Z")
_SOURCE = re.compile(r"(?:\A|/)[A-Za-z0-9_][A-Za-z0-9_-]*\.c\Z")


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The pair of SQL functions that idle all workers and wake them, and the flag that shows it."""

    request: str
    resume: str
    flag: BooleanHandle | None
    origin: Origin


class Extension:
    """A PostgreSQL extension under declaration.

    Its methods declare settings, shared state, queues and workers; each returns the declared value. Faults are
    reported at once (see ``pgbgw.diagnostics``), so a constructor may raise DeclarationError.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "1.0",
        schema: str | None = None,
        database: str | None = None,
        role: str | None = None,
        comment: str = "",
        operators: str | Sequence[str] = (),
    ) -> None:
        r"""Declare an extension.

        Args:
            name: its name, which prefixes settings, C symbols and files.
            version: the version of its SQL script, as in the control file.
            schema: where its objects stand; its own name unless given.
            database: the database that its workers connect to, unless they name another.
            role: the role that its workers run as, unless they name another; else the bootstrap superuser.
            comment: what it is for, shown by psql's ``\dx``.
            operators: roles that may look at its schedules and their runs, and run, pause, resume and change them.
        """
        self.origin = Origin.of_caller()
        self.name = durable_name("extension", name, self.origin, 0, "name")
        self.version = self._checked_version(version)
        self.schema = sql_name("schema", schema, self.origin, "schema") if schema is not None else self.name
        self.database = sql_name("database", database, self.origin, "database") if database is not None else None
        self.role = sql_name("role", role, self.origin, "role") if role is not None else None
        self.comment = free_text("comment of the extension", comment, self.origin, "comment")
        self.operators = role_names("operators", operators, self.origin, of="the extension")
        self.settings: list[Setting] = []
        self.shared: list[SharedState] = []
        self.queues: list[Queue[Any]] = []
        self.tables: list[ScheduleTable] = []
        self.workers: list[Worker] = []
        prefix = "" if self.schema == self.name else f"{self.name}_"
        self.stop = Shutdown(f"{prefix}request_shutdown", f"{prefix}resume", None, self.origin)
        self._check_reserved()

    def _checked_version(self, version: object) -> str:
        if isinstance(version, str) and _VERSION.match(version):
            return version
        report(Diagnostic("BGW105", f"version of the extension can't be part of a file name: {shown(version)}",
                          argument(self.origin, "version"),
                          detail=f'The script is named "{self.name}--VERSION.sql".',
                          hint='Use letters, digits, dots and single dashes, such as "1.0".'))  # fmt: skip
        return "1.0"

    def _check_reserved(self) -> None:
        what, name, where = ("name", self.name, (0, "name")) if self.name.startswith("pg_") else (
            "schema", self.schema, ("schema",))  # fmt: skip
        if name.startswith("pg_") or name == "information_schema":
            report(Diagnostic("BGW106", f'{what} of the extension is reserved: "{name}"',
                              argument(self.origin, *where),
                              detail="PostgreSQL keeps the prefix \"pg_\" and information_schema for itself.",
                              hint=f"Choose another {what}."))  # fmt: skip

    def bool_setting(
        self,
        name: str,
        default: bool,
        *,
        context: Context = "sighup",
        flags: Sequence[Flag] = (),
        comment: str = "",
        description: str = "",
    ) -> BoolSetting:
        """Declare a boolean setting."""
        return self._setting(BoolSetting, name, context, flags, comment, description, default=default)

    def int_setting(
        self,
        name: str,
        default: int,
        *,
        min: int = 0,
        max: int = 2**31 - 1,
        unit: Unit | None = None,
        context: Context = "sighup",
        flags: Sequence[Flag] = (),
        comment: str = "",
        description: str = "",
    ) -> IntSetting:
        """Declare an integer setting; ``unit`` is what a bare number is counted in."""
        return self._setting(
            IntSetting, name, context, flags, comment, description, default=default, min=min, max=max, unit=unit
        )

    def real_setting(
        self,
        name: str,
        default: float,
        *,
        min: float = 0.0,
        max: float = 1e300,
        unit: Unit | None = None,
        context: Context = "sighup",
        flags: Sequence[Flag] = (),
        comment: str = "",
        description: str = "",
    ) -> RealSetting:
        """Declare a floating-point setting."""
        return self._setting(
            RealSetting, name, context, flags, comment, description, default=default, min=min, max=max, unit=unit
        )

    def string_setting(
        self,
        name: str,
        default: str | None,
        *,
        context: Context = "sighup",
        flags: Sequence[Flag] = (),
        comment: str = "",
        description: str = "",
    ) -> StringSetting:
        """Declare a string setting."""
        return self._setting(StringSetting, name, context, flags, comment, description, default=default)

    def enum_setting(
        self,
        name: str,
        default: str,
        *,
        options: Iterable[str | EnumOption],
        context: Context = "sighup",
        flags: Sequence[Flag] = (),
        comment: str = "",
        description: str = "",
    ) -> EnumSetting:
        """Declare a setting that takes one of ``options``."""
        return self._setting(
            EnumSetting, name, context, flags, comment, description, default=default, options=enum_options(options)
        )

    def shared_stats(
        self,
        name: str,
        fields: type[S],
        *,
        function: str | None = None,
        view: str | None = None,
        columns: Sequence[str] | Mapping[str, str] | None = None,
    ) -> S:
        """Declare state in shared memory and return an instance whose fields are handles.

        Args:
            name: the name of the state.
            fields: the class that lists its fields.
            function: the SQL function that shows it, ``get_<name>_stats`` unless given.
            view: the view over that function, ``<name>_status`` unless given.
            columns: the fields that both show, in order; a mapping from field to column renames them.
        """
        stats = self._instance(name, fields)
        self.shared.append(shared_state(self, name, stats, function, view, columns))
        return stats

    def queue(
        self,
        name: str,
        payload: type[P],
        *,
        retries: int = 5,
        backoff: Duration = Duration(1_000_000),
        backoff_limit: Duration = Duration(3_600_000_000),
        table: str | None = None,
        view: str | None = None,
        crashes: int = 3,
        unique: bool = False,
        producers: str | Sequence[str] = (),
        operators: str | Sequence[str] = (),
        lease: Duration | None = None,
        consumers: str | Sequence[str] = (),
        history: Duration | None = None,
    ) -> Queue[P]:
        """Declare a queue.

        Args:
            name: its name, and that of its table unless ``table`` is given.
            payload: the class whose fields are its columns.
            retries: how often a failed job is tried again before it is given up.
            backoff: how long the first retry waits; each further one waits twice as long.
            backoff_limit: the longest wait between two attempts.
            table: the name of its table.
            view: the name of the view of all its jobs, ``<table>_jobs`` unless given.
            crashes: how often the server may crash while a job runs before that job is given up.
            unique: whether jobs may have a key, of which there is one job at a time.
            producers: roles that may call ``<table>_enqueue`` and ``<table>_enqueue_at``.
            operators: roles that may look at the view, and call the functions that retry, cancel, purge, pause, resume
                and count.
            lease: for how long a session that claims a job has it, unless it says otherwise or renews it. None lets
                only workers in the server take jobs; with leases the extension has a worker that ends them.
            consumers: roles that may call ``<table>_claim`` and what one calls after it.
            history: for how long jobs that are done are kept, in ``<table>_done``, a partition a day; None keeps none.
        """
        declared = queue(
            self, name, payload, retries, backoff, backoff_limit, table, view, crashes, unique, producers, operators,
            lease, consumers, history,
        )  # fmt: skip
        self.queues.append(declared)
        needed = declared.lease is not None or declared.history is not None
        if needed and not any(isinstance(worker, KeeperWorker) for worker in self.workers):
            self.workers.append(KeeperWorker(extension=self, name="keeper", origin=declared.origin))
        return declared

    def queue_worker(
        self,
        name: str,
        queue: Queue[Any],
        *,
        run: Run,
        workers: int | IntSetting = 1,
        batch: int | IntSetting = 100,
        batch_time: Duration = Duration(1_000_000),
        every: Every = Duration(30_000_000),
        synchronous_commit: bool = True,
        **options: Unpack[WorkerOptions],
    ) -> QueueWorker:
        """Declare processes that take jobs from ``queue``.

        Args:
            name: the name of the worker.
            queue: where its jobs come from.
            run: what it does with each; columns of the queue are parameters.
            workers: how many processes; a setting of context ``postmaster`` may say.
            batch: how many jobs one transaction takes at most.
            batch_time: how long a batch may last before jobs that it has not begun go back into the queue.
            every: how often it looks without having been woken.
            synchronous_commit: False where all that the jobs do is in this database: its commits no longer wait for
                the disk, and one that is lost in a crash loses the work and gives the jobs back.
            **options: what every worker may be given.
        """
        return self._worker(
            QueueWorker, name, options, queue=queue, run=run, workers=workers, batch=batch, batch_time=batch_time,
            every=every, synchronous_commit=synchronous_commit,
        )  # fmt: skip

    def interval_worker(
        self, name: str, *, every: Every, run: Run, transaction: bool = True, **options: Unpack[WorkerOptions]
    ) -> IntervalWorker:
        """Declare a process that runs something each interval; ``transaction=False`` runs it at top level."""
        return self._worker(IntervalWorker, name, options, every=every, run=run, transaction=transaction)

    def cron_worker(
        self,
        name: str,
        schedule: str | None = None,
        *,
        run: Run,
        every: Duration | None = None,
        since: Moment | None = None,
        time_zone: str = "UTC",
        gap: Gap = "after",
        repeated: Repeated = "first",
        missed: Missed = "once",
        overlap: Overlap = "wait",
        not_before: Moment | None = None,
        not_after: Moment | None = None,
        jitter: Duration | None = None,
        retries: int = 0,
        backoff: Duration = Duration(1_000_000),
        backoff_limit: Duration = Duration(3_600_000_000),
        transaction: bool = True,
        **options: Unpack[WorkerOptions],
    ) -> CronWorker:
        """Declare a process that runs something by the calendar.

        Args:
            name: the name of the worker, and of its schedule.
            schedule: a cron expression of five fields, or of six with seconds first.
            run: what it does.
            every: in its place, how long it is from one time to the next, in whole seconds.
            since: when the first of these times was or is, with an offset; 2000-01-01T00:00:00Z unless given.
            time_zone: by which clocks, as the tz database calls them.
            gap: whether a fixed time that clocks leave out is due right ``"after"`` the gap, or ``"skip"``.
            repeated: whether a fixed time that clocks show twice is due the ``"first"`` time or ``"both"``.
            missed: what becomes of times at which nothing could run: ``"skip"``, ``"once"``, or ``catch_up(n)``.
            overlap: whether times that come due while a run is under way are missed, ``"wait"``, over with its end,
                ``"skip"``, or run beside it, ``allow(n)``.
            not_before: no time before this one is due; with an offset.
            not_after: no time after this one is due; with an offset.
            jitter: each run begins a random time up to that after it is due.
            retries: how often a failed run is tried again, unless its next time comes first.
            backoff: how long the first retry waits; each further one waits twice as long.
            backoff_limit: the longest wait between two attempts.
            transaction: False runs it at top level.
            **options: what every worker may be given.
        """
        return self._worker(
            CronWorker, name, options, schedule=schedule, run=run, every=every, since=since, time_zone=time_zone,
            gap=gap, repeated=repeated, missed=missed, overlap=overlap, not_before=not_before, not_after=not_after,
            jitter=jitter, retries=retries, backoff=backoff, backoff_limit=backoff_limit, transaction=transaction,
        )  # fmt: skip

    def schedule_table(
        self,
        name: str,
        *,
        runs: int = 4,
        keep: Duration = Duration(7 * 86_400_000_000),
        schedulers: str | Sequence[str] = (),
        **options: Unpack[TableOptions],
    ) -> ScheduleTable:
        """Declare a table whose rows are schedules, which people add and remove at run time; each runs as its owner.

        Args:
            name: its name, with which those of its functions begin, such as ``<name>_schedule``.
            runs: how many runs may be under way at a time.
            keep: for how long it is kept what became of a run.
            schedulers: roles that may have schedules.
            **options: what every worker may be given, for the process that knows when runs are due.
        """
        table = schedule_table(self, name, runs, keep, schedulers)
        self.tables.append(table)
        scheduler = self._worker(SchedulerWorker, table.name, cast(WorkerOptions, options), table=table)
        runner = RunnerWorker(
            extension=self, name=f"{table.name}_runner", title=f"{scheduler.title} runner", origin=table.origin,
            database=scheduler.database, table=table, log_level=scheduler.log_level,
        )  # fmt: skip
        self.workers.append(runner)
        return table

    def dynamic_worker(
        self,
        name: str,
        *,
        run: Run,
        args: Mapping[str, str] | None = None,
        limit: int | IntSetting = 4,
        function: str | None = None,
        notify: bool = True,
        transaction: bool = True,
        **options: Unpack[WorkerOptions],
    ) -> DynamicWorker:
        """Declare a one-shot process that SQL launches.

        Args:
            name: the name of the worker.
            run: what it does; its arguments are parameters.
            args: names and SQL types of its arguments, in order.
            limit: how many may run at once; a setting of context ``postmaster`` may say.
            function: the SQL function that launches it, ``launch_<name>`` unless given.
            notify: whether that function waits until the worker is ready and returns its pid, or returns NULL at once.
            transaction: whether it runs in a transaction block.
            **options: what every worker may be given.
        """
        declared = arguments(name, args, Origin.of_caller())
        return self._worker(
            DynamicWorker, name, options, run=run, args=declared, limit=limit, function=function or "",
            notify=notify, transaction=transaction,
        )  # fmt: skip

    def c_worker(
        self,
        name: str,
        *,
        source: str,
        function: str | None = None,
        every: Every = Duration(60_000_000),
        sql: bool = False,
        **options: Unpack[WorkerOptions],
    ) -> CWorker:
        """Declare a process whose rounds are a C function of your own, with the whole life cycle around it.

        Args:
            name: the name of the worker.
            source: the file with the function, relative to the declaration.
            function: its name, that of the worker unless given: ``void function(Datum main_arg)``.
            every: how often it is called.
            sql: whether it is called inside a transaction with SPI connected; else it has shared memory only.
            **options: what every worker may be given.
        """
        text = _source(name, source, Origin.of_caller())
        return self._worker(
            CWorker, name, options, source=Path(source).name, function=function or "", every=every, sql=sql, text=text
        )

    def shutdown(
        self, *, flag: BooleanHandle | None = None, request: str | None = None, resume: str | None = None
    ) -> Shutdown:
        """Choose the names of the functions that idle and wake all workers, and a boolean that shows the request."""
        origin = Origin.of_caller()
        handle: object = flag
        if not isinstance(handle, BooleanHandle | None):
            report(Diagnostic("BGW413", f"flag of the shutdown is not a boolean of shared state: {shown(handle)}",
                              argument(origin, "flag"),
                              hint="Give flag= a Boolean field, or leave it out."))  # fmt: skip
            flag = None
        self.stop = Shutdown(
            sql_name("function", request, origin, "request") if request is not None else self.stop.request,
            sql_name("function", resume, origin, "resume") if resume is not None else self.stop.resume,
            flag,
            origin,
        )
        return self.stop

    def _setting(
        self,
        kind: type[V],
        name: str,
        context: Context,
        flags: Sequence[Flag],
        comment: str,
        description: str,
        **rest: object,
    ) -> V:
        # A single word is a sequence of letters to Python.
        chosen: tuple[Any, ...] = (flags,) if isinstance(flags, str) else tuple(flags)
        setting = kind(
            extension=self, name=name, context=context, flags=chosen, comment=comment, description=description,
            origin=Origin.of_caller(), **rest,
        )  # fmt: skip
        self.settings.append(setting)
        return setting

    def _instance(self, name: str, fields: type[S]) -> S:
        base: object = fields
        if isinstance(base, type) and issubclass(base, SharedStats):
            return fields()
        report(Diagnostic("BGW602", f'fields of shared state "{name}" are not a SharedStats class: {shown(base)}',
                          argument(Origin.of_caller(), 1, "fields"),
                          hint="Derive a class from pgbgw.SharedStats and give the class itself."))  # fmt: skip
        return cast(S, _NoStats())

    def _worker(self, kind: type[W], name: str, options: WorkerOptions, **rest: object) -> W:
        origin = Origin.of_caller()
        options_of = TableOptions if kind is SchedulerWorker else WorkerOptions
        known = [*options_of.__annotations__, *(option for option in rest if option not in ("text", "table"))]
        for option in options:
            if option not in known:
                suggestion = near(option, known)
                report(Diagnostic("BGW414", f'{kind.kind} "{name}" has no option "{option}"', keyword(origin, option),
                                  detail=f"Its options are {', '.join(sorted(known))}.",
                                  hint=f"Did you mean {suggestion}?" if suggestion else "Remove it."))  # fmt: skip
        given = {option: value for option, value in options.items() if option in known}
        worker = kind(extension=self, name=name, origin=origin, **given, **rest)  # type: ignore[arg-type]
        self.workers.append(worker)
        return worker


class _NoStats(SharedStats):
    """What shared_stats() goes on with when it was given no class of fields."""


def _source(worker: str, source: str, origin: Origin) -> str:
    """The text of a C worker's source file; reports BGW412."""
    where = argument(origin, "source")
    if not _SOURCE.search(source):
        report(Diagnostic("BGW412", f'source of C worker "{worker}" is not the name of a C file: {shown(source)}',
                          where, hint="Use letters, digits, dashes and underscores, and the ending .c."))  # fmt: skip
    try:
        return (Path(origin.path).parent / source).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        report(Diagnostic("BGW412", f'source of C worker "{worker}" can\'t be read: {source}', where,
                          detail=f"{reason[:1].upper()}{reason[1:]}.",
                          hint="Give a path relative to the declaration's file."))  # fmt: skip
        return ""
