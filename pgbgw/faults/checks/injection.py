"""Hostile text and secrets: in payloads, errors, launches and settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from pgbgw.faults.check import check
from pgbgw.faults.hostile_text import (
    HOSTILE,
    LONG,
    as_value,
    enqueue_text,
    takes_text,
    text_arguments,
    text_columns,
    text_settings,
    unlogged,
)
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.stage import Line, Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import SettingIR, WorkerIR
from pgbgw.sqltext import quote_literal

__all__: list[str] = []

_SECRET = "s3cr3t-of-a-payload"

_FORGED = "2026-01-01 00:00:00.000 UTC [1] client backend LOG:  forged"


@check(
    "security.payload",
    "payloads hold quotes, backslashes, SQL, formats, control characters, and a megabyte of text",
    "Each reaches the handler byte by byte, also after failed attempts, and is kept so when the job is given up.",
    rules=(21,),
    needs=("text",),
)
def payload(stage: Stage) -> str:
    """Payloads are values, and never part of a statement or a format."""
    texts = [*HOSTILE, "x" * LONG]
    before = stage.pids()
    count = 0
    for line in (line for line in stage.lines if text_columns(line)):
        wanted = enqueue_text(stage, line, texts)
        lost = enqueue_text(stage, line, texts, "SELECT 1/0")
        stage.audit(line, [*wanted, *lost], dict.fromkeys(lost, "22012"))
        found = dict(stage.rows(f"SELECT job, payload FROM {SCHEMA}.ledger WHERE worker = %s", [line.name]))
        require(
            found == wanted,
            f"arrived otherwise: {[wanted[job] for job in wanted if found.get(job) != wanted[job]][:3]}",
        )
        columns = ", ".join(column.name for column in line.queue.columns)
        kept = dict(stage.rows(f"SELECT id, ROW({columns})::text FROM {line.queue.failed}"))
        require(kept == lost, f"kept otherwise: {[lost[job] for job in lost if kept.get(job) != lost[job]][:3]}")
        count += len(found) + len(kept)
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{count} payloads arrived or were kept as they were enqueued; same pids"


def _raise(message: str) -> str:
    block = f"BEGIN RAISE EXCEPTION USING MESSAGE = {quote_literal(message)}; END"
    return f"DO {quote_literal(block)}"


@check(
    "security.message",
    "handlers raise errors whose messages hold formats, quotes, lines that look like the log, and a megabyte of text",
    "The error is kept as it was raised, and is one record of the log, whose further lines are indented.",
    rules=(24, 25),
    needs=("queue",),
)
def message(stage: Stage) -> str:
    """Messages are values, and never formats."""
    line = stage.lines[0]
    before = stage.pids()
    mark = stage.mark()
    forged = f"first line %s %n\n{_FORGED}\r\n\t{_FORGED}"
    wanted: dict[int, str] = {}

    def told() -> list[str]:
        """Have one more such job given up: of those that fail in a second, the log tells of the first ones alone."""
        wanted.update(dict.fromkeys(stage.enqueue(line, 1, _raise(forged)), forged))
        stage.audit(line, list(wanted), dict.fromkeys(wanted, "P0001"))
        return stage.log(r"WARNING:  job \d+ of queue .* failed .*: first line %s %n", mark)

    eventually(told, what="a record of the log for a job that was given up")
    records = [text for text in stage.log("forged", mark) if not text.startswith("\t")]
    require(not records, f"a message has made records of its own: {records[:1]}")
    for text in [*(text for text in HOSTILE if text), "x" * LONG]:
        wanted |= dict.fromkeys(stage.enqueue(line, 1, _raise(text)), text)
    stage.audit(line, list(wanted), dict.fromkeys(wanted, "P0001"))
    kept = {job: row[1] for job, row in stage.failed(line).items()}
    require(
        kept == wanted, f"kept otherwise: {[wanted[job][:80] for job in wanted if kept.get(job) != wanted[job]][:3]}"
    )
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{len(kept)} messages kept as they were raised; one record of the log each; same pids"


def _launch(connection: psycopg.Connection[tuple[object, ...]], worker: WorkerIR, text: str) -> str:
    """Launch a worker with that text in each argument that holds any, and NULL for the others; the row of them."""
    assert worker.launch is not None
    function = worker.launch.name
    values = ", ".join(
        as_value(text, each.sql_type) if takes_text(each.sql_type) else f"NULL::{each.sql_type}"
        for each in worker.arguments
    )

    def launched() -> bool:
        with contextlib.suppress(psycopg.errors.InsufficientResources):
            connection.execute(f"SELECT {function}({values})".encode())
            return True
        return False

    # the one before may still be ending
    eventually(launched, what=f'a launch of "{worker.title}"')
    row = connection.execute(f"SELECT ROW({values})::text".encode()).fetchone()
    return str(row[0]) if row else ""


@check(
    "security.arguments",
    "launches are given quotes, backslashes, SQL, formats, control characters, and too long a text",
    "Each reaches the worker byte by byte; what is too long is an error of whoever launches.",
    rules=(37,),
    needs=("dynamic", "text argument"),
)
def arguments(stage: Stage) -> str:
    """Arguments travel as values."""
    query = f"SELECT payload FROM {SCHEMA}.ledger WHERE worker = %s ORDER BY entry"
    count = 0
    for worker in (worker for worker in stage.dynamic if text_arguments(worker)):
        room = min(argument.size for argument in text_arguments(worker))
        wanted = []
        with stage.connect() as connection:
            for text in (text for text in HOSTILE if len(text.encode()) < room - 2):
                wanted.append(_launch(connection, worker, text))
                _ledger_has(stage, worker, len(wanted))
            try:
                _launch(connection, worker, "x" * LONG)
                require(False, f"{LONG} bytes were let into a launch")
            except psycopg.errors.ProgramLimitExceeded:
                pass
        found = [row[0] for row in stage.rows(query, [worker.name])]
        require(found == wanted, f"arrived: {found}; given: {wanted}")
        count += len(found)
    return f"{count} launches were given what arrived; too long a text was refused"


def _ledger_has(stage: Stage, worker: WorkerIR, count: int) -> None:
    query = f"SELECT count(*) FROM {SCHEMA}.ledger WHERE worker = %s"
    eventually(lambda: stage.value(query, [worker.name]) == count, what=f'launch {count} of "{worker.title}" done')


@check(
    "security.settings",
    "a setting of text that a handler is handed is set to quotes, backslashes, SQL, formats and control characters",
    "It reaches the handler byte by byte: settings are parameters, and never part of a statement.",
    rules=(4,),
    needs=("text setting",),
)
def settings(stage: Stage) -> str:
    """ALTER SYSTEM takes every text without a newline."""
    stage.every(50)
    texts = [text for text in HOSTILE if "\n" not in text]
    count = 0
    for worker, parameter, name in text_settings(stage):
        for text in texts:
            stage.set(**{name: text})
            _handed(stage, worker, parameter, text)
            count += 1
    return f"{count} values arrived as they were set"


def _handed(stage: Stage, worker: WorkerIR, parameter: str, text: str) -> None:
    """Wait until a job or a round of a worker is handed a value."""
    line = next((line for line in stage.lines if worker in line.takers), None)
    noted = line.name if line else worker.name
    query = f"SELECT settings->>%s FROM {SCHEMA}.ledger WHERE worker = %s ORDER BY entry DESC LIMIT 1"

    def arrived() -> bool:
        if line is not None:
            stage.audit(line, stage.enqueue(line))
        found = stage.rows(query, [parameter, noted])
        return bool(found) and found[0][0] == text

    eventually(arrived, what=f'"{worker.title}" with {parameter} = {text!r}')


@check(
    "security.declared",
    "the declaration itself holds text: titles, defaults, comments",
    "The server shows each as it was declared, and nothing of it has become a part of a statement.",
)
def declared(stage: Stage) -> str:
    """What C and SQL have made of the texts of the declaration."""
    found = {("title", each.worker): each.title for each in stage.processes()}
    wanted: dict[tuple[str, str], str | None]
    wanted = {("title", worker.name): worker.title for worker in stage.module.workers}
    shown = {row[0]: row[1:] for row in stage.rows("SELECT name, boot_val, short_desc FROM pg_settings")}
    for setting in stage.module.settings:
        if setting.name not in shown:
            continue
        default, comment = shown[setting.name]
        if setting.kind in ("string", "enum"):
            found["default", setting.name], wanted["default", setting.name] = default, _default(setting)
        if setting.comment:
            found["comment", setting.name], wanted["comment", setting.name] = comment, setting.comment
    query = "SELECT col_description(%s::regclass, %s)"
    for state in stage.module.shared:
        for number, column in enumerate(state.columns, 1):
            if column.field.comment:
                found["comment", column.name] = stage.value(query, [state.view, number])
                wanted["comment", column.name] = column.field.comment
    otherwise = {key: found[key] for key in wanted if found.get(key) != wanted[key]}
    require(not otherwise, f"shown otherwise than declared: {otherwise}")
    return f"{len(wanted)} texts shown as they were declared"


def _default(setting: SettingIR) -> str | None:
    """The default of a setting that is a text or a word."""
    words = {option.number: option.name for option in setting.options}
    if setting.kind == "enum" and isinstance(setting.default, int):
        return words[setting.default]
    return None if setting.default is None else str(setting.default)


@contextlib.contextmanager
def _unheard(stage: Stage, what: str) -> Iterator[None]:
    """The secret stands nowhere in what the log is told during the block."""
    mark = stage.mark()
    yield
    heard = stage.log(_SECRET, mark)
    require(not heard, f"{what}, the log tells the secret: {heard[:1]}")


@check(
    "security.secret",
    "jobs whose payload is a secret are done, fail, break a unique constraint, time out, and are cancelled",
    "The secret stands in the queue's tables alone: not in the log, not in pg_stat_activity, not in shared state.",
    rules=(24,),
    needs=("text",),
)
def secret(stage: Stage) -> str:
    """With the log as it is set by default."""
    line = next(line for line in stage.lines if text_columns(line))
    with _unheard(stage, "by default"):
        jobs = _with_secret(stage, line)
    return f"{jobs} jobs with a secret, told nowhere"


@check(
    "security.secret_logged",
    "the same, with log_statement, log_min_duration_statement, log_parameter_max_length and others at their loudest",
    "What a worker runs is no statement of a client, so the secret still stands nowhere; "
    "debug_print_plan alone would write it, as the numbers of its bytes.",
    rules=(24,),
    needs=("text",),
)
def secret_logged(stage: Stage) -> str:
    """With everything that an administrator may switch on while looking for a fault."""
    line = next(line for line in stage.lines if text_columns(line))
    stage.set(
        log_statement="all",
        log_min_duration_statement="0",
        log_parameter_max_length="-1",
        log_parameter_max_length_on_error="-1",
        log_error_verbosity="verbose",
        log_min_messages="debug2",
        log_min_error_statement="debug5",
        debug_print_parse="on",
        debug_print_rewritten="on",
        log_executor_stats="on",
    )
    with _unheard(stage, "with talkative settings"):
        jobs = _with_secret(stage, line)
    return f"{jobs} jobs with a secret, told nowhere"


def _with_secret(stage: Stage, line: Line) -> int:
    """Have jobs with a secret end in every way; how many they were."""
    last = line.queue.retries
    held = f"{SCHEMA}.held"
    try:
        with unlogged(stage) as connection:
            connection.execute(f"CREATE TABLE {held} (held text UNIQUE); GRANT ALL ON {held} TO PUBLIC".encode())
            connection.execute(f"INSERT INTO {held} VALUES ({quote_literal(_SECRET)})".encode())
        done = enqueue_text(stage, line, [_SECRET])
        failing = dict.fromkeys(enqueue_text(stage, line, [_SECRET], "SELECT 1/0"), "22012")
        twice = f"INSERT INTO {held} SELECT held FROM {held}"
        failing |= dict.fromkeys(enqueue_text(stage, line, [_SECRET], twice, attempt=last), "23505")
        stage.audit(line, [*done, *failing], failing)
        ways = ["cancel", "timeout"] if all(taker.timeout for taker in line.takers) else ["cancel"]
        for way in ways:
            failing |= dict.fromkeys(enqueue_text(stage, line, [_SECRET], "SELECT pg_sleep(60)", attempt=last), "57014")
            pid = stage.working(line)
            _shown(stage)
            if way == "cancel":
                stage.rows("SELECT pg_cancel_backend(%s)", [pid])
            stage.audit(line, list(failing), failing)
        _shown(stage)
    finally:
        stage.rows(f"DROP TABLE IF EXISTS {held}")
    return len(done) + len(failing)


def _shown(stage: Stage) -> None:
    """Require that what others may look at does not show the secret."""
    for view in ("pg_stat_activity", f"{stage.subject.processes}()", *(state.view for state in stage.module.shared)):
        shown = stage.rows(f"SELECT * FROM {view}")
        require(_SECRET not in str(shown), f"{view} shows the secret")
