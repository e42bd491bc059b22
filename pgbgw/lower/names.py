"""Every C name that is emitted comes from here; templates and other stages build none.

All symbols with linkage begin with the name of the extension: up to PostgreSQL 15 a library is loaded with RTLD_GLOBAL
and exports what it does not hide, so two extensions would otherwise take each other's functions for their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

__all__ = ["STATEMENTS", "Names"]

# Functions and variables that the emitted files share, by the short name that templates use.
_SYMBOLS = (
    # shared memory
    "shared", "init_shared", "require_shared", "wake", "wake_at_commit",
    # connecting to a database, and making way
    "init_statement_hook", "wait_while_held", "await_connection",
    # life cycle
    "loop_context", "attach", "attach_launched", "set_state", "listen", "interrupts", "ready", "due", "remaining",
    "sleep", "begin_plain", "succeeded", "recover", "last_error", "describe_round", "set_text",
    # session
    "override_settings", "begin", "restored_copy", "commit", "check_constraints", "fire_triggers", "reset_session",
    "find_function", "forget_function", "run_top_level",
    # the server log
    "limit_log", "may_report", "tell_left_out",
    # launches
    "launch", "pack_text", "unpack_text",
    # where those stand that claim jobs
    "init_lanes", "enter_lane", "lower_marks", "lower_lane", "lower_ends", "lane_lowered", "read_times", "write_times",
    "note_claimed", "note_waiting", "note_look", "end_claims", "end_subclaims", "until_due", "take_stripe",
    "extend_stripe", "note_end", "plan_sweep", "begin_sweep", "end_sweep", "postpone_sweep", "note_locked",
    "put_back_locked", "take_locked", "locked_until", "give_up_locked",
    # after a crash
    "has_crashed", "enter_careful", "take_care", "claim_noted", "clear_old_notes", "end_care", "end_turn",
    "until_turn",
    # claims
    "make_batch", "claim", "way_reason", "add_job", "add_rows", "open_scan", "close_scan", "renew_snapshot",
    "claim_priority", "claim_locked", "sweep",
    # jobs
    "note_jobs", "queue_last_id", "claim_suspect", "batch_limit", "execute", "is_paused", "seen_paused",
    "pauses_pending", "run_jobs",
    "job_array", "give_up_crashing", "next_attempt", "settle", "free_keys", "report_failures",
    # histories
    "keep_done", "keep_histories", "next_upkeep",
    # leases
    "begin_call", "lease_end", "note_lease", "end_leases", "report_ended", "tell_news",
    "forget_news", "note_round", "until_look", "until_round",
    "guarded", "rest",
    # schedules
    "process_number", "stands_still", "let_go_on", "last_sqlstate", "due_after", "times_of", "times_known",
    "note_schedules_changed", "take_run", "end_run",
    "fail_run", "run_ended", "run_taken", "until_run",
    "read_schedule", "add_schedule", "redeclare_schedule", "plan_schedule", "forget_asked", "forget_retries",
    "settled_by_end", "begin_run", "begin_again", "left_running", "runs_gone", "run_attempt", "write_end",
    # tables of schedules
    "init_tables", "push_changes", "count_changes", "take_changes", "as_owner", "as_before", "table_statement",
    "missed_due", "schedule_due", "forget_schedules", "until_due_schedule", "table_execute_for", "load_runs",
    "add_run", "run_under_way", "room_for_runs", "runs_left", "settle_runs", "forget_settled",
    "launch_time", "give_runs",
    "check_command", "run_for_owners",
)  # fmt: skip

# The server has a dsm_attach() and a shm_mq_attach().
_LONGER = {"attach": "attach_worker"}

# Types, by the short name that templates use. The server has types like BackgroundWorker and
# PlanState: no type of its headers has one of these endings, so that an extension may be called background or plan.
_TYPES = {
    "shared": "Shared", "slot": "ProcessSlot", "state": "ProcessState", "launch": "Launch", "worker": "WorkerSpec",
    "queue": "Queue", "job": "Job", "batch": "JobBatch", "handler": "JobHandler", "lane": "QueueLane",
    "way": "ClaimWay", "care": "RoundCare", "stripe": "LaneStripe", "locked": "LockedJob", "scan": "ClaimScan",
    "suspicion": "QueueSuspicion", "statement": "QueueStatement", "times": "LaneTimes", "claims": "LaneClaims",
    "news": "QueueNews", "plan": "KeptPlan", "named": "NamedLeases",
    "schedule": "RunSchedule", "scheduled": "ScheduleRow", "prepared": "ScheduleStatement",
    "listed": "ListedSchedule", "due_times": "DueTimes",
    "table": "ScheduleTable", "table_spec": "ScheduleTableSpec", "runner": "ScheduleRunner",
    "runner_state": "RunnerState", "entry": "ScheduleEntry", "given": "ScheduleRun", "identity": "FormerIdentity",
    "changes": "ScheduleChanges", "command": "ScheduleCommand", "table_statement": "TableStatement",
    "obstacle": "Obstacle", "tally": "LogTally",
}  # fmt: skip

# Constants of the enum of states; STATE_IDLE is the server's.
_STATES = ("stopped", "idle", "working", "paused", "restored", "dormant", "backing_off")

# Constants of the enum of what keeps a round from beginning.
_OBSTACLES = ("no_obstacle", "missing", "other_version", "restored_copy")


# Constants of the enum of the ways that claims go.
_WAYS = ("direct", "altered", "inherited", "triggered", "secured", "cached", "forbidden")


# Constants of the enum of what a round may do after a crash.
_CARES = ("none", "wait", "again", "one")


# Constants of the enum of what a process that carries out runs of schedules is doing.
_RUNNER_STATES = ("vacant", "starting", "free", "busy", "leaving")

# Constants of the enum of the statements of a table of schedules.
_TABLE_STATEMENTS = (
    "load", "find", "lock", "plan", "taken", "begin_run", "open_runs", "find_run", "again", "end_run", "read_run",
    "start_run", "forget",
)  # fmt: skip


# Constants of the enum of a queue's statements, but for the last, which counts them.
STATEMENTS = (
    "claim", "claim_due", "next_due", "put_back", "retry", "give_up", "release_keys", "is_paused",
    "pick_suspect", "claim_suspect", "note_suspect", "void_suspects", "clear_suspect", "clear_suspects",
    "lease", "find_leases", "acknowledge", "extend", "take_back", "end_leases", "next_end",
    "keep_done", "list_partitions", "forget_done",
)  # fmt: skip


class Names:
    """The C names of one extension; each is handed out once."""

    def __init__(self, extension: str) -> None:
        self._extension = extension
        self._camel = _camel(extension)
        self.symbols: Mapping[str, str] = MappingProxyType({s: f"{extension}_{_LONGER.get(s, s)}" for s in _SYMBOLS})
        self._taken = set(self.symbols.values())
        self.types: Mapping[str, str] = MappingProxyType({t: f"{self._camel}{end}" for t, end in _TYPES.items()})
        self.macros: Mapping[str, str] = MappingProxyType(
            {state: f"{extension}_state_{state}".upper() for state in _STATES}
            | {obstacle: f"{extension}_{obstacle}".upper() for obstacle in _OBSTACLES}
            | {way: f"{extension}_claim_{way}".upper() for way in _WAYS}
            | {f"care_{care}": f"{extension}_care_{care}".upper() for care in _CARES}
            | {f"sql_{name}": f"{extension}_sql_{name}".upper() for name in (*STATEMENTS, "count")}
            | {f"runner_{state}": f"{extension}_runner_{state}".upper() for state in _RUNNER_STATES}
            | {f"table_{name}": f"{extension}_table_{name}".upper() for name in (*_TABLE_STATEMENTS, "count")}
            | {
                "header": f"{extension}_module_h".upper(),
                "claim_header": f"{extension}_claim_h".upper(),
                "wait_event": f"{self._camel}Main",
            }
        )
        self._types = {name.lower() for name in self.types.values()}

    def setting(self, name: str) -> str:
        """The variable of a setting."""
        return self._symbol(name, "setting")

    def options(self, name: str) -> str:
        """The table of an enum setting's options."""
        return self._symbol(f"{name}_options", "setting")

    def queue(self, name: str) -> str:
        """The descriptor of a queue."""
        return self._symbol(f"{name}_queue", "data")

    def wake(self, queue: str) -> str:
        """The trigger function of a queue."""
        return self._symbol(f"{queue}_wake", "trigger")

    def wake_later(self, queue: str) -> str:
        """The trigger function of a queue's jobs that wait."""
        return self._symbol(f"{queue}_later_wake", "trigger")

    def lease(self, queue: str, verb: str) -> str:
        """An SQL function that does something to leases of a queue."""
        return self._symbol(f"{queue}_{verb}", "lease")

    def table_spec(self, table: str) -> str:
        """The descriptor of a table of schedules."""
        return self._symbol(f"{table}_table", "data")

    def table(self, table: str, verb: str) -> str:
        """A trigger function of a table of schedules."""
        return self._symbol(f"{table}_{verb}", "table")

    def stats(self, state: str) -> str:
        """The SQL function that shows a shared state."""
        return self._symbol(f"get_{state}_stats", "function")

    def worker_main(self, worker: str) -> str:
        """The entry point of a worker."""
        return self._symbol(f"{worker}_main", "entry")

    def launch(self, worker: str) -> str:
        """The SQL function that launches a dynamic worker."""
        return self._symbol(f"launch_{worker}", "function")

    def function(self, name: str) -> str:
        """An SQL function that every extension has."""
        return self._symbol(name, "function")

    def stats_struct(self, state: str) -> str:
        """The type of a shared state."""
        return self._type(f"{_camel(state)}State")

    def launch_struct(self, worker: str) -> str:
        """The type of what a launch carries."""
        return self._type(f"{_camel(worker)}Launch")

    def header(self) -> str:
        """The header that all files share.

        It has not the name of the extension: PGXS searches the tree first, and would find a time.h or a postgres.h.
        """
        return "module.h"

    def worker_file(self, worker: str) -> str:
        """The source file of a worker."""
        return f"worker_{worker}.c"

    def member(self, name: str) -> str:
        """A member of a struct that holds declared names only; C's words are kept away by a suffix."""
        return _member(name)

    def state(self, name: str) -> str:
        """The member of the shared struct that holds a declared state."""
        return _member(
            name,
            {"lock", "slots", "nslots", "lanes", "careful_pid", "suspicions", "life", "holds", "pauses"}
            | {"schedule_changes", "tables", "runners"}
            | {"shutdown_requested"},
        )

    def argument(self, name: str) -> str:
        """The member of a launch that holds an argument."""
        return _member(name, {"base", "nulls"})

    def _symbol(self, name: str, suffix: str) -> str:
        symbol = f"{self._extension}_{name}"
        while symbol in self._taken:
            symbol = f"{symbol}_{suffix}"
        self._taken.add(symbol)
        return symbol

    def _type(self, name: str) -> str:
        name = f"{self._camel}{name}"
        while name.lower() in self._types:
            name = f"{name}_"
        self._types.add(name.lower())
        return name


def _member(name: str, others: Collection[str] = ()) -> str:
    """The name, with an underscore more where C takes it for something else; no two names give the same."""
    word = name.rstrip("_")
    taken = word in _C_WORDS or word in others or word.startswith(_C_PREFIXES)
    return f"{name}_" if taken else name


def _camel(name: str) -> str:
    """MyWorker for my_worker; an X stands before what would begin with a digit, or be empty."""
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return camel if camel[:1].isalpha() else f"X{camel}"


# Keywords of C11, and words that PostgreSQL's headers or the C library define as macros or types.
_C_WORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false
    asm typeof unix linux errno stdin stdout stderr assert offsetof signal noreturn gettext dummyret errcontext isinf
    math_errhandling
    """.split()  # noqa: SIM905
)

# Beginnings of macros for members of structs: st_mtime, sa_handler, si_pid, s6_addr, h_errno; and of PostgreSQL's own.
_C_PREFIXES = ("h_", "pg_", "s6_", "sa_", "si_", "sigev_", "st_")
