"""C expressions and declarations made of values of the middle form; the templates call these by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgbgw.codegen.ctext import CText, boolean, ident, int64, integer, real, string
from pgbgw.codegen.layout import declaration
from pgbgw.ir.model import (
    ActionIR,
    AmountIR,
    ArgumentIR,
    DelayIR,
    FieldIR,
    KeeperBody,
    ModuleIR,
    ParameterIR,
    QueueBody,
    QueueIR,
    RunnerBody,
    SchedulerBody,
    SettingIR,
    SourceIR,
    WorkerIR,
)

__all__ = [
    "ActionView",
    "TakerView",
    "actions",
    "amount",
    "argument_declaration",
    "column_oid",
    "condition",
    "declare",
    "define_setting",
    "delay",
    "field_declaration",
    "first_lane",
    "first_slot",
    "flags",
    "keeper",
    "lane",
    "lane_count",
    "lanes",
    "lease_lane",
    "member",
    "name_list",
    "null_of",
    "restart",
    "runner",
    "setting_definition",
    "setting_extern",
    "source",
    "sql_lines",
    "sql_text",
    "takers",
    "timeout",
    "total_slots",
    "type_mismatch",
    "type_of",
    "value_of",
]

_FIELD_TYPES = {
    "counter": "int64",
    "hot": "pg_atomic_uint64",
    "gauge": "int64",
    "integer": "int64",
    "float": "double",
    "boolean": "bool",
    "timestamp": "TimestampTz",
}
_FIELD_OIDS = {"float": "FLOAT8OID", "boolean": "BOOLOID", "timestamp": "TIMESTAMPTZOID", "text": "TEXTOID"}
_SETTING_TYPES = {"bool": "bool", "int": "int", "real": "double", "string": "char", "enum": "int"}
_DEFINERS = {"bool": "Bool", "int": "Int", "real": "Real", "string": "String", "enum": "Enum"}


def declare(type_name: CText, name: CText) -> CText:
    """A member of a struct."""
    return CText(declaration(str(type_name), str(name)))


def field_declaration(field: FieldIR) -> CText:
    """A field of shared state."""
    if field.kind == "text":
        return CText(declaration("char", f"{ident(field.name)}[{field.size}]"))
    return CText(declaration(_FIELD_TYPES[field.kind], str(ident(field.name))))


def column_oid(field: FieldIR) -> CText:
    """The OID of the type in which a field is shown."""
    return CText(_FIELD_OIDS.get(field.kind, "INT8OID"))


def argument_declaration(argument: ArgumentIR) -> CText:
    """An argument inside bgw_extra."""
    name = str(ident(argument.member))
    return CText(declaration(argument.c_type, f"{name}[{argument.size}]" if argument.kind == "text" else name))


def type_mismatch(worker: WorkerIR) -> CText:
    """Whether a launch function was declared with other types than those that travel as values."""
    tests = [
        f"types[{number}] != {ident(argument.oid)}"
        for number, argument in enumerate(worker.arguments)
        if argument.kind == "value"
    ]
    return CText(" ||\n".join(tests))


def setting_extern(setting: SettingIR) -> CText:
    """The declaration of a setting's variable."""
    star = "*" if setting.kind == "string" else ""
    return CText(declaration(f"extern {_SETTING_TYPES[setting.kind]}", f"{star}{ident(setting.variable)}", 0))


def setting_definition(setting: SettingIR) -> CText:
    """The definition of a setting's variable; strings get their value from the server, the others have it at once."""
    star = "*" if setting.kind == "string" else ""
    value = "NULL" if setting.kind == "string" else str(_setting_value(setting, setting.default))
    name = f"{star}{ident(setting.variable)} = {value}"
    return CText(declaration(_SETTING_TYPES[setting.kind], name, 0))


def define_setting(setting: SettingIR, tabs: int) -> CText:
    """The call of DefineCustom...Variable (utils/guc.h), one argument a line."""
    arguments = [
        string(setting.name),
        string(setting.comment or f"Setting of {setting.name.partition('.')[0]}."),
        string(setting.description) if setting.description else CText("NULL"),
        CText(f"&{ident(setting.variable)}"),
        _setting_value(setting, setting.default),
    ]
    if setting.kind in ("int", "real"):
        arguments += [_setting_value(setting, setting.minimum), _setting_value(setting, setting.maximum)]
    if setting.kind == "enum":
        arguments.append(ident(setting.table))
    arguments.append(ident(setting.context))
    arguments.append(CText(" | ".join(str(ident(flag.macro)) for flag in setting.flags) or "0"))
    arguments += [CText("NULL")] * 3
    lines = ",\n".join(map(str, arguments))
    return CText(f"{chr(9) * tabs}DefineCustom{_DEFINERS[setting.kind]}Variable({lines});")


def _setting_value(setting: SettingIR, value: bool | int | float | str | None) -> CText:
    match setting.kind, value:
        case "bool", bool():
            return boolean(value)
        case "real", float() | int():
            return real(value)
        case "string", str():
            return string(value)
        case "string", None:
            return CText("NULL")
        case "int" | "enum", int():
            return integer(value)
    raise ValueError(f"{setting.name}: {value!r}")


def amount(value: AmountIR) -> CText:
    """A number of processes or jobs."""
    return ident(value.variable) if value.variable else integer(value.value)


def delay(value: DelayIR) -> CText:
    """Milliseconds, wide enough for a setting in minutes."""
    if not value.variable:
        return integer(value.value)
    if value.real:
        return CText(f"(int64) Min({ident(value.variable)} * {value.value}.0, (double) INT_MAX)")
    if value.value == 1:
        return ident(value.variable)
    return CText(f"(int64) {ident(value.variable)} * {value.value}")


def timeout(worker: WorkerIR) -> CText:
    """Milliseconds for enable_timeout_after(); 0 for none."""
    return CText("0") if worker.timeout is None else milliseconds(worker.timeout)


def milliseconds(value: DelayIR) -> CText:
    """Milliseconds that fit into an int."""
    if value.variable and (value.real or value.value != 1):
        return CText(f"(int) Min({delay(value)}, (int64) INT_MAX)")
    return delay(value)


def source(value: SourceIR) -> CText:
    """A string: constant, variable or NULL. An empty setting names nothing."""
    if value.variable:
        return ident(value.variable)
    return string(value.value) if value.value is not None else CText("NULL")


def condition(worker: WorkerIR) -> CText:
    """What the worker's own settings say about working now."""
    parts = []
    if worker.when:
        parts.append(str(ident(worker.when)))
    if worker.unless:
        parts.append(f"!{ident(worker.unless)}")
    return CText(" && ".join(parts) or "true")


def member(place: tuple[str, FieldIR]) -> CText:
    """A field by the path from the shared struct."""
    return CText(f"{ident(place[0])}.{ident(place[1].name)}")


def flags(worker: WorkerIR) -> CText:
    """bgw_flags."""
    if worker.connected:
        return CText("BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION")
    return CText("BGWORKER_SHMEM_ACCESS")


def restart(worker: WorkerIR) -> CText:
    """bgw_restart_time."""
    return CText("BGW_NEVER_RESTART") if worker.restart is None else integer(worker.restart)


def first_slot(module: ModuleIR, worker: WorkerIR) -> CText:
    """The first slot of a worker: those of the workers before it are counted."""
    return _sum([other.count for other in module.workers[: module.workers.index(worker)]])


def lane(module: ModuleIR, worker: WorkerIR) -> CText:
    """The number of a queue worker's lane: these come first."""
    return integer(_lane_workers(module).index(worker))


def lease_lane(module: ModuleIR, queue: QueueIR) -> CText:
    """The number of the lane of a queue's leases, or -1."""
    leased = [other for other in module.queues if other.lease is not None]
    return integer(len(_lane_workers(module)) + leased.index(queue) if queue.lease is not None else -1)


def lanes(module: ModuleIR) -> int:
    """How many lanes there are."""
    return len(_lane_workers(module)) + sum(queue.lease is not None for queue in module.queues)


def first_lane(module: ModuleIR, worker: WorkerIR) -> CText:
    """The first lane of a worker; 0 for one that has none."""
    match worker.body:
        case QueueBody():
            return lane(module, worker)
        case KeeperBody(queues=queues) if queues:
            return lease_lane(module, queues[0])
    return integer(0)


def lane_count(worker: WorkerIR) -> CText:
    """How many lanes a worker has."""
    match worker.body:
        case QueueBody():
            return integer(1)
        case KeeperBody(queues=queues):
            return integer(len(queues))
    return integer(0)


@dataclass(frozen=True, slots=True)
class TakerView:
    """A worker that is woken for jobs of a queue, and the lane in which these are claimed."""

    worker: WorkerIR
    lane: CText


def takers(module: ModuleIR, queue: QueueIR) -> list[TakerView]:
    """Those that are told of jobs of a queue."""
    found = [TakerView(w, lane(module, w)) for w in _lane_workers(module) if _queue(w) == queue]
    told = keeper(module)
    if queue.lease is not None and told is not None:
        found.append(TakerView(told, lease_lane(module, queue)))
    return found


def keeper(module: ModuleIR) -> WorkerIR | None:
    """The worker that ends leases and keeps histories, if there is one."""
    return next((worker for worker in module.workers if isinstance(worker.body, KeeperBody)), None)


def runner(module: ModuleIR, body: SchedulerBody) -> WorkerIR:
    """The worker that carries out the runs of a table of schedules."""
    return next(w for w in module.workers if isinstance(w.body, RunnerBody) and w.body.table == body.table)


def _lane_workers(module: ModuleIR) -> list[WorkerIR]:
    return [worker for worker in module.workers if isinstance(worker.body, QueueBody)]


def _queue(worker: WorkerIR) -> QueueIR | None:
    return worker.body.queue if isinstance(worker.body, QueueBody) else None


def jobs_at_once(worker: WorkerIR) -> CText:
    """How many jobs the processes of a queue worker may have in hand, as an int."""
    assert isinstance(worker.body, QueueBody)
    batch, count = amount(worker.body.batch), amount(worker.count)
    return CText(f"(int) Min((int64) {batch} * {count}, (int64) INT_MAX)")


def total_slots(module: ModuleIR) -> CText:
    """How many slots there are."""
    return _sum([worker.count for worker in module.workers])


def _sum(amounts: Sequence[AmountIR]) -> CText:
    constant = sum(each.value for each in amounts if not each.variable)
    variables = [str(ident(each.variable)) for each in amounts if each.variable]
    return CText(" + ".join([*([str(constant)] if constant or not variables else []), *variables]))


def name_list(parts: Sequence[str]) -> CText:
    """A qualified name as a List of String nodes."""
    strings = ",\n".join(f"makeString(pstrdup({string(part)}))" for part in parts)
    return CText(f"list_make{len(parts)}({strings})")


def value_of(parameter: ParameterIR) -> CText:
    """The value of a parameter as a Datum."""
    variable = str(ident(parameter.variable)) if parameter.variable else ""
    return CText(
        {
            "column": f"job->values[{parameter.index}]",
            "argument": f"arguments[{parameter.index}]",
            "bool": f"BoolGetDatum({variable})",
            "int": f"Int32GetDatum({variable})",
            "real": f"Float8GetDatum({variable})",
            "string": f'CStringGetTextDatum({variable} ? {variable} : "")',
            "main_argument": "MyBgworkerEntry->bgw_main_arg",
        }[parameter.kind]
    )


def null_of(parameter: ParameterIR) -> CText:
    """Whether the value of a parameter is NULL."""
    match parameter.kind:
        case "column":
            return CText(f"job->nulls[{parameter.index}]")
        case "argument":
            return CText(f"argument_nulls[{parameter.index}]")
        case "string":
            return CText(f"{ident(parameter.variable)} == NULL")
    return CText("false")


def type_of(parameter: ParameterIR) -> CText:
    """The OID of a parameter's type."""
    return CText(
        {
            "column": f"batch->types[{parameter.index}]",
            "argument": f"argument_types[{parameter.index}]",
            "bool": "BOOLOID",
            "int": "INT4OID",
            "real": "FLOAT8OID",
            "string": "TEXTOID",
            "main_argument": "INT4OID",
        }[parameter.kind]
    )


def sql_lines(lines: Sequence[str], tabs: int) -> CText:
    """A statement of our own as adjacent string literals, one a line."""
    literals = [string(line if number == 0 else f" {line}") for number, line in enumerate(lines)]
    return CText("\n".join("\t" * tabs + str(literal) for literal in literals))


def sql_text(text: str, tabs: int) -> CText:
    """A statement of the user's, broken where its lines are."""
    lines = text.split("\n")
    literals = [string(line + "\n") for line in lines[:-1]] + [string(lines[-1])]
    return CText("\n".join("\t" * tabs + str(literal) for literal in literals))


@dataclass(frozen=True, slots=True)
class ActionView:
    """An action as C: its field, how often it is carried out ("" for once a round), and what is done."""

    operation: str
    hot: bool
    times: str
    target: CText
    increment: CText
    statement: CText


def actions(module: ModuleIR, worker: WorkerIR) -> list[ActionView]:
    """What is done after a round, in order."""
    shared = module.symbols["shared"]
    grouped = (("done", worker.on_done), ("failed", worker.on_failed), ("", worker.on_round))
    return [_action(module, shared, times, action) for times, group in grouped for action in group]


def _action(module: ModuleIR, shared: str, times: str, action: ActionIR) -> ActionView:
    target = member((action.member, action.field))
    place = f"{shared}->{target}"
    value = action.value
    statement = CText("")
    increment = CText("")
    match action.operation:
        case "add" if isinstance(value, float) or action.field.kind == "float":
            increment = CText(f"{times} * {real(value or 0)}" if times else str(real(value or 0)))  # type: ignore[arg-type]
        case "add":
            assert isinstance(value, int)
            constant = str(integer(value) if abs(value) < 2**31 else int64(value))
            increment = CText(constant if not times else times if value == 1 else f"(int64) {times} * {constant}")
        case "now":
            statement = CText(f"{place} = GetCurrentTimestamp()")
        case "set" if isinstance(value, str):
            statement = CText(f"{module.symbols['set_text']}({place},\nsizeof({place}), {string(value)})")
        case "set" if isinstance(value, bool):
            statement = CText(f"{place} = {boolean(value)}")
        case "set" if isinstance(value, float) or action.field.kind == "float":
            statement = CText(f"{place} = {real(value or 0)}")  # type: ignore[arg-type]
        case "set":
            assert isinstance(value, int)
            statement = CText(f"{place} = {int64(value)}")
    return ActionView(action.operation, action.field.kind == "hot", times, target, increment, statement)
