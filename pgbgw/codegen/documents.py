"""What the files for people say: control file, README, configuration, META.json and the regression test."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pgbgw.codegen.ctext import PlainText
from pgbgw.ir.model import (
    AmountIR,
    CallIR,
    CBody,
    CronBody,
    KeeperBody,
    ModuleIR,
    ParameterIR,
    QueueBody,
    QueueIR,
    RunIR,
    RunnerBody,
    SchedulerBody,
    SettingIR,
    SqlBody,
    WorkerIR,
)

__all__ = ["KINDS", "QUEUE_NOTES", "database_settings", "expected", "meta", "values"]

KINDS = {
    "queue": "queue worker", "interval": "interval worker", "cron": "cron worker", "dynamic": "dynamic worker",
    "c": "C worker", "keeper": "worker", "scheduler": "scheduler", "runner": "runner",
}  # fmt: skip

QUEUE_NOTES = (
    "A job is a row.  One transaction claims a batch of them by deleting the",
    "rows, hands each to the handler, and writes those that failed into the",
    "table of waiting jobs, or into that of jobs given up.  What a handler does",
    "in the database is therefore done exactly once, and a crash at any time",
    "leaves the jobs where they were.",
    "",
    "Jobs that wait are claimed from their own table when they are due.",
)

_CONTEXTS = {
    "PGC_INTERNAL": "never changes",
    "PGC_POSTMASTER": "restart",
    "PGC_SIGHUP": "reload",
    "PGC_SU_BACKEND": "new session, superuser",
    "PGC_BACKEND": "new session",
    "PGC_SUSET": "SET, superuser",
    "PGC_USERSET": "SET",
}
_UNITS = {"GUC_UNIT_BYTE": "B", "GUC_UNIT_KB": "kB", "GUC_UNIT_MB": "MB", "GUC_UNIT_MS": "ms", "GUC_UNIT_S": "s",
          "GUC_UNIT_MIN": "min", "GUC_UNIT_BLOCKS": "blocks"}  # fmt: skip
_TYPES = {"bool": "boolean", "int": "integer", "real": "double precision", "string": "text", "main_argument": "integer"}
_JOB_TYPES = {"id": "bigint", "attempt": "integer", "created_at": "timestamptz"}

_DEFAULT_PROCESSES = 8  # max_worker_processes of a server that was not told otherwise


def values(module: ModuleIR, names: Sequence[str], objects: Sequence[str]) -> dict[str, Any]:
    """What the plain-text templates print, ready to be printed."""
    return {
        "module": {
            "extension": PlainText(module.name),
            "version": PlainText(module.version),
            "objects": [PlainText(name) for name in objects],
            "regress": PlainText(module.name),
        },
        "control_comment": PlainText(_control_literal(module.comment or f"Background workers of {module.name}")),
        "control_schema": PlainText(_conf_literal(module.schema)),
        "setting_rows": [_setting_row(setting) for setting in module.settings],
        "worker_rows": [_worker_row(module, worker) for worker in module.workers],
        "queue_rows": [_queue_row(queue) for queue in module.queues],
        "launch_rows": [_launch_row(worker) for worker in module.workers if worker.launch is not None],
        "process_count": PlainText(_processes(module)),
        "processes_needed": PlainText(str(_DEFAULT_PROCESSES + _sum(worker.count for worker in module.workers))),
        "one_line_comment": PlainText(" ".join(module.comment.split())),
        "create_hint": PlainText(_databases(module)),
    }


def database_settings(module: ModuleIR) -> list[str]:
    """Settings that name the database of a worker."""
    variables = {source.variable for source in module.databases}
    return [setting.name for setting in module.settings if setting.variable in variables]


def meta(module: ModuleIR) -> dict[str, Any]:
    """META.json of the PGXN Meta Spec 1.0."""
    abstract = " ".join(module.comment.split()) or f"Background workers of {module.name}"
    return {
        "name": module.name,
        "abstract": abstract,
        "version": _semantic(module.version),
        "maintainer": "the maintainers of the declaration",
        "license": "unrestricted",
        "provides": {
            module.name: {
                "abstract": abstract,
                "file": f"{module.name}--{module.version}.sql",
                "version": _semantic(module.version),
            }
        },
        "prereqs": {"runtime": {"requires": {"PostgreSQL": "15.0.0"}}},
        "generated_by": "pgbgw",
        "meta-spec": {"version": "1.0.0", "url": "https://pgxn.org/meta/spec.txt"},
    }


def expected(module: ModuleIR, script: str) -> str:
    """What psql prints for the regression test, which is written so that this can be told in advance.

    A name may hold a line end, so an answer comes after the line that ends its statement: outside double quotes.
    """
    answers = iter(
        [
            [
                f"{setting.name}|{_context(setting)}"
                for setting in sorted(module.settings, key=lambda s: s.name)
                if "GUC_NO_SHOW_ALL" not in [flag.macro for flag in setting.flags]
            ],
            sorted({worker.name for worker in module.workers}),
            *([] for _ in module.queues),
            *(["1"] for _ in module.shared),
            [""],
            [""],
        ]
    )
    out = []
    asking = quoted = False
    for line in script.removesuffix("\n").split("\n"):
        out.append(line)
        asking = asking or line.startswith("SELECT")
        quoted ^= line.count('"') % 2 == 1
        if asking and not quoted and line.endswith(";"):
            out.extend(next(answers))
            asking = False
    return "\n".join(out) + "\n"


def _context(setting: SettingIR) -> str:
    contexts = {
        "PGC_INTERNAL": "internal",
        "PGC_POSTMASTER": "postmaster",
        "PGC_SIGHUP": "sighup",
        "PGC_SU_BACKEND": "superuser-backend",
        "PGC_BACKEND": "backend",
        "PGC_SUSET": "superuser",
        "PGC_USERSET": "user",
    }
    return contexts[setting.context]


def _setting_row(setting: SettingIR) -> dict[str, PlainText]:
    shown_unit = next((_UNITS[flag.macro] for flag in setting.flags if flag.macro in _UNITS), "")
    # A number of blocks has no unit that postgresql.conf takes.
    unit = "" if shown_unit == "blocks" else shown_unit
    if setting.kind == "enum":
        shown = next(option.name for option in setting.options if option.number == setting.default)
        limits = ", ".join(option.name for option in setting.options if not option.hidden)
    else:
        if isinstance(setting.default, bool):
            shown = "on" if setting.default else "off"
        elif setting.default is None:
            shown = ""
        else:
            shown = f"{setting.default}{unit}"
        limits = f"{setting.minimum} to {setting.maximum} {shown_unit}" if setting.minimum is not None else ""
    quoted = setting.kind in ("string", "enum") or bool(unit)
    value = _conf_literal(shown) if quoted else shown
    return {
        "name": PlainText(setting.name),
        "value": PlainText(value),
        "cell": PlainText(_cell(value)),
        "limits": PlainText(_cell(limits)),
        "change": PlainText(_CONTEXTS[setting.context]),
        "comment": PlainText(_cell(setting.comment)),
        "note": PlainText(_conf_note(setting, limits)),
    }


def _conf_note(setting: SettingIR, limits: str) -> str:
    parts = [
        " ".join(setting.comment.split()).rstrip("."),
        " ".join(limits.split()),
        f"change: {_CONTEXTS[setting.context]}",
    ]
    return "; ".join(part for part in parts if part)


def _worker_row(module: ModuleIR, worker: WorkerIR) -> dict[str, PlainText]:
    return {
        "title": PlainText(_cell(worker.title)),
        "count": PlainText(_count(module, worker)),
        "role": PlainText(_role(module, worker)),
        "what": PlainText(_what(module, worker)),
    }


def _count(module: ModuleIR, worker: WorkerIR) -> str:
    at_most = "at most " if worker.launched else ""
    named = _named(module, worker.count.variable)
    return f"{at_most}{worker.count.value}" + (f" ({_code(named)})" if named else "")


def _role(module: ModuleIR, worker: WorkerIR) -> str:
    if worker.kind == "dynamic":
        return "the role that launches it"
    if worker.kind == "runner":
        return "the owner of each schedule"
    if not worker.connected:
        return "no role: it is not connected to a database"
    if named := _named(module, worker.role.variable):
        return f"the role that {_code(named)} names"
    return _code(worker.role.value) if worker.role.value else "the bootstrap superuser"


def _named(module: ModuleIR, variable: str | None) -> str | None:
    """The name of the setting behind a C variable."""
    return next((setting.name for setting in module.settings if setting.variable == variable), None)


def _what(module: ModuleIR, worker: WorkerIR) -> str:
    match worker.body:
        case QueueBody(queue=queue, run=run):
            return f"takes jobs from {_code(queue.table)} and runs {_run(module, worker, run)}"
        case KeeperBody(queues=queues, histories=histories):
            parts = []
            if queues:
                parts.append(f"ends leases, and tells listeners of jobs, of {_tables(queues)}")
            if histories:
                parts.append(f"keeps the history of {_tables(histories)}")
            return "; ".join(parts)
        case SchedulerBody(table=table):
            return f"gives out the runs of the schedules in {_code(table.table)} when they are due"
        case RunnerBody(table=table):
            return f"carries out runs of the schedules in {_code(table.table)}"
        case CronBody(run=run, schedule=schedule):
            if schedule.expression.startswith("@every"):
                return f"runs {_run(module, worker, run)} {_code(schedule.expression)}"
            when = f"{_code(schedule.expression)} by the clocks of {schedule.time_zone}"
            return f"runs {_run(module, worker, run)} at {when}"
        case SqlBody(run=run, every=every) if every is not None:
            return f"runs {_run(module, worker, run)} each interval"
        case SqlBody(run=run):
            assert worker.launch is not None
            return f"launched by {_code(worker.launch.name)}, runs {_run(module, worker, run)} once"
        case CBody(source=source):
            return f"calls the C function {_code(worker.body.function + '()')} of {_code(source)}"
    raise AssertionError(worker)


def _tables(queues: Iterable[QueueIR]) -> str:
    return ", ".join(_code(queue.table) for queue in queues)


def _run(module: ModuleIR, worker: WorkerIR, run: RunIR) -> str:
    if not isinstance(run, CallIR):
        return _code(run.sql)
    given = ", ".join(f"{each.name} {_type(module, worker, each)}" for each in run.parameters)
    return f"the function {_code('.'.join(run.function) + f'({given})')}"


def _type(module: ModuleIR, worker: WorkerIR, parameter: ParameterIR) -> str:
    """The SQL type of what a function is called with: it is looked up by exactly these."""
    if parameter.kind == "argument":
        return worker.arguments[parameter.index].sql_type
    if parameter.kind == "column" and isinstance(worker.body, QueueBody):
        columns = worker.body.queue.columns
        named = {column.name.strip('"').replace('""', '"'): column.sql_type for column in columns}
        return (_JOB_TYPES | named)[parameter.name]
    return _TYPES[parameter.kind]


def _queue_row(queue: QueueIR) -> dict[str, PlainText | None]:
    lease = queue.lease
    statuses = ["ready", "later", *(["running"] if lease else []), *(["done"] if queue.history else [])]
    again = f"is tried again {_times(queue.retries)} from `{queue.later}`, first after {_time(queue.backoff_us)}, then "
    again += f"each time after twice as long, at most {_time(queue.backoff_limit_us)}.\nAfter its last attempt it"
    return {
        "name": PlainText(queue.name),
        "table": PlainText(queue.table),
        "failed": PlainText(queue.failed),
        "view": PlainText(queue.view),
        "again": PlainText(again if queue.retries else "is not tried again: it"),
        "statuses": PlainText(f"{', '.join(f'*{status}*' for status in statuses)} or *failed*"),
        "history": PlainText(queue.history.done) if queue.history else None,
        "pause": PlainText(queue.pause),
        "resume": PlainText(queue.resume),
        "counts": PlainText(queue.counts),
        "claim": PlainText(lease.claim.name) if lease else None,
        "acknowledge": PlainText(lease.acknowledge.name if lease else ""),
        "extend": PlainText(lease.extend.name if lease else ""),
        "fail": PlainText(lease.fail.name if lease else ""),
        "release": PlainText(lease.release.name if lease else ""),
        "channel": PlainText(lease.channel_sql if lease else ""),
        "lease": PlainText(_time(lease.us) if lease else ""),
    }


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _time(us: int) -> str:
    """A length of time in the largest unit that leaves a whole number."""
    for unit, size in (("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)):
        if us and us % size == 0:
            return f"{us // size} {unit}"
    return f"{us} us"


def _launch_row(worker: WorkerIR) -> dict[str, PlainText]:
    assert worker.launch is not None
    types = ", ".join(argument.sql_type for argument in worker.arguments)
    given = ", ".join(f"{argument.name} {argument.sql_type}" for argument in worker.arguments)
    answer = "its pid, once the process is connected" if worker.notify else "NULL at once"
    return {
        "call": PlainText(_code(f"{worker.launch.name}({given})")),
        "answer": PlainText(answer),
        "grant": PlainText(f"GRANT EXECUTE ON FUNCTION {worker.launch.name}({types}) TO some_role;"),
    }


def _processes(module: ModuleIR) -> str:
    """How many slots of max_worker_processes all workers take, with the settings at their defaults."""
    static = _sum(worker.count for worker in module.workers if not worker.launched)
    dynamic = _sum(worker.count for worker in module.workers if worker.launched)
    most = f", and up to {dynamic} that are launched" if dynamic else ""
    return f"{static} that {'starts' if static == 1 else 'start'} with the server{most}"


def _sum(amounts: Iterable[AmountIR]) -> int:
    return sum(amount.value for amount in amounts)


def _databases(module: ModuleIR) -> str:
    named = [source.value for source in module.databases if source.value is not None]
    settings = [f"the one that {name} names" for name in database_settings(module)]
    return " and ".join([*(f'"{name}"' for name in named), *settings]) or "any database"


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    """A code span in a cell of a Markdown table: only a bar has a meaning in it, and backticks as many as around it."""
    line = " ".join(text.split()).replace("|", "\\|")
    if "`" not in line:
        return f"`{line}`"
    fence = "`" * (max(map(len, re.findall("`+", line))) + 1)
    return f"{fence} {line} {fence}"


def _control_literal(text: str) -> str:
    """A value of a control file: the syntax of postgresql.conf, in which a line ends a value."""
    return _conf_literal(" ".join(text.split()))


def _conf_literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r") + "'"


def _semantic(version: str) -> str:
    """The nearest version that the PGXN Meta Spec lets through: three numbers."""
    numbers = ["".join(c for c in part if c.isdigit()) for part in version.replace("-", ".").split(".")]
    kept = [str(int(number)) for number in numbers if number][:3]
    return ".".join([*kept, "0", "0", "0"][:3])
