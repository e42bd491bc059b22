"""Runs of schedules that are rows of a table: errors, cancels, processes and servers that end, owners that are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from pgbgw.faults.check import check
from pgbgw.faults.checks.copies import swapped
from pgbgw.faults.inhand import HELD, release
from pgbgw.faults.probe import SCHEMA
from pgbgw.faults.roles import role
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.faults.workers import drop_in_a_run, kill
from pgbgw.ir.model import RunnerBody, ScheduleTableIR, WorkerIR
from pgbgw.sqltext import quote_ident, quote_literal

__all__: list[str] = []

# Outcome, SQLSTATE, and how often it was begun.
_Run: TypeAlias = tuple[str, str | None, int]

_DONE: _Run = ("done", None, 1)
_LOST: _Run = ("lost", "57P01", 1)

# By itself it would run on one 29 February, on which the suite is not at work.
_NEVER = "0 0 29 2 *"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A schedule in a table, whose command writes into the ledger under the name of the table's worker."""

    stage: Stage
    worker: WorkerIR
    table: ScheduleTableIR
    id: int

    @property
    def runner(self) -> str:
        """The title of the processes that carry its runs out."""
        bodies = ((worker, worker.body) for worker in self.stage.module.workers)
        return next(w.title for w, body in bodies if isinstance(body, RunnerBody) and body.table == self.table)

    def ask(self) -> None:
        """Have it run now."""
        self.stage.rows(f"UPDATE {self.table.table} SET run_now = true WHERE id = %s", [self.id])

    def runs(self) -> list[_Run]:
        """What became of its runs."""
        query = f"SELECT outcome, sqlstate, attempts FROM {self.table.runs} WHERE schedule = %s ORDER BY id"
        return [(str(row[0]), row[1], int(row[2])) for row in self.stage.rows(query, [self.id])]

    def become(self, *wanted: _Run, within: float = 20.0) -> None:
        """Wait until its runs are these, and require that those that are done, and no others, stand in the ledger."""
        try:
            eventually(lambda: self.runs() == list(wanted), within)
        except AssertionError:
            require(False, f'runs of a schedule in "{self.table.name}" are {self.runs()}, and not {list(wanted)}')
        done, seen = sum(outcome == "done" for outcome, *_ in wanted), self.stage.done(self.worker.name)[0]
        require(seen == done, f"{seen} runs are in the ledger, not {done}")

    def again(self, *before: _Run) -> None:
        """A run that is asked for after all that is done."""
        self.stage.script(self.worker, None)
        self.ask()
        self.become(*before, _DONE)

    def busy(self, but: int = 0) -> int:
        """Wait until a process, another one than ``but``, is in a run; its pid."""
        query = "SELECT pid FROM pg_stat_activity WHERE backend_type = %s AND wait_event = 'PgSleep' AND pid <> %s"
        rows = eventually(
            lambda: self.stage.rows(query, [self.runner, but]), 20, f'a run of a schedule in "{self.table.name}"'
        )
        return int(rows[0][0])

    def hold(self) -> int:
        """Have it begin a run, which goes on until it is released; the pid."""
        self.stage.script(self.worker, HELD)
        self.ask()
        pid = self.busy()
        require(self.runs() == [("running", None, 1)], f"a run under way is shown as {self.runs()}")
        return pid

    def scheduler(self) -> int:
        """The process that gives its runs out."""
        return self.stage.pids(self.worker)[self.worker.name, 1]


def _keep(stage: Stage, worker: WorkerIR, *, transaction: bool = True, owner: str | None = None) -> _Kept:
    """Add a schedule, of the caller's or of another owner."""
    table = stage.tables[worker]
    command = f"SELECT {SCHEMA}.act({quote_literal(worker.name)}, NULL, NULL, NULL)"
    columns, values = "name, expression, command, transaction", [_NEVER, command, transaction]
    row = stage.rows(
        f"INSERT INTO {table.table} ({columns}, owner) SELECT {quote_literal(owner or 'mine')} || %s, %s, %s, %s,"
        " coalesce(%s::regrole, quote_ident(current_user)::regrole) RETURNING id",
        [str(transaction), *values, owner and quote_ident(owner)],
    )
    return _Kept(stage, worker, table, row[0][0])


def _each(stage: Stage) -> Iterator[_Kept]:
    """A schedule of each table, in a transaction."""
    for worker in stage.tables:
        yield _keep(stage, worker)


def _terminate(stage: Stage, pid: int) -> None:
    stage.rows("SELECT pg_terminate_backend(%s)", [pid])


def _gone(stage: Stage, pid: int) -> bool:
    return pid not in stage.pids().values()


def _paused(stage: Stage, worker: WorkerIR) -> None:
    eventually(lambda: set(stage.states(worker)) == {"paused"}, 20, f'"{worker.name}" paused')


def _cut_off(stage: Stage, end: Callable[[int], None]) -> str:
    """A run is under way when ``end`` ends the process with that pid, once in a transaction and once outside of one."""
    for worker in stage.tables:
        whole = _keep(stage, worker)
        pid = whole.hold()
        end(pid)
        whole.busy(pid)
        require(whole.runs() == [("running", None, 2)], f"begun again, it is shown as {whole.runs()}")
        release(stage)
        whole.become(("done", None, 2))
        whole.again(("done", None, 2))
        stage.rows(f"DELETE FROM {SCHEMA}.ledger")
        alone = _keep(stage, worker, transaction=False)
        end(alone.hold())
        release(stage)
        alone.become(_LOST)
        alone.again(_LOST)
        stage.rows(f"DELETE FROM {SCHEMA}.ledger")
    return "undone, begun again and done once; outside a transaction told as lost"


@check(
    "schedule_table.error",
    "a run of a schedule in a table raises an error",
    "It is undone, and told as failed with its error and SQLSTATE; it is not tried again before its next time.",
    rules=(15, 28),
    needs=("schedule table",),
)
def error(stage: Stage) -> str:
    """And the run after that."""
    pids = stage.pids()
    for kept in _each(stage):
        stage.script(kept.worker, "DO $$ BEGIN RAISE EXCEPTION 'told to' USING ERRCODE = 'P0007'; END $$")
        kept.ask()
        kept.become(("failed", "P0007", 1))
        following = f"SELECT next_run > clock_timestamp() FROM {kept.table.table} WHERE id = %s"
        require(stage.value(following, [kept.id]), "the next run is due already")
        kept.again(("failed", "P0007", 1))
    require(stage.pids() == pids, "a process has changed")
    return f"{len(stage.tables)} tables: failed and undone, then done; same schedulers"


@check(
    "schedule_table.cancel",
    "pg_cancel_backend() in the middle of a run of a schedule in a table",
    "The run is undone, and told as failed with SQLSTATE 57014; the same process does the next one.",
    rules=(15, 28),
    needs=("schedule table",),
)
def cancel(stage: Stage) -> str:
    """The process stays for a minute."""
    for kept in _each(stage):
        stage.script(kept.worker, "SELECT pg_sleep(600)")
        kept.ask()
        pid = kept.busy()
        stage.rows("SELECT pg_cancel_backend(%s)", [pid])
        kept.become(("failed", "57014", 1))
        kept.again(("failed", "57014", 1))
        seen = stage.rows(f"SELECT DISTINCT pid FROM {SCHEMA}.ledger WHERE worker = %s", [kept.worker.name])
        require(seen == [(pid,)], f"the next run was made by {seen}, not by {pid}")
    return f"{len(stage.tables)} tables: failed and undone, then done by the same process"


@check(
    "schedule_table.terminate",
    "pg_terminate_backend() in the middle of a run of a schedule in a table",
    "Another process begins the run again, which was undone, and it is done once; outside a transaction it is lost.",
    rules=(12,),
    needs=("schedule table",),
)
def terminate(stage: Stage) -> str:
    """Both kinds."""
    return _cut_off(stage, partial(_terminate, stage))


@check(
    "schedule_table.crash",
    "kill -9 of a process in the middle of a run of a schedule in a table",
    "PostgreSQL recovers; then as after its end: the run is done once, outside a transaction it is lost.",
    rules=(12, 33),
    needs=("schedule table", "restarted scheduler"),
)
def crash(stage: Stage) -> str:
    """The scheduler ends with it."""
    return _cut_off(stage, partial(kill, stage))


@check(
    "schedule_table.crash_again",
    "kill -9 in the middle of a run of a schedule in a table, each time that the run is begun again",
    "The third time it is told as lost and not begun again, so that one run can't keep the server down.",
    rules=(33,),
    needs=("schedule table", "restarted scheduler"),
)
def crash_again(stage: Stage) -> str:
    """It may be the run itself that brings the server down."""
    kept = next(_each(stage))
    pid = kept.hold()
    for _ in range(2):
        kill(stage, pid)
        pid = kept.busy(pid)
    kill(stage, pid)
    kept.become(("lost", "57P01", 3))
    kept.again(("lost", "57P01", 3))
    return "begun three times, then lost; the next one is done"


@check(
    "schedule_table.shutdown",
    "a fast shutdown of the server in the middle of a run of a schedule in a table",
    "The run is undone, and begun again after the start; it is done once. Outside a transaction it is lost.",
    rules=(10,),
    needs=("schedule table",),
)
def shutdown(stage: Stage) -> str:
    """A query that would take long is ended."""
    return _cut_off(stage, lambda pid: stage.cluster.restart())


@check(
    "schedule_table.scheduler",
    "the scheduler of a table is terminated in the middle of a run",
    "The run goes on and is done once; the scheduler that follows it knows of it, and gives out the next one.",
    rules=(12,),
    needs=("schedule table", "restarted scheduler"),
)
def scheduler(stage: Stage) -> str:
    """Runs and their scheduler are processes of their own."""
    for kept in _each(stage):
        pid, before = kept.hold(), kept.scheduler()
        _terminate(stage, before)
        kept.ask()
        eventually(partial(_gone, stage, before), what="its end")
        stage.idle()
        require(kept.scheduler() != before, "it is the same process")
        require(kept.busy() == pid, "the run is in another process")
        require(kept.runs() == [("running", None, 1)], f"its run is shown as {kept.runs()}")
        release(stage)
        kept.become(_DONE, _DONE)
    return f"{len(stage.tables)} tables: the run went on, and the one that was asked for came after it"


@check(
    "schedule_table.request",
    "the workers are asked to stand still in the middle of a run of a schedule in a table, and it is asked for again",
    "The run in hand is finished, and none begins until resume; then the other one is done.",
    needs=("schedule table",),
)
def request(stage: Stage) -> str:
    """No process ends."""
    for kept in _each(stage):
        kept.hold()
        stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
        _paused(stage, kept.worker)
        kept.ask()
        release(stage)
        kept.become(_DONE)
        stage.rows(f"SELECT {stage.module.resume.name}()")
        kept.become(_DONE, _DONE)
    return "the run in hand was finished, the other one begun after resume"


@check(
    "schedule_table.paused",
    "a schedule in a table is paused in the middle of its run, and the process terminated",
    "The run is undone and told as lost: what is paused is not begun again.",
    needs=("schedule table",),
)
def paused(stage: Stage) -> str:
    """So that whoever has to stop a run can."""
    for kept in _each(stage):
        pid = kept.hold()
        stage.rows(f"UPDATE {kept.table.table} SET paused = true WHERE id = %s", [kept.id])
        _terminate(stage, pid)
        kept.become(_LOST)
        kept.again(_LOST)
    return "lost, and not begun again; run all the same when asked for"


@check(
    "schedule_table.removed",
    "a schedule is removed from its table in the middle of its run",
    "The run goes on to its end and is done; others go on as well.",
    needs=("schedule table",),
)
def removed(stage: Stage) -> str:
    """What became of it is kept."""
    for kept in _each(stage):
        kept.hold()
        other = _keep(stage, kept.worker, transaction=False)
        stage.rows(f"DELETE FROM {kept.table.table} WHERE id = %s", [kept.id])
        release(stage)
        kept.become(_DONE)
        stage.rows(f"DELETE FROM {SCHEMA}.ledger")
        other.again()
    return "done, and shown so"


@check(
    "schedule_table.owner",
    "the owner of a schedule in a table is dropped, and the schedule is asked for",
    "That run alone fails, and says why; those of others go on.",
    rules=(8,),
    needs=("schedule table",),
)
def owner(stage: Stage) -> str:
    """A schedule holds no role."""
    for worker in stage.tables:
        with role(stage) as gone:
            kept = _keep(stage, worker, owner=gone)
        kept.ask()
        kept.become(("failed", "42704", 1))
        _keep(stage, worker).again()
    return "failed with 42704, and the run of another owner is done"


@check(
    "schedule_table.drop",
    "DROP EXTENSION in the middle of a run of a schedule in a table",
    "It waits until the run is committed, and no process meets an error; created again, there are no schedules.",
    rules=(41,),
    needs=("schedule table",),
)
def drop(stage: Stage) -> str:
    """A run that is a transaction holds its extension."""
    for worker in stage.tables:
        kept = _keep(stage, worker)
        pid, mark = kept.hold(), stage.mark()
        drop_in_a_run(stage)
        require(stage.done(worker.name)[0] == 1, "the run is not in the ledger")
        errors = stage.log(rf"\[({pid}|{kept.scheduler()})\] .*(ERROR|FATAL|WARNING):", mark)
        require(not errors, f"a process met an error: {errors[:1]}")
        stage.idle()
        require(not stage.rows(f"SELECT FROM {kept.table.table}"), "there are schedules")
        stage.rows(f"DELETE FROM {SCHEMA}.ledger")
        _keep(stage, worker).again()
    return "waited for the end of the run; no error, and runs after that"


@check(
    "schedule_table.restored",
    "the database is dumped and restored while a run of a schedule in a table is under way",
    "The copy runs nothing until resume() is called in it; what was under way where it was dumped is begun there then.",
    needs=("schedule table",),
)
def restored(stage: Stage) -> str:
    """The copy takes the place of the original, whose run is cut off when the workers leave it."""
    for worker in list(stage.tables)[:1]:
        kept = _keep(stage, worker)
        kept.hold()
        with swapped(stage):
            _paused(stage, worker)
            require(kept.runs() == [("running", None, 1)], f"in the copy: {kept.runs()}")
            release(stage)
            stage.rows(f"SELECT {stage.module.resume.name}()")
            kept.become(("done", None, 2))
            kept.again(("done", None, 2))
        release(stage)
    return "paused until resumed; then what was under way"
