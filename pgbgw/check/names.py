"""Names: duplicates, lengths of names made from others, reserved words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pgbgw.check.target import Rule, Target, place
from pgbgw.declare import derived
from pgbgw.declare.extension import Extension
from pgbgw.declare.naming import NAME_BYTES
from pgbgw.declare.places import annotated_field, argument
from pgbgw.declare.queues import Queue
from pgbgw.declare.schedules import CronWorker
from pgbgw.declare.settings import IntSetting, Setting
from pgbgw.declare.shared import SharedState
from pgbgw.declare.tables import RunnerWorker, SchedulerWorker, ScheduleTable
from pgbgw.declare.workers import CWorker, DynamicWorker, QueueWorker, Worker
from pgbgw.diagnostics import Diagnostic
from pgbgw.origin import Origin
from pgbgw.sqltext import keyword_kind

__all__ = ["RULES"]

TITLE_BYTES = 95  # BGW_MAXLEN - 1

# What SQL takes for a name in each place (gram.y): ColId for columns and the parts of a setting's name,
# type_function_name for arguments.
_NOT_COLUMNS = {"reserved", "type_func_name"}
_NOT_ARGUMENTS = {"reserved", "col_name"}

# C23, and asm, which gcc and clang add.
_C_WORDS = """
alignas alignof asm auto bool break case char const constexpr continue default do double else enum extern false float
for goto if inline int long nullptr register restrict return short signed sizeof static static_assert struct switch
thread_local true typedef typeof typeof_unqual union unsigned void volatile while
"""
_C_KEYWORDS = frozenset(_C_WORDS.split())


class _Object(NamedTuple):
    """An SQL object that a declared value makes."""

    name: str
    what: str
    origin: Origin
    where: tuple[str | int, ...]


def duplicates(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW107: settings, shared states, queues and workers each have names of their own."""
    yield from _twice("setting", extension.settings)
    yield from _twice("shared state", extension.shared)
    yield from _twice("queue", extension.queues)
    yield from _twice("schedule table", extension.tables)
    yield from _twice("worker", [worker for worker in extension.workers if not _of_two_tables(extension, worker)])


def _of_two_tables(extension: Extension, worker: Worker) -> bool:
    """Whether it comes with a table of schedules that was told as declared twice."""
    if not isinstance(worker, SchedulerWorker | RunnerWorker):
        return False
    return sum(table.name == worker.table.name for table in extension.tables) > 1


def _twice(
    kind: str, values: Iterable[Setting | SharedState | Queue[Any] | ScheduleTable | Worker]
) -> Iterator[Diagnostic]:
    first: dict[str, Origin] = {}
    for value in values:
        if value.name in first:
            yield Diagnostic(
                "BGW107",
                f'{kind} "{value.name}" is declared twice',
                argument(value.origin, 0, "name"),
                detail=f"The first one stands at {place(first[value.name], value.origin)}.",
                hint="Rename one of them.",
            )
        first.setdefault(value.name, value.origin)


def sql_objects(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW108: no two tables, indexes, sequences and views, and no two functions, of one name."""
    told: set[tuple[Origin, Origin]] = set()
    for kind, objects in (("relations", _relations(extension)), ("functions", _functions(extension))):
        first: dict[str, _Object] = {}
        for each in objects:
            same = first.setdefault(each.name, each)
            if same is not each and (same.origin, each.origin) not in told:
                told.add((same.origin, each.origin))
                yield Diagnostic(
                    "BGW108",
                    f'{each.what} has the name of {same.what}: "{each.name}"',
                    argument(each.origin, *each.where),
                    detail=f'Both are {kind} in the schema "{extension.schema}".',
                    hint="Choose another name for one of them.",
                )


def derived_lengths(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW109: names made from declared ones fit into 63 bytes; the longest of each declared value is told."""
    longest: dict[Origin, _Object] = {}
    for each in (*_relations(extension), *_functions(extension), *_channels(extension)):
        kept = longest.setdefault(each.origin, each)
        if len(each.name.encode()) > len(kept.name.encode()):
            longest[each.origin] = each
    for each in longest.values():
        length = len(each.name.encode())
        over = length - NAME_BYTES
        if over > 0:
            yield Diagnostic(
                "BGW109",
                f'name of {each.what} is too long: {length} bytes: "{each.name}"',
                argument(each.origin, *each.where),
                detail=f"PostgreSQL cuts names at {NAME_BYTES} bytes (NAMEDATALEN - 1).",
                hint=f"Choose a name that is shorter by {over} byte{'s' * (over > 1)}.",
            )


def _relations(extension: Extension) -> Iterator[_Object]:
    for queue in extension.queues:
        owner = f'of queue "{queue.name}"'
        where: tuple[str | int, ...] = ("table", 0, "name")
        for table in derived.queue_tables(queue):
            yield _Object(table, f"table {owner}", queue.origin, where)
        for index in derived.queue_indexes(queue):
            yield _Object(index, f"index {owner}", queue.origin, where)
        yield _Object(derived.queue_sequence(queue), f"sequence {owner}", queue.origin, where)
        yield _Object(derived.queue_suspects(queue), f"table {owner}", queue.origin, where)
        yield _Object(f"{derived.queue_suspects(queue)}_pkey", f"index {owner}", queue.origin, where)
        if queue.unique:
            yield _Object(derived.queue_keys(queue), f"table {owner}", queue.origin, where)
            yield _Object(f"{derived.queue_keys(queue)}_pkey", f"index {owner}", queue.origin, where)
        if queue.lease is not None:
            yield _Object(derived.queue_running(queue), f"table {owner}", queue.origin, where)
            yield _Object(f"{derived.queue_running(queue)}_pkey", f"index {owner}", queue.origin, where)
            yield _Object(derived.queue_ends_index(queue), f"index {owner}", queue.origin, where)
            yield _Object(derived.queue_tokens(queue), f"sequence {owner}", queue.origin, where)
        if queue.history is not None:
            yield _Object(derived.queue_done(queue), f"table {owner}", queue.origin, where)
            yield _Object(derived.queue_default(queue), f"table {owner}", queue.origin, where)
            yield _Object(derived.queue_done_index(queue), f"index {owner}", queue.origin, where)
            yield _Object(f"{derived.queue_partition(queue)}00000000_id_idx", f"index {owner}", queue.origin, where)
        yield _Object(queue.view, f"view {owner}", queue.origin, ("view", *where))
    for state in extension.shared:
        yield _Object(state.view, f'view of shared state "{state.name}"', state.origin, ("view", 0, "name"))
    yield _Object(derived.copies(extension), "table of copies of the extension", extension.origin, (0, "name"))
    if extension.queues:
        paused = derived.paused_queues(extension)
        yield _Object(paused, "table of paused queues of the extension", extension.origin, (0, "name"))
        yield _Object(f"{paused}_pkey", "index of paused queues of the extension", extension.origin, (0, "name"))
    if any(isinstance(worker, CronWorker) for worker in extension.workers):
        made = derived.schedule_objects(extension)
        relations = (made.table, f"{made.table}_pkey", made.runs, f"{made.runs}_pkey", made.runs_sequence,
                     made.runs_index, made.view)  # fmt: skip
        for name in relations:
            yield _Object(name, "relation for the schedules of the extension", extension.origin, (0, "name"))
    for rota in extension.tables:
        found = derived.table_objects(rota)
        for name in found[: found.index(found.check)]:
            yield _Object(name, f"relation of {rota}", rota.origin, (0, "name"))


def _functions(extension: Extension) -> Iterator[_Object]:
    stop = extension.stop
    yield _Object(derived.announce(extension), "announcing function of the extension", extension.origin, (0, "name"))
    yield _Object(derived.processes(extension), "listing function of the extension", extension.origin, (0, "name"))
    yield _Object(stop.request, "shutdown function", stop.origin, ("request", 0, "name"))
    yield _Object(stop.resume, "resuming function", stop.origin, ("resume", 0, "name"))
    if extension.queues:
        what = "trigger function of the extension"
        yield _Object(derived.pause_trigger(extension), what, extension.origin, (0, "name"))
    scheduled = any(isinstance(worker, CronWorker) for worker in extension.workers)
    if scheduled or extension.tables:
        what = "function for the schedules of the extension"
        yield _Object(derived.next_run(extension), what, extension.origin, (0, "name"))
        yield _Object(derived.local_time(extension), what, extension.origin, (0, "name"))
    if scheduled:
        made = derived.schedule_objects(extension)
        for name in (made.wake, made.run, made.pause, made.resume, made.change):
            yield _Object(name, "function for the schedules of the extension", extension.origin, (0, "name"))
    for rota in extension.tables:
        found = derived.table_objects(rota)
        for name in found[found.index(found.check) :]:
            yield _Object(name, f"function of {rota}", rota.origin, (0, "name"))
    for state in extension.shared:
        yield _Object(state.function, f'function of shared state "{state.name}"', state.origin, ("function", 0, "name"))
    for queue in extension.queues:
        what = f'trigger function of queue "{queue.name}"'
        yield _Object(derived.queue_trigger(queue), what, queue.origin, ("table", 0, "name"))
        yield _Object(derived.queue_later_trigger(queue), what, queue.origin, ("table", 0, "name"))
        functions = (*derived.queue_functions(queue), *(derived.lease_functions(queue) if queue.lease else ()))
        for function in functions:
            yield _Object(function, f'function of queue "{queue.name}"', queue.origin, ("table", 0, "name"))
    for worker in extension.workers:
        if isinstance(worker, DynamicWorker):
            what = f"launching function of {worker}"
            yield _Object(worker.function, what, worker.origin, ("function", 0, "name"))


def _channels(extension: Extension) -> Iterator[_Object]:
    for queue in extension.queues:
        if queue.lease is not None:
            what = f'channel of queue "{queue.name}"'
            yield _Object(derived.queue_channel(queue), what, queue.origin, ("table", 0, "name"))


def reserved_words(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW110: nobody who uses the extension has to quote its names."""
    for what, name, forbidden, origin in _used_in_sql(extension):
        if keyword_kind(name) in forbidden:
            yield Diagnostic(
                "BGW110",
                f'name of {what} is a reserved word of SQL: "{name}"',
                origin(),
                detail="SQL takes it for a name only in double quotes.",
                hint=f'Choose another name, such as "{name}_".' if what == "extension"
                else f'Choose another name, such as "{name}_value".',
            )  # fmt: skip


def _used_in_sql(extension: Extension) -> Iterator[tuple[str, str, set[str], Callable[[], Origin]]]:
    """What each name belongs to, the name, the kinds of keyword that it may not be, and how to find its place."""
    yield "extension", extension.name, _NOT_COLUMNS, partial(argument, extension.origin, 0, "name")
    for setting in extension.settings:
        yield "setting", setting.name, _NOT_COLUMNS, partial(argument, setting.origin, 0, "name")
    for state in extension.shared:
        origins = {field.name: field.origin for field in state.fields}
        for field, column in state.columns:
            yield f'column of shared state "{state.name}"', column, _NOT_COLUMNS, partial(argument, origins[field])
    for queue in extension.queues:
        if queue.table == queue.name:
            what = f'table of queue "{queue.name}"'
            yield what, queue.table, _NOT_COLUMNS, partial(argument, queue.origin, "table", 0, "name")
        owner: Origin = getattr(queue.payload, "_origin", queue.origin)
        for each in queue.columns:
            what = f"payload field of class {queue.payload.__name__}"
            yield what, each.name, _NOT_COLUMNS, partial(annotated_field, owner, each.name)
    for worker in extension.workers:
        for each_argument in worker.args if isinstance(worker, DynamicWorker) else ():
            where = partial(argument, worker.origin, "args")
            yield f"argument of {worker}", each_argument.name, _NOT_ARGUMENTS, where


def titles(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW111: a title, with the number of the process where there are several, fits into bgw_type."""
    for worker in extension.workers:
        number = ""
        if isinstance(worker, QueueWorker):
            most = worker.workers.max if isinstance(worker.workers, IntSetting) else worker.workers
            number = f" {most}" if most > 1 else ""
        length = len((worker.title + number).encode())
        if length > TITLE_BYTES:
            numbered = f'; "{number}" is appended for its last process' if number else ""
            yield Diagnostic(
                "BGW111",
                f"title of {worker} is too long: {length} bytes",
                argument(worker.origin, "title", 0, "name"),
                detail=f"PostgreSQL keeps {TITLE_BYTES} bytes (BGW_MAXLEN - 1){numbered}.",
                hint="Give it a shorter title=.",
            )


def c_functions(extension: Extension, target: Target) -> Iterator[Diagnostic]:
    """BGW112: a C function is not named as a keyword."""
    for worker in extension.workers:
        if isinstance(worker, CWorker) and worker.function in _C_KEYWORDS:
            yield Diagnostic(
                "BGW112",
                f'function of {worker} is a keyword of C: "{worker.function}"',
                argument(worker.origin, "function", 0, "name"),
                hint="Rename the function.",
            )


RULES: tuple[Rule, ...] = (duplicates, sql_objects, derived_lengths, reserved_words, titles, c_functions)
