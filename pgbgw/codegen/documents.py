"""What the files for people say: control file, README, configuration, META.json and the regression test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgbgw.codegen.ctext import PlainText
from pgbgw.ir.model import CallIR, CBody, ModuleIR, QueueBody, SettingIR, SqlBody, WorkerIR

__all__ = ["KINDS", "QUEUE_NOTES", "database_settings", "expected", "meta", "values"]

KINDS = {"queue": "queue worker", "interval": "interval worker", "dynamic": "dynamic worker", "c": "C worker"}

QUEUE_NOTES = (
    "A job is a row.  One transaction claims a batch of them by deleting the",
    "rows, hands each to the handler, and writes those that failed into the",
    "table of waiting jobs, or into that of jobs given up.  What a handler does",
    "in the database is therefore done exactly once, and a crash at any time",
    "leaves the jobs where they were.",
    "",
    "Waiting jobs come back to the queue's table when they are due.",
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
          "GUC_UNIT_MIN": "min"}  # fmt: skip


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
    unit = next((_UNITS[flag.macro] for flag in setting.flags if flag.macro in _UNITS), "")
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
        limits = f"{setting.minimum} to {setting.maximum}" if setting.minimum is not None else ""
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
    return {"title": PlainText(_cell(worker.title)), "what": PlainText(_cell(_what(worker)))}


def _what(worker: WorkerIR) -> str:
    match worker.body:
        case QueueBody(queue=queue, run=run):
            return f"takes jobs from {queue.table} and runs {_run(run)}"
        case SqlBody(run=run, every=every) if every is not None:
            return f"runs {_run(run)} each interval"
        case SqlBody(run=run):
            assert worker.launch is not None
            return f"launched by {worker.launch.name}, runs {_run(run)} once"
        case CBody(source=source):
            return f"calls the C function {worker.body.function}() of {source}"
    raise AssertionError(worker)


def _run(run: Any) -> str:
    if isinstance(run, CallIR):
        return f"the function {'.'.join(run.function)}"
    return f"`{' '.join(run.sql.split())}`"


def _databases(module: ModuleIR) -> str:
    named = [source.value for source in module.databases if source.value is not None]
    settings = [f"the one that {name} names" for name in database_settings(module)]
    return " and ".join([*(f'"{name}"' for name in named), *settings]) or "any database"


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


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
