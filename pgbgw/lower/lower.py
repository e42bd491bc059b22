"""From a checked declaration to the middle form: every name, number and statement is decided here."""

from __future__ import annotations

from typing import Any

from pgbgw.check import Checked
from pgbgw.declare.derived import (
    announce,
    copies,
    pause_trigger,
    paused_queues,
    processes,
)
from pgbgw.declare.durations import Duration
from pgbgw.declare.extension import Extension
from pgbgw.declare.queues import JOB_COLUMNS
from pgbgw.declare.schedules import CronWorker
from pgbgw.declare.settings import (
    BoolSetting,
    EnumSetting,
    IntSetting,
    RealSetting,
    Setting,
    StringSetting,
)
from pgbgw.declare.shared import Action, Boolean, Counter, Field, Float, Handle, Integer, SharedState, Text, Timestamp
from pgbgw.declare.tables import RunnerWorker, SchedulerWorker
from pgbgw.declare.workers import CWorker, DynamicWorker, IntervalWorker, KeeperWorker, QueueWorker, Worker
from pgbgw.ir.model import (
    ActionIR,
    AmountIR,
    CBody,
    CronBody,
    DelayIR,
    FieldIR,
    FlagIR,
    FunctionIR,
    KeeperBody,
    ModuleIR,
    OptionIR,
    QueueBody,
    QueueIR,
    RunnerBody,
    SchedulerBody,
    ScheduleTableIR,
    SettingIR,
    SharedColumnIR,
    SharedIR,
    SourceIR,
    SqlBody,
    WorkerIR,
)
from pgbgw.ir.verify import verify
from pgbgw.lower import queries
from pgbgw.lower.names import Names
from pgbgw.lower.queues import QueueLowering
from pgbgw.lower.runs import lower_arguments, lower_run
from pgbgw.lower.schedules import lower_next_run, lower_schedule, lower_schedules
from pgbgw.lower.tables import lower_table
from pgbgw.sqltext import quote_ident

__all__ = ["lower"]

_CONTEXTS = {
    "internal": "PGC_INTERNAL",
    "postmaster": "PGC_POSTMASTER",
    "sighup": "PGC_SIGHUP",
    "superuser-backend": "PGC_SU_BACKEND",
    "backend": "PGC_BACKEND",
    "superuser": "PGC_SUSET",
    "user": "PGC_USERSET",
}
_UNITS = {
    "B": "GUC_UNIT_BYTE",
    "kB": "GUC_UNIT_KB",
    "MB": "GUC_UNIT_MB",
    "8kB": "GUC_UNIT_BLOCKS",
    "ms": "GUC_UNIT_MS",
    "s": "GUC_UNIT_S",
    "min": "GUC_UNIT_MIN",
}
_STARTS = {
    "postmaster": "BgWorkerStart_PostmasterStart",
    "consistent": "BgWorkerStart_ConsistentState",
    "recovery_finished": "BgWorkerStart_RecoveryFinished",
}
_FLAGS_SINCE = {"no_reset": 160000}
_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000}


def lower(checked: Checked) -> ModuleIR:
    """Lower a checked extension; the result is verified, so a fault in it is a fault of this package."""
    return verify(_Lowering(checked.extension).module())


class _Lowering:
    """One run over one extension; keeps what later values refer to."""

    def __init__(self, extension: Extension) -> None:
        self.extension = extension
        self.names = Names(extension.name)
        self.schema = quote_ident(extension.schema)
        self.settings: dict[int, SettingIR] = {}
        self.shared: dict[int, SharedIR] = {}
        self.queues: dict[int, QueueIR] = {}
        self.tables: dict[int, ScheduleTableIR] = {}
        leased = any(queue.lease is not None for queue in extension.queues)
        self.claims = leased or any(isinstance(worker, QueueWorker) for worker in extension.workers)

    def module(self) -> ModuleIR:
        extension = self.extension
        for setting in extension.settings:
            self.settings[id(setting)] = self.setting(setting)
        for state in extension.shared:
            self.shared[id(state.stats)] = self.state(state)
        lowering = QueueLowering(extension, self.names, self.qualified, claims=self.claims)
        for number, queue in enumerate(extension.queues):
            self.queues[id(queue)] = lowering.queue(queue, number)
        places = 0
        for number, table in enumerate(extension.tables):
            self.tables[id(table)] = lower_table(table, number, places, self.names, self.qualified)
            places += table.runs
        workers = tuple(
            self.worker(worker) for worker in extension.workers if self.claims or not isinstance(worker, KeeperWorker)
        )
        static = [worker for worker in workers if not worker.launched and worker.connected]
        next_run, local_time, next_run_roles = lower_next_run(extension, self.names, self.qualified)
        return ModuleIR(
            name=extension.name,
            version=extension.version,
            schema=extension.schema,
            schema_sql=self.schema,
            header=self.names.header(),
            comment=extension.comment,
            origin=extension.origin,
            symbols=self.names.symbols,
            types=self.names.types,
            macros=self.names.macros,
            settings=tuple(self.settings.values()),
            shared=tuple(self.shared.values()),
            queues=tuple(self.queues.values()),
            workers=workers,
            request_shutdown=self.function(extension.stop.request, self.names.function("request_shutdown")),
            resume=self.function(extension.stop.resume, self.names.function("resume")),
            shutdown_flag=self.handle(extension.stop.flag) if extension.stop.flag else None,
            processes=self.function(processes(extension), self.names.function("workers")),
            announce=self.function(announce(extension), self.names.function("announce")),
            copies=self.qualified(copies(extension)),
            copies_name=copies(extension),
            accept_copy=queries.accept_copy(self.qualified(copies(extension))),
            paused_queues=self.qualified(paused_queues(extension)),
            pause_trigger=self.function(pause_trigger(extension), self.names.function("note_pause")),
            pause_trigger_name=quote_ident(pause_trigger(extension)),
            next_run=next_run,
            next_run_roles=next_run_roles,
            local_time=local_time,
            schedules=lower_schedules(extension, self.names, self.qualified),
            tables=tuple(self.tables.values()),
            roles=_unique(quote_ident(w.role.value) for w in static if w.role.value is not None),
            databases=_unique(worker.database for worker in static),
        )

    def setting(self, setting: Setting) -> SettingIR:
        flags = [FlagIR(f"GUC_{flag.upper()}", _FLAGS_SINCE.get(flag, 0)) for flag in setting.flags]
        minimum: int | float | None = None
        maximum: int | float | None = None
        default: bool | int | float | str | None = None
        options: tuple[OptionIR, ...] = ()
        match setting:
            case BoolSetting() | StringSetting():
                default = setting.default
            case IntSetting() | RealSetting():
                default, minimum, maximum = setting.default, setting.min, setting.max
                if setting.unit is not None:
                    flags.append(FlagIR(_UNITS[setting.unit]))
            case EnumSetting():
                options = tuple(OptionIR(o.name, number, o.hidden) for number, o in enumerate(setting.options))
                default = next(option.number for option in options if option.name == setting.default)
        kinds = {BoolSetting: "bool", IntSetting: "int", RealSetting: "real", StringSetting: "string"}
        kind: Any = kinds.get(type(setting), "enum")
        return SettingIR(
            name=setting.qualified,
            variable=self.names.setting(setting.name),
            kind=kind,
            context=_CONTEXTS[setting.context],
            flags=tuple(flags),
            comment=setting.comment,
            description=setting.description,
            default=default,
            minimum=minimum,
            maximum=maximum,
            options=options,
            table=self.names.options(setting.name) if options else "",
            preload_only=setting.context == "postmaster",
            origin=setting.origin,
        )

    def state(self, state: SharedState) -> SharedIR:
        fields = {field.name: self.field(field) for field in state.fields}
        types = {field.name: field.sql_type for field in state.fields}
        return SharedIR(
            name=state.name,
            struct=self.names.stats_struct(state.name),
            member=self.names.state(state.name),
            fields=tuple(fields.values()),
            columns=tuple(
                SharedColumnIR(quote_ident(column), types[field], fields[field]) for field, column in state.columns
            ),
            function=self.function(state.function, self.names.stats(state.name)),
            view=self.qualified(state.view),
            origin=state.origin,
        )

    def field(self, field: Field[Any]) -> FieldIR:
        kinds: dict[type[Any], Any] = {
            Integer: "integer", Float: "float", Boolean: "boolean", Timestamp: "timestamp", Text: "text"
        }  # fmt: skip
        kind = kinds.get(type(field), "gauge")
        if isinstance(field, Counter):
            kind = "hot" if field.hot else "counter"
        size = field.size if isinstance(field, Text) else 0
        return FieldIR(self.names.member(field.name), kind, size, field.comment)

    def worker(self, worker: Worker) -> WorkerIR:
        dynamic = isinstance(worker, DynamicWorker)
        launched = isinstance(worker, DynamicWorker | RunnerWorker)
        kinds: Any = {
            QueueWorker: "queue", IntervalWorker: "interval", CronWorker: "cron", DynamicWorker: "dynamic",
            CWorker: "c", KeeperWorker: "keeper", SchedulerWorker: "scheduler", RunnerWorker: "runner",
        }  # fmt: skip
        connected = not isinstance(worker, CWorker) or worker.sql
        return WorkerIR(
            name=worker.name,
            kind=kinds[type(worker)],
            title=worker.title,
            symbol=self.names.worker_main(worker.name),
            file=self.names.worker_file(worker.name),
            count=self.amount(_count(worker)),
            start=_STARTS[worker.start],
            restart=worker.restart.us // 1_000_000 if isinstance(worker.restart, Duration) and not launched else None,
            connected=connected,
            database=self.source(worker.database) if connected and not launched else SourceIR(None),
            role=self.source(worker.role) if connected and not isinstance(worker, RunnerWorker) else SourceIR(None),
            timeout=self.delay(worker.timeout) if worker.timeout is not None else None,
            when=self.variable(worker.when),
            unless=self.variable(worker.unless),
            activity=worker.activity or _activity(worker),
            log_level=worker.log_level.upper(),
            main_argument=worker.main_argument,
            alive=self.handle(worker.alive) if worker.alive is not None else None,
            on_done=self.actions(worker.on_done),
            on_failed=self.actions(worker.on_failed),
            on_round=self.actions(worker.on_round),
            body=self.body(worker),
            arguments=lower_arguments(worker.args, self.names) if isinstance(worker, DynamicWorker) else (),
            launch=self.function(worker.function, self.names.launch(worker.name))
            if isinstance(worker, DynamicWorker)
            else None,
            launch_struct=self.names.launch_struct(worker.name) if dynamic else "",
            notify=worker.notify if isinstance(worker, DynamicWorker) else False,
            origin=worker.origin,
        )

    def body(self, worker: Worker) -> QueueBody | SqlBody | CronBody | CBody | KeeperBody | SchedulerBody | RunnerBody:
        settings = {setting.name: self.settings[id(setting)] for setting in self.extension.settings}
        match worker:
            case QueueWorker():
                key = ("unique_key",) if worker.queue.unique else ()
                columns = ("id", *(column.name for column in worker.queue.columns), *key, *JOB_COLUMNS[1:])
                return QueueBody(
                    queue=self.queues[id(worker.queue)],
                    run=lower_run(worker.run, settings, columns=columns),
                    batch=self.amount(worker.batch),
                    every=self.delay(worker.every),
                    batch_time=self.delay(worker.batch_time),
                    synchronous_commit=worker.synchronous_commit,
                )
            case IntervalWorker():
                run = lower_run(worker.run, settings, top_level=not worker.transaction)
                return SqlBody(run, self.delay(worker.every))
            case CronWorker():
                run = lower_run(worker.run, settings, top_level=not worker.transaction)
                return CronBody(run, lower_schedule(worker))
            case DynamicWorker():
                arguments = tuple(argument.name for argument in worker.args)
                run = lower_run(worker.run, settings, arguments=arguments, top_level=not worker.transaction)
                return SqlBody(run, None)
            case SchedulerWorker():
                return SchedulerBody(self.tables[id(worker.table)])
            case RunnerWorker():
                return RunnerBody(self.tables[id(worker.table)])
            case KeeperWorker():
                leased = [queue for queue in self.extension.queues if queue.lease is not None]
                kept = [queue for queue in self.extension.queues if queue.history is not None and self.claims]
                return KeeperBody(
                    tuple(self.queues[id(queue)] for queue in leased), tuple(self.queues[id(queue)] for queue in kept)
                )
            case CWorker():
                return CBody(worker.source, worker.text, worker.function, self.delay(worker.every), worker.sql)
        raise AssertionError(worker)

    def actions(self, actions: tuple[Action, ...]) -> tuple[ActionIR, ...]:
        lowered = []
        for action in actions:
            member, field = self.handle(action.target)
            lowered.append(ActionIR(member, field, action.operation, action.value))
        return tuple(lowered)

    def handle(self, handle: Handle) -> tuple[str, FieldIR]:
        state = self.shared[id(handle.stats)]
        name = self.names.member(handle.field)
        return state.member, next(field for field in state.fields if field.name == name)

    def function(self, name: str, symbol: str) -> FunctionIR:
        return FunctionIR(self.qualified(name), symbol)

    def qualified(self, name: str) -> str:
        return f"{self.schema}.{quote_ident(name)}"

    def variable(self, setting: Setting | None) -> str | None:
        return self.settings[id(setting)].variable if setting is not None else None

    def source(self, value: str | StringSetting | None) -> SourceIR:
        return SourceIR(None, self.variable(value)) if isinstance(value, StringSetting) else SourceIR(value)

    def amount(self, value: int | IntSetting) -> AmountIR:
        return AmountIR(value.default, self.variable(value)) if isinstance(value, IntSetting) else AmountIR(value)

    def delay(self, value: Duration | IntSetting | RealSetting) -> DelayIR:
        if isinstance(value, Duration):
            return DelayIR(max(1, value.us // 1_000))
        return DelayIR(_UNIT_MS[value.unit or "ms"], self.variable(value), isinstance(value, RealSetting))


def _count(worker: Worker) -> int | IntSetting:
    match worker:
        case QueueWorker():
            return worker.workers
        case DynamicWorker():
            return worker.limit
        case CronWorker():
            return worker.processes
        case RunnerWorker():
            return worker.table.runs
    return 1


def _activity(worker: Worker) -> str:
    """What pg_stat_activity shows while the worker works: what it runs."""
    match worker:
        case QueueWorker(run=run) | IntervalWorker(run=run) | CronWorker(run=run) | DynamicWorker(run=run):
            text = getattr(run, "text", None)
            return text if text is not None else f"{worker.title}: {'.'.join(getattr(run, 'function', ()))}"
    return worker.title


def _unique(values: Any) -> tuple[Any, ...]:
    """Without repetitions, in order: a set would make the output differ from run to run."""
    return tuple(dict.fromkeys(values))
