"""From the middle form to the text of every file; pure, and the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from pgbgw.codegen import ctext, cvalues, documents
from pgbgw.codegen.ctext import CText, PlainText, SqlText
from pgbgw.codegen.environment import render
from pgbgw.codegen.files import SourceTree
from pgbgw.codegen.layout import align
from pgbgw.ir.model import (
    ArgumentIR,
    CallIR,
    CBody,
    KeeperBody,
    ModuleIR,
    PayloadColumnIR,
    QueueBody,
    QueueIR,
    RunnerBody,
    SchedulerBody,
    StatementIR,
    WorkerIR,
)
from pgbgw.origin import Origin

__all__ = ["emit"]

# Marks in rendered text, removed before it leaves: which lines come from which declared value.
_BEGIN, _END = "\x01", "\x02"

_WORKER_TEMPLATES = {
    "queue": "worker_queue.c.in",
    "interval": "worker_interval.c.in",
    "cron": "worker_cron.c.in",
    "dynamic": "worker_dynamic.c.in",
    "c": "worker_c.c.in",
    "keeper": "worker_keeper.c.in",
    "scheduler": "worker_scheduler.c.in",
    "runner": "worker_runner.c.in",
}


# What stands several times in the script of a table of schedules.
_TABLE_WORDS = {
    "me": "pg_catalog.to_regrole(pg_catalog.quote_ident(CURRENT_USER))",
    "schedule_types": "pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.bool,"
    " pg_catalog.int4, pg_catalog.interval, pg_catalog.timestamptz, pg_catalog.timestamptz",
}

# What such a worker does is not told by one statement.
_WITHOUT_RUN = CBody | KeeperBody | SchedulerBody | RunnerBody


def emit(module: ModuleIR) -> SourceTree:
    """All files of the extension, in a fixed order, and where their lines come from."""
    emitter = _Emitter(module)
    emitter.text("Makefile", "Makefile.in")
    emitter.text(f"{module.name}.control", "control.in")
    emitter.files["META.json"] = json.dumps(documents.meta(module), indent=4, ensure_ascii=False) + "\n"
    emitter.text("README.md", "README.md.in")
    emitter.text(f"{module.name}.conf", "conf.in")
    emitter.sql(f"{module.name}--{module.version}.sql", "extension.sql.in")
    emitter.c(module.header, "module.h.in", "What the files of this extension share.")
    emitter.c("module.c", "module.c.in", "Loading, settings, registration of workers, wake-up at commit.")
    emitter.c("life_cycle.c", "life_cycle.c.in", "How a worker starts, works, recovers from errors, and ends.")
    emitter.c("log.c", "log.c.in", "How much a worker may write into the server log.")
    if emitter.values["connected_workers"]:
        emitter.c("session.c", "session.c.in", "A worker's session: settings, transactions, what is undone after them.")
    emitter.c("shared.c", "shared.c.in", "Shared memory, and the SQL functions that show and change it.")
    if emitter.values["connected_static_workers"]:
        emitter.c("database.c", "database.c.in", "How a worker waits for its database.")
    if emitter.values["statement_hook"]:
        emitter.c("statement.c", "statement.c.in", "How DROP DATABASE, DROP EXTENSION and their like get by.")
    if emitter.values["lanes"]:
        emitter.c(
            "queue.c", "queue.c.in", "The queues, and the statements that move their jobs.", documents.QUEUE_NOTES
        )
        emitter.c("claim.h", "claim.h.in", "What the files share that claim jobs.")
        emitter.c("lane.c", "lane.c.in", "Where those stand in a queue's tables that claim its jobs.")
        emitter.c("behind.c", "behind.c.in", "How jobs are found that lie behind where those stand.")
        emitter.c("claim.c", "claim.c.in", "How jobs are claimed: which, and by which way.")
        emitter.c("direct.c", "direct.c.in", "How jobs are claimed directly, past the executor.")
        emitter.c("settle.c", "settle.c.in", "How jobs are tried again, given up, and put back.")
        emitter.files["backoff.h"] = _static("backoff.h")
    if emitter.values["queue_workers"]:
        emitter.c("batch.c", "batch.c.in", "How the jobs of a batch are run.")
        emitter.c("careful.c", "careful.c.in", "How jobs are run after a crash that one of them may have caused.")
    if emitter.values["lease_queues"]:
        emitter.c("lease.c", "lease.c.in", "How sessions claim jobs.")
        emitter.c("answer.c", "answer.c.in", "How sessions answer for jobs: acknowledge, extend, fail, release.")
    if emitter.values["keeper"]:
        emitter.c("keep.c", "keep.c.in", "How leases end, and how listeners are told of jobs.")
    if emitter.values["histories"]:
        emitter.c("history.c", "history.c.in", "How jobs that are done are kept, and for how long.")
    if module.schedules or module.tables:
        emitter.c("calendar.c", "calendar.c.in", "When schedules are due, by the server's own time zones.")
    if module.schedules:
        emitter.c("schedule.c", "schedule.c.in", "How workers run by the calendar.")
        emitter.c("runs.c", "runs.c.in", "What is written down of schedules, and what became of their runs.")
        emitter.files["backoff.h"] = _static("backoff.h")
    if module.tables:
        emitter.c("table.c", "table.c.in", "Tables of schedules, and who is told of changes.")
        emitter.c("scheduler.c", "scheduler.c.in", "When the schedules of a table are due.")
        emitter.c("give.c", "give.c.in", "How runs of schedules are given to processes, and what these leave.")
        emitter.c("command.c", "command.c.in", "What can be the command of a schedule.")
        emitter.c("runner.c", "runner.c.in", "How the run of a schedule is carried out, as its owner.")
    if module.schedules or module.tables:
        for header in ("cron.h", "cron_text.h", "cron_parse.h", "calendar.h"):
            emitter.files[header] = _static(header)
    if emitter.values["dynamic_workers"]:
        emitter.c("launch.c", "launch.c.in", "How a session launches a worker, and learns what became of it.")
    if emitter.values["top_level_statements"]:
        emitter.c("top_level.c", "top_level.c.in", "How a statement is run outside a transaction block.")
    for worker in module.workers:
        emitter.worker(worker)
    for body in dict.fromkeys(worker.body for worker in module.workers if isinstance(worker.body, CBody)):
        emitter.files[body.source] = body.text
    emitter.text(f"sql/{module.name}.sql", "regress.sql.in")
    emitter.files[f"expected/{module.name}.out"] = documents.expected(module, emitter.files[f"sql/{module.name}.sql"])
    return SourceTree(module.name, module.version, emitter.files, emitter.origins)


class _Emitter:
    """Renders templates and collects what they give."""

    def __init__(self, module: ModuleIR) -> None:
        self.module = module
        self.files: dict[str, str] = {}
        self.origins: dict[str, tuple[tuple[int, int, Origin], ...]] = {}
        self.marked: list[Origin] = []
        self.values = _values(module)
        self.types = [
            *module.types.values(),
            *(state.struct for state in module.shared),
            *(worker.launch_struct for worker in module.workers if worker.launch_struct),
        ]

    def c(self, path: str, template: str, purpose: str, notes: tuple[str, ...] = (), **values: Any) -> None:
        """Render a C file, lay its parentheses out, and note where its lines come from."""
        self.marked = []
        helpers = _c_helpers(self.module) | {"at": self.at, "end": lambda: CText(_END)}
        shared = self.values | values
        shared["header"] = CText(self.module.header)
        banner = {
            "file": CText(path),
            "purpose": CText(purpose),
            "notes": [CText(f" {line}" if line else "") for line in notes],
        }
        shared["banner"] = CText(render("banner.in", CText, shared | banner, helpers).rstrip("\n"))
        helpers["fragment"] = lambda name: CText(render(name, CText, shared, helpers).rstrip("\n"))
        self.keep(path, align(render(template, CText, shared, helpers), self.types))

    def worker(self, worker: WorkerIR) -> None:
        """The file of one worker."""
        body = worker.body
        run = None if isinstance(body, _WITHOUT_RUN) else body.run
        actions = cvalues.actions(self.module, worker)
        dynamic = worker.kind == "dynamic"
        batch = self.module.types["batch"]
        queue = isinstance(body, QueueBody)
        self.c(
            worker.file,
            _WORKER_TEMPLATES[worker.kind],
            f"The {documents.KINDS[worker.kind]} {ctext.prose(worker.name)}.",
            w=worker,
            body=body,
            run=run,
            is_call=isinstance(run, CallIR),
            is_dynamic=dynamic,
            top_level=isinstance(run, StatementIR) and run.top_level,
            actions=actions,
            reports_here=any(action.operation == "report" for action in actions),
            prepare_parameters=CText(f"{batch} *batch" if queue else "void"),
            run_parameters=CText(f"{batch} *batch, {self.module.types['job']} *job, int njobs" if queue else "void"),
            takes_all=queue and isinstance(run, CallIR) and run.batch,
            fixed_arguments=any(argument.kind == "value" for argument in worker.arguments),
            type_mismatch=cvalues.type_mismatch(worker),
            table=body.table if isinstance(body, SchedulerBody) else None,
            runner=cvalues.runner(self.module, body) if isinstance(body, SchedulerBody) else None,
        )
        self.origins[worker.file] = ((1, self.files[worker.file].count("\n") + 1, worker.origin),)

    def sql(self, path: str, template: str) -> None:
        """Render an SQL script."""
        helpers = _sql_helpers()
        tables = [
            render("schedule_table.sql.in", SqlText, self.values | {"t": t, **_TABLE_WORDS}, helpers)
            for t in self.module.tables
        ]
        values = self.values | {"schedule_tables": [SqlText(table.rstrip("\n")) for table in tables]}
        self.files[path] = render(template, SqlText, values, helpers)

    def text(self, path: str, template: str) -> None:
        """Render a file of another kind."""
        values = self.values | documents.values(self.module, list(self.files), self.values["objects"])
        self.files[path] = render(template, PlainText, values, {"plain": ctext.plain})

    def at(self, origin: Origin) -> CText:
        """Mark that the lines up to ``end()`` come from a declared value."""
        self.marked.append(origin)
        return CText(f"{_BEGIN}{len(self.marked) - 1}{_BEGIN}")

    def keep(self, path: str, text: str) -> None:
        """Take the marks out of C, which has no such characters of its own, and keep both."""
        lines: list[str] = []
        found: list[tuple[int, int, Origin]] = []
        begun: list[tuple[int, Origin]] = []
        for line in text.split("\n"):
            if line.startswith(_BEGIN):
                begun.append((len(lines) + 1, self.marked[int(line.strip(_BEGIN))]))
            elif line.startswith(_END):
                first, origin = begun.pop()
                found.append((first, len(lines), origin))
            else:
                lines.append(line)
        self.files[path] = "\n".join(lines)
        if found:
            self.origins[path] = tuple(found)


def _values(module: ModuleIR) -> dict[str, Any]:
    """What every template may look at."""
    runs = [worker.body.run for worker in module.workers if not isinstance(worker.body, _WITHOUT_RUN)]
    static = [worker for worker in module.workers if not worker.launched]
    sources = ["module.c", "life_cycle.c", "log.c", "shared.c"]
    values: dict[str, Any] = {
        "m": module,
        "next_run_types": "pg_catalog.text, pg_catalog.text, pg_catalog.timestamptz, pg_catalog.bool, pg_catalog.bool",
        "sym": SimpleNamespace(**{name: ctext.ident(text) for name, text in module.symbols.items()}),
        "ty": SimpleNamespace(**{name: ctext.ident(text) for name, text in module.types.items()}),
        "mac": SimpleNamespace(**{name: ctext.ident(text) for name, text in module.macros.items()}),
        "launched_workers": any(worker.launched for worker in module.workers),
        "places": sum(table.runners for table in module.tables),
        "dynamic_workers": any(worker.kind == "dynamic" for worker in module.workers),
        "registered_workers": bool(static),
        "queue_workers": sum(isinstance(worker.body, QueueBody) for worker in module.workers),
        "lease_queues": sum(queue.lease is not None for queue in module.queues),
        "keeper": cvalues.keeper(module),
        "histories": sum(queue.history is not None for queue in module.queues),
        "lanes": cvalues.lanes(module),
        "statements": list(_statements(module)),
        "unique_queues": any(queue.keys for queue in module.queues),
        "batch_calls": any(isinstance(run, CallIR) and run.batch for run in runs),
        "connected_workers": any(worker.connected for worker in module.workers),
        "connected_static_workers": any(worker.connected for worker in static),
        "statement_hook": bool(module.queues) or any(worker.connected for worker in module.workers),
        "c_workers": any(isinstance(w.body, CBody) and not w.body.sql for w in module.workers),
        "called_functions": any(isinstance(run, CallIR) for run in runs),
        "top_level_statements": bool(module.tables)
        or any(isinstance(run, StatementIR) and run.top_level for run in runs),
        "reports": any(a.operation == "report" for w in module.workers for a in w.on_done + w.on_failed + w.on_round),
        "text_arguments": any(a.kind == "text" for worker in module.workers for a in worker.arguments),
        "shown_texts": any(c.field.kind == "text" for state in module.shared for c in state.columns),
        "preload_settings": [setting for setting in module.settings if setting.preload_only],
        "newer_flags": list(
            dict.fromkeys(flag.macro for setting in module.settings for flag in setting.flags if flag.since)
        ),
        "database_settings": documents.database_settings(module),
        "total_slots": cvalues.total_slots(module),
    }
    sources += ["session.c"] if values["connected_workers"] else []
    sources += ["database.c"] if values["connected_static_workers"] else []
    sources += ["statement.c"] if values["statement_hook"] else []
    sources += ["queue.c", "lane.c", "behind.c", "claim.c", "direct.c", "settle.c"] if values["lanes"] else []
    sources += ["batch.c", "careful.c"] if values["queue_workers"] else []
    sources += ["lease.c", "answer.c"] if values["lease_queues"] else []
    sources += ["keep.c"] if values["keeper"] else []
    sources += ["history.c"] if values["histories"] else []
    sources += ["calendar.c"] if module.schedules or module.tables else []
    sources += ["schedule.c", "runs.c"] if module.schedules else []
    sources += ["table.c", "scheduler.c", "give.c", "command.c", "runner.c"] if module.tables else []
    sources += ["launch.c"] if values["dynamic_workers"] else []
    sources += ["top_level.c"] if values["top_level_statements"] else []
    sources += [worker.file for worker in module.workers]
    sources += list(dict.fromkeys(w.body.source for w in module.workers if isinstance(w.body, CBody)))
    values["objects"] = [f"{source.removesuffix('.c')}.o" for source in sources]
    return values


def _statements(module: ModuleIR) -> dict[str, None]:
    """The names of the statements that queues have, in the order of ``names.STATEMENTS``."""
    found = {name for queue in module.queues for name, _ in queue.statements}
    longest = max((queue.statements for queue in module.queues), key=len, default=())
    return dict.fromkeys([*(name for name, _ in longest), *sorted(found)])


def _c_helpers(module: ModuleIR) -> dict[str, Callable[..., Any]]:
    return {
        "ident": ctext.ident,
        "string": ctext.string,
        "integer": ctext.integer,
        "int64": ctext.int64,
        "boolean": ctext.boolean,
        "prose": ctext.prose,
        "note": ctext.c_comment,
        "declaration": cvalues.declare,
        "field_declaration": cvalues.field_declaration,
        "column_oid": cvalues.column_oid,
        "argument_declaration": cvalues.argument_declaration,
        "setting_extern": cvalues.setting_extern,
        "setting_definition": cvalues.setting_definition,
        "define_setting": cvalues.define_setting,
        "amount": cvalues.amount,
        "delay": cvalues.delay,
        "timeout": cvalues.timeout,
        "milliseconds": cvalues.milliseconds,
        "jobs_at_once": cvalues.jobs_at_once,
        "lane": lambda worker: cvalues.lane(module, worker),
        "lease_lane": lambda queue: cvalues.lease_lane(module, queue),
        "first_lane": lambda worker: cvalues.first_lane(module, worker),
        "lane_count": cvalues.lane_count,
        "source": cvalues.source,
        "condition": cvalues.condition,
        "member": cvalues.member,
        "flags": cvalues.flags,
        "restart": cvalues.restart,
        "name_list": cvalues.name_list,
        "value_of": cvalues.value_of,
        "null_of": cvalues.null_of,
        "type_of": cvalues.type_of,
        "sql_lines": cvalues.sql_lines,
        "sql_text": cvalues.sql_text,
        "copied": lambda state: any(column.field.kind != "hot" for column in state.columns),
        "first_slot": lambda worker: cvalues.first_slot(module, worker),
        "takers": lambda queue: cvalues.takers(module, queue),
    }


def _sql_helpers() -> dict[str, Callable[..., Any]]:
    def arguments(values: Sequence[ArgumentIR | PayloadColumnIR]) -> SqlText:
        return SqlText(", ".join(f"{value.name} {ctext.sql(value.sql_type)}" for value in values))

    def types(values: Sequence[ArgumentIR | PayloadColumnIR]) -> SqlText:
        return SqlText(", ".join(str(ctext.sql(value.sql_type)) for value in values))

    def columns(values: tuple[PayloadColumnIR, ...]) -> SqlText:
        return SqlText(", ".join(value.name for value in values))

    def keyed(queue: QueueIR, named: bool) -> str:
        """What the functions that enqueue take beside: a key, and for how long."""
        if queue.keys is None:
            return ""
        if named:
            return ",\n    unique_key pg_catalog.text DEFAULT NULL, unique_for pg_catalog.interval DEFAULT NULL"
        return ", pg_catalog.text, pg_catalog.interval"

    def view_rest(queue: QueueIR, status: str) -> SqlText:
        """The columns of the view that only some queues have; the first of its parts names them."""
        first = status == "ready"
        found = []
        if queue.lease is not None:
            leased = status == "running"
            named = ["NULL::pg_catalog.timestamptz AS lease_end", "NULL::pg_catalog.text AS who"]
            found += named if first else ["lease_end", "who"] if leased else ["NULL", "NULL"]
        if queue.history is not None:
            kept = "done_at" if status == "done" else "NULL"
            found += ["NULL::pg_catalog.timestamptz AS done_at" if first else kept]
        return SqlText("".join(f",\n        {value}" if value is found[0] else f", {value}" for value in found))

    def statuses(queue: QueueIR) -> SqlText:
        """What the view shows, as words."""
        found = ["ready", "later", *(["running"] if queue.lease else []), *(["done"] if queue.history else [])]
        return SqlText(f"{', '.join(found)} or failed")

    def consumer_functions(queue: QueueIR) -> SqlText:
        """What consumers call, with types."""
        assert queue.lease is not None
        ids = "pg_catalog.int8[], pg_catalog.int8[]"
        given = {
            queue.lease.claim: "pg_catalog.int4, pg_catalog.interval, pg_catalog.text",
            queue.lease.acknowledge: ids,
            queue.lease.extend: f"{ids}, pg_catalog.interval",
            queue.lease.fail: f"{ids}, pg_catalog.text[], pg_catalog.text[], pg_catalog.text[], pg_catalog.bool",
            queue.lease.release: ids,
        }
        return SqlText(", ".join(f"{function.name}({types})" for function, types in given.items()))

    return {
        "plain": ctext.sql,
        "raw": ctext.sql,
        "literal": ctext.sql_literal,
        "comment": ctext.sql_comment,
        "argument_list": arguments,
        "type_list": types,
        "column_list": columns,
        "consumer_functions": consumer_functions,
        "view_rest": view_rest,
        "statuses": statuses,
        "enqueue_types": lambda queue: SqlText(f"{types(queue.payload)}, pg_catalog.int2{keyed(queue, False)}"),
        "key_parameters": lambda queue: SqlText(keyed(queue, True)),
        "not_null": lambda column: SqlText("" if column.nullable else " NOT NULL"),
        "comma": lambda last: SqlText("" if last else ","),
        "semicolon": lambda last: SqlText(";" if last else ""),
        "schedule_body": lambda table: "\n".join(table.schedule_sql),
    }


def _static(name: str) -> str:
    return files("pgbgw.c_templates").joinpath("static", name).read_text(encoding="utf-8")
