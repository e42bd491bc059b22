"""From a checked declaration to the middle form: every name, number and statement is decided here."""

from __future__ import annotations

from typing import Any

from pgbgw.check import Checked
from pgbgw.declare.derived import (
    announce,
    copies,
    lease_functions,
    pause_trigger,
    paused_queues,
    processes,
    queue_channel,
    queue_default,
    queue_done,
    queue_done_index,
    queue_ends_index,
    queue_functions,
    queue_indexes,
    queue_keys,
    queue_later_trigger,
    queue_partition,
    queue_running,
    queue_sequence,
    queue_suspects,
    queue_tables,
    queue_tokens,
    queue_trigger,
    queue_update_trigger,
)
from pgbgw.declare.durations import Duration
from pgbgw.declare.extension import Extension
from pgbgw.declare.queues import JOB_COLUMNS, Queue
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
    HistoryIR,
    KeeperBody,
    LeaseIR,
    ModuleIR,
    OptionIR,
    PayloadColumnIR,
    QueueBody,
    QueueIR,
    SettingIR,
    SharedColumnIR,
    SharedIR,
    SourceIR,
    SqlBody,
    SqlLines,
    WorkerIR,
)
from pgbgw.ir.verify import verify
from pgbgw.lower import queries
from pgbgw.lower.names import STATEMENTS, Names
from pgbgw.lower.runs import lower_arguments, lower_run
from pgbgw.lower.schedules import lower_schedule, lower_schedules
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
        leased = any(queue.lease is not None for queue in extension.queues)
        self.claims = leased or any(isinstance(worker, QueueWorker) for worker in extension.workers)

    def module(self) -> ModuleIR:
        extension = self.extension
        for setting in extension.settings:
            self.settings[id(setting)] = self.setting(setting)
        for state in extension.shared:
            self.shared[id(state.stats)] = self.state(state)
        for number, queue in enumerate(extension.queues):
            self.queues[id(queue)] = self.queue(queue, number)
        workers = tuple(
            self.worker(worker) for worker in extension.workers if self.claims or not isinstance(worker, KeeperWorker)
        )
        static = [worker for worker in workers if worker.kind != "dynamic" and worker.connected]
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
            schedules=lower_schedules(extension, self.names, self.qualified),
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

    def queue(self, queue: Queue[Any], number: int) -> QueueIR:
        tables = queue_tables(queue)
        table, later, failed = (self.qualified(name) for name in tables)
        functions = queue_functions(queue)
        sequence = self.qualified(queue_sequence(queue))
        paused = self.qualified(paused_queues(self.extension))
        lease = self.lease(queue) if queue.lease is not None else None
        # of what nobody claims nothing is ever done
        history = self.history(queue) if queue.history is not None and self.claims else None
        declared = tuple(PayloadColumnIR(quote_ident(c.name), c.type.sql, c.nullable) for c in queue.columns)
        columns = (*declared, *((PayloadColumnIR("unique_key", "text", True),) if queue.unique else ()))
        keys = self.qualified(queue_keys(queue)) if queue.unique else None
        given = [column.name for column in declared]
        payload = [column.name for column in columns]
        return QueueIR(
            name=queue.name,
            number=number,
            variable=self.names.queue(queue.name),
            table=table,
            relation=tables.now,
            sequence_relation=queue_sequence(queue),
            later=later,
            failed=failed,
            suspects=self.qualified(queue_suspects(queue)),
            keys=keys,
            sequence=sequence,
            later_index=quote_ident(queue_indexes(queue).later_due),
            view=self.qualified(queue.view),
            trigger=quote_ident(queue_trigger(queue)),
            update_trigger=quote_ident(queue_update_trigger(queue)),
            later_trigger=quote_ident(queue_later_trigger(queue)),
            payload=declared,
            columns=columns,
            retries=queue.retries,
            crashes=queue.crashes,
            backoff_us=queue.backoff.us,
            backoff_limit_us=queue.backoff_limit.us,
            wake=self.function(queue_trigger(queue), self.names.wake(queue.name)),
            wake_later=self.function(queue_later_trigger(queue), self.names.wake_later(queue.name)),
            enqueue=self.qualified(functions.enqueue),
            enqueue_at=self.qualified(functions.enqueue_at),
            enqueue_many=self.qualified(functions.enqueue_many),
            retry_failed=self.qualified(functions.retry),
            cancel=self.qualified(functions.cancel),
            purge=self.qualified(functions.purge),
            pause=self.qualified(functions.pause),
            resume=self.qualified(functions.resume),
            counts=self.qualified(functions.counts),
            enqueue_sql=queries.enqueue(table, keys, given),
            enqueue_at_sql=queries.enqueue_at(later, keys, sequence, given),
            enqueue_many_sql=queries.enqueue_many(table, keys, [(c.name, c.sql_type) for c in declared]),
            retry_sql=queries.retry_failed(later, failed, sequence, payload),
            cancel_sql=queries.cancel(table, later, lease.running if lease else None, keys),
            purge_sql=queries.purge(failed, keys),
            pause_sql=queries.pause(paused, queue.name),
            resume_sql=queries.resume(paused, queue.name),
            counts_sql=queries.counts(
                [
                    ("ready", table),
                    ("later", later),
                    *([("running", lease.running)] if lease else ()),
                    ("failed", failed),
                ]
            ),
            producers=tuple(map(quote_ident, queue.producers)),
            operators=tuple(map(quote_ident, queue.operators)),
            consumers=tuple(map(quote_ident, queue.consumers)),
            lease=lease,
            history=history,
            statements=self.statements(queue, lease, history, payload),
            origin=queue.origin,
        )

    def lease(self, queue: Queue[Any]) -> LeaseIR:
        assert queue.lease is not None
        functions = {
            verb: self.function(name, self.names.lease(queue.name, verb))
            for verb, name in lease_functions(queue)._asdict().items()
        }
        return LeaseIR(
            running=self.qualified(queue_running(queue)),
            relation=queue_running(queue),
            sequence=self.qualified(queue_tokens(queue)),
            tokens=queue_tokens(queue),
            ends_index=quote_ident(queue_ends_index(queue)),
            us=queue.lease.us,
            channel=queue_channel(queue),
            channel_sql=quote_ident(queue_channel(queue)),
            **functions,
        )

    def history(self, queue: Queue[Any]) -> HistoryIR:
        return HistoryIR(
            done=self.qualified(queue_done(queue)),
            default=self.qualified(queue_default(queue)),
            index=quote_ident(queue_done_index(queue)),
        )

    def statements(
        self, queue: Queue[Any], lease: LeaseIR | None, history: HistoryIR | None, payload: list[str]
    ) -> tuple[tuple[str, SqlLines], ...]:
        """What C runs: all that claims need, and what the workers of queues need, or leases."""
        table, later, failed = (self.qualified(name) for name in queue_tables(queue))
        sequence, suspects = self.qualified(queue_sequence(queue)), self.qualified(queue_suspects(queue))
        keys = self.qualified(queue_keys(queue)) if queue.unique else None
        found = {
            "claim": queries.claim(table, payload),
            "claim_due": queries.claim_due(later, payload),
            "next_due": queries.next_due(later),
            "put_back": queries.put_back(table, sequence, payload),
            "retry": queries.retry(later, sequence, payload),
            "give_up": queries.give_up(failed, sequence, payload),
            "is_paused": queries.is_paused(self.qualified(paused_queues(self.extension)), queue.name),
        }
        if keys is not None:
            found["release_keys"] = queries.release_keys(keys)
        if any(isinstance(worker, QueueWorker) for worker in self.extension.workers):
            found["pick_suspect"] = queries.pick_suspect(table, later)
            found["claim_suspect"] = queries.claim_suspect(table, later, payload)
            found["note_suspect"] = queries.note_suspect(suspects)
            found["void_suspects"] = queries.void_suspects(suspects)
            found["clear_suspect"] = queries.clear_suspect(suspects)
            found["clear_suspects"] = queries.clear_suspects(suspects)
        if lease is not None:
            found["lease"] = queries.lease(lease.running, payload)
            found["find_leases"] = queries.find_leases(lease.running)
            found["acknowledge"] = (
                queries.acknowledge_and_keep(lease.running, history.done, keys, payload)
                if history is not None
                else queries.acknowledge(lease.running, keys)
            )
            found["extend"] = queries.extend(lease.running)
            found["take_back"] = queries.take_back(lease.running, payload)
            found["end_leases"] = queries.end_leases(lease.running, payload)
            found["next_end"] = queries.next_end(lease.running)
        if history is not None:
            assert queue.history is not None
            found["keep_done"] = queries.keep_done(history.done, payload)
            found["list_partitions"] = queries.list_partitions(
                self.extension.schema, queue_partition(queue), history.done, history.default, queue.history.us
            )
            found["forget_done"] = queries.forget_done(history.default, queue.history.us)
        return tuple((name, found[name]) for name in STATEMENTS if name in found)

    def worker(self, worker: Worker) -> WorkerIR:
        dynamic = isinstance(worker, DynamicWorker)
        kinds: Any = {
            QueueWorker: "queue", IntervalWorker: "interval", CronWorker: "cron", DynamicWorker: "dynamic",
            CWorker: "c", KeeperWorker: "keeper",
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
            restart=worker.restart.us // 1_000_000 if isinstance(worker.restart, Duration) and not dynamic else None,
            connected=connected,
            database=self.source(worker.database) if connected and not dynamic else SourceIR(None),
            role=self.source(worker.role) if connected else SourceIR(None),
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

    def body(self, worker: Worker) -> QueueBody | SqlBody | CronBody | CBody | KeeperBody:
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
