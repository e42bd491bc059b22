"""Workers: what they have in common, the four kinds that are declared, and the one that comes by itself.

Source: ``src/include/postmaster/bgworker.h`` and the chapter "Background Worker Processes" of PostgreSQL's
documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, get_args

from pgbgw.declare.durations import NEVER, Duration, Never
from pgbgw.declare.naming import durable_name, free_text, sql_name
from pgbgw.declare.places import argument, shown
from pgbgw.declare.queues import Queue, sql_type_of
from pgbgw.declare.settings import BoolSetting, IntSetting, RealSetting, StringSetting
from pgbgw.declare.shared import Action, GaugeHandle
from pgbgw.declare.sql import Call, Run, Sql, parsed_type
from pgbgw.diagnostics import Diagnostic, report
from pgbgw.origin import Origin
from pgbgw.sqltext import SqlType

if TYPE_CHECKING:
    from pgbgw.declare.extension import Extension

__all__ = [
    "Argument",
    "CWorker",
    "DynamicWorker",
    "Every",
    "IntervalWorker",
    "KeeperWorker",
    "LogLevel",
    "QueueWorker",
    "Start",
    "TableOptions",
    "Worker",
    "WorkerOptions",
    "arguments",
]

Start: TypeAlias = Literal["postmaster", "consistent", "recovery_finished"]
"""BgWorkerStart_PostmasterStart, _ConsistentState and _RecoveryFinished."""

LogLevel: TypeAlias = Literal["debug5", "debug4", "debug3", "debug2", "debug1", "log"]
"""At which level a worker tells of each round."""

Every: TypeAlias = Duration | IntSetting | RealSetting

_LATCH_MS = 2**31 - 1  # WaitLatch and enable_timeout_after take an int of milliseconds
_RESTART_S = 86_400_000  # USECS_PER_DAY / 1000, the most that SanityCheckBackgroundWorker lets through


class WorkerOptions(TypedDict, total=False):
    """What every worker may be given, by keyword."""

    title: str
    database: str | StringSetting
    role: str | StringSetting
    start: Start
    restart: Duration | Never
    timeout: Duration | IntSetting
    when: BoolSetting
    unless: BoolSetting
    activity: str
    log_level: LogLevel
    main_argument: int
    alive: GaugeHandle
    on_done: Action | tuple[Action, ...]
    on_failed: Action | tuple[Action, ...]
    on_round: Action | tuple[Action, ...]


class TableOptions(TypedDict, total=False):
    """What a table of schedules may be given, by keyword."""

    title: str
    database: str | StringSetting
    role: str | StringSetting
    restart: Duration | Never
    when: BoolSetting
    unless: BoolSetting
    log_level: LogLevel


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Worker:
    """What every worker has; see docs/workers.md for what each option does."""

    extension: Extension = field(repr=False)
    name: str
    origin: Origin
    title: str = ""
    database: str | StringSetting | None = None
    role: str | StringSetting | None = None
    start: Start = "recovery_finished"
    restart: Duration | Never = Duration(10_000_000)
    timeout: Duration | IntSetting | None = None
    when: BoolSetting | None = None
    unless: BoolSetting | None = None
    activity: str = ""
    log_level: LogLevel = "debug1"
    main_argument: int = 0
    alive: GaugeHandle | None = None
    on_done: tuple[Action, ...] = ()
    on_failed: tuple[Action, ...] = ()
    on_round: tuple[Action, ...] = ()

    kind = "worker"

    def __post_init__(self) -> None:
        self._set("name", durable_name(self.kind, self.name, self.origin, 0, "name"))
        self._set("title", self._text("title") or f"{self.extension.name} {self.name}")
        self._set("activity", self._text("activity"))
        for option in ("on_done", "on_failed", "on_round"):
            self._set(option, self._actions(option, getattr(self, option)))
        self._check_connection()
        self._check_word("start", get_args(Start), "BGW401")
        self._check_word("log_level", get_args(LogLevel), "BGW402")
        self._check_restart(self.restart)
        self._check_timeout(self.timeout)
        switches: dict[str, object] = {"when": self.when, "unless": self.unless}
        for option, value in switches.items():
            if not isinstance(value, BoolSetting | None):
                self._fault("BGW404", f"{option} of {self} is not a boolean setting: {shown(value)}", option,
                            hint=f"Give {option}= the value of a bool_setting(...).")  # fmt: skip
                self._set(option, None)
        alive: object = self.alive
        if not isinstance(alive, GaugeHandle | None):
            self._wrong_type("alive", "a gauge or an integer of shared state")
        self._check_main_argument(self.main_argument)

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'

    def _set(self, attribute: str, value: object) -> None:
        object.__setattr__(self, attribute, value)

    def _fault(
        self, code: str, message: str, *where: str | int, detail: str | None = None, hint: str | None = None
    ) -> None:
        report(Diagnostic(code, message, argument(self.origin, *where), detail, hint))

    def _wrong_type(self, option: str, wanted: str, instead: object = None) -> None:
        self._fault("BGW413", f"{option} of {self} is not {wanted}: {shown(getattr(self, option))}", option,
                    hint=f"Give {option}= {wanted}.")  # fmt: skip
        self._set(option, instead)

    def _text(self, option: str) -> str:
        return free_text(f"{option} of {self}", getattr(self, option), self.origin, option)

    def _check_connection(self) -> None:
        """Where the worker connects, by its own options or those of the extension."""
        for option in ("database", "role"):
            value: object = getattr(self, option)
            if value is None:
                self._set(option, getattr(self.extension, option))
            elif isinstance(value, str):
                self._set(option, sql_name(option, value, self.origin, option))
            elif not isinstance(value, StringSetting):
                self._wrong_type(option, "text or a string setting", "invalid")

    def _check_word(self, option: str, words: tuple[str, ...], code: str) -> None:
        value: object = getattr(self, option)
        if value not in words:
            self._fault(code, f"{option.replace('_', ' ')} of {self} does not exist: {shown(value)}", option,
                        hint=f"Use one of {', '.join(words)}.")  # fmt: skip
            self._set(option, words[-1] if option == "start" else "debug1")

    def _check_restart(self, restart: object) -> None:
        if isinstance(restart, Never) or (
            isinstance(restart, Duration) and restart.us % 1_000_000 == 0 and 0 <= restart.us <= _RESTART_S * 1_000_000
        ):
            return
        self._fault("BGW403", f"restart of {self} is not a duration of whole seconds up to 1000 days: {shown(restart)}",
                    "restart", detail="bgw_restart_time is an integer of seconds, at most 86400000.",
                    hint="Write restart=seconds(10), or restart=NEVER.")  # fmt: skip
        self._set("restart", Duration(10_000_000))

    def _check_timeout(self, timeout: object) -> None:
        if timeout is None or isinstance(timeout, IntSetting) or _in_milliseconds(timeout):
            return
        self._fault("BGW403", f"timeout of {self} is not a duration of 1 ms to 24 days: {shown(timeout)}", "timeout",
                    detail="Timeouts are armed in milliseconds, as a 32-bit integer.",
                    hint="Write timeout=seconds(30), or give an int_setting with a unit of time.")  # fmt: skip
        self._set("timeout", None)

    def _check_main_argument(self, value: object) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
            return
        self._fault("BGW405", f"main argument of {self} is not a 32-bit integer: {shown(value)}", "main_argument",
                    detail="It travels in bgw_main_arg, a Datum.", hint="Give an integer of 32 bits.")  # fmt: skip
        self._set("main_argument", 0)

    def _check_every(self, every: object) -> None:
        """``every`` must be at least a millisecond, which is what latches wait in."""
        if isinstance(every, IntSetting | RealSetting) or _in_milliseconds(every):
            return
        self._fault("BGW403", f"every of {self} is not a duration of 1 ms to 24 days: {shown(every)}", "every",
                    detail="A worker waits on its latch in milliseconds, as a 32-bit integer.",
                    hint="Write every=seconds(10), or give a setting with a unit of time.")  # fmt: skip
        self._set("every", Duration(10_000_000))

    def _check_count(self, option: str, value: object, high: int, code: str) -> None:
        if isinstance(value, IntSetting):
            return
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= high:
            return
        integer = isinstance(value, int) and not isinstance(value, bool)
        problem = "is out of range" if integer else "is not an integer"
        self._fault(code, f"{option} of {self} {problem}: {shown(value)}", option,
                    hint=f"Give a number from 1 to {high}, or an int_setting.")  # fmt: skip
        self._set(option, 1)

    def _check_flag(self, option: str) -> None:
        if not isinstance(getattr(self, option), bool):
            self._wrong_type(option, "True or False", True)

    def _check_run(self, run: object) -> None:
        if not isinstance(run, Sql | Call):
            wrap = 'Wrap it in sql(...): run=sql("...").'
            self._fault("BGW406", f"{self} has nothing to run: {shown(run)}", "run",
                        hint=wrap if isinstance(run, str) and " " in run.strip() else
                        'Give run=sql("...") or run=call("schema.function", ...).')  # fmt: skip

    def _actions(self, option: str, value: object) -> tuple[Action, ...]:
        actions = (value,) if isinstance(value, Action) else value
        if isinstance(actions, list | tuple) and all(isinstance(action, Action) for action in actions):
            return tuple(actions)
        self._fault("BGW407", f"{option} of {self} is not an action: {shown(value)}", option,
                    hint=f"Write {option}=stats.field.add(1), or a tuple of such actions.")  # fmt: skip
        return ()


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class QueueWorker(Worker):
    """Processes that take jobs from one queue, a batch a transaction, until it is empty."""

    queue: Queue[Any]
    run: Run
    workers: int | IntSetting = 1
    batch: int | IntSetting = 100
    batch_time: Duration = Duration(1_000_000)
    every: Every = Duration(30_000_000)
    synchronous_commit: bool = True

    kind = "queue worker"

    def __post_init__(self) -> None:
        Worker.__post_init__(self)
        self._check_run(self.run)
        self._check_every(self.every)
        self._check_count("workers", self.workers, 1024, "BGW408")
        self._check_count("batch", self.batch, 100_000, "BGW409")
        self._check_batch_time(self.batch_time)
        self._check_flag("synchronous_commit")
        queue: object = self.queue
        if not isinstance(queue, Queue):
            self._fault("BGW410", f"{self} has no queue: {shown(queue)}", 1, "queue",
                        hint="Give it the value of Extension.queue(...).")  # fmt: skip

    def _check_batch_time(self, value: object) -> None:
        if _in_milliseconds(value):
            return
        self._fault("BGW403", f"batch_time of {self} is not a duration of 1 ms to 24 days: {shown(value)}",
                    "batch_time", detail="A batch is timed in milliseconds, as a 32-bit integer.",
                    hint="Write batch_time=seconds(1).")  # fmt: skip
        self._set("batch_time", Duration(1_000_000))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class IntervalWorker(Worker):
    """A process that runs one statement or function each interval."""

    run: Run
    every: Every
    transaction: bool = True

    kind = "interval worker"

    def __post_init__(self) -> None:
        Worker.__post_init__(self)
        self._check_run(self.run)
        self._check_every(self.every)
        self._check_flag("transaction")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a dynamic worker."""

    name: str
    type: SqlType


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DynamicWorker(Worker):
    """A one-shot process, launched from SQL with arguments, in the caller's database and as the caller's role."""

    restart: Duration | Never = NEVER
    run: Run
    args: tuple[Argument, ...] = ()
    limit: int | IntSetting = 4
    function: str = ""
    notify: bool = True
    transaction: bool = True

    kind = "dynamic worker"

    def __post_init__(self) -> None:
        Worker.__post_init__(self)
        self._check_run(self.run)
        self._check_count("limit", self.limit, 1024, "BGW411")
        self._check_flag("notify")
        self._check_flag("transaction")
        function = self.function and sql_name("function", self.function, self.origin, "function")
        self._set("function", function or f"launch_{self.name}")

    def _check_connection(self) -> None:
        """A dynamic worker takes neither from the extension; options of its own are refused by a check."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CWorker(Worker):
    """A process whose rounds are a C function of the user's own: ``void function(Datum main_arg)``."""

    source: str
    function: str = ""
    every: Every = Duration(60_000_000)
    sql: bool = False
    text: str = field(default="", repr=False)

    kind = "C worker"

    def __post_init__(self) -> None:
        Worker.__post_init__(self)
        self._check_every(self.every)
        self._check_flag("sql")
        name = durable_name(f"function of {self}", self.function or self.name, self.origin, "function", 0, "name")
        self._set("function", name)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class KeeperWorker(Worker):
    """The process that ends leases, tells listeners of jobs, and keeps histories, where an extension needs that."""

    # nothing is done for leases meanwhile
    restart: Duration | Never = Duration(1_000_000)

    kind = "keeper"


def _in_milliseconds(value: object) -> bool:
    """Whether it is a duration that latches and timers can wait for."""
    return isinstance(value, Duration) and 1_000 <= value.us <= _LATCH_MS * 1_000


def arguments(worker: str, args: object, origin: Origin) -> tuple[Argument, ...]:
    """Typed arguments from names and SQL types; reports BGW413 for what is no mapping of such."""
    where = argument(origin, "args")
    found = []
    for name, text in _mapping(worker, args, where).items():
        owner = f'of dynamic worker "{worker}"'
        name = durable_name(f"argument {owner}", name, where)
        meant = sql_type_of(text) if isinstance(text, type) else None
        found.append(Argument(name, parsed_type(f'argument "{name}" {owner}', text, where, meant)))
    return tuple(found)


def _mapping(worker: str, args: object, where: Origin) -> Mapping[str, Any]:
    if isinstance(args, Mapping):
        return args
    # Names alone are gone on with as texts, so that what uses them is not reported as well.
    names = [each for each in args if isinstance(each, str)] if isinstance(args, list | tuple | set) else []
    if args is not None:
        example = f'"{names[0]}"' if names else '"key"'
        problem = "is not a mapping of names to SQL types"
        report(Diagnostic("BGW413", f'args of dynamic worker "{worker}" {problem}: {shown(args)}', where,
                          detail="Who launches the worker gives it arguments by name, each of one type.",
                          hint=f'Write args={{{example}: "text"}}, with the type of each.'))  # fmt: skip
    return dict.fromkeys(names, "text")
