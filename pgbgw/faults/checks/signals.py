"""Signals: a worker is cancelled, terminated or told to reload, while it is idle and while it works."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Collection
from functools import partial

from pgbgw.faults.check import check
from pgbgw.faults.inhand import again, finish, more_rounds, take, take_rounds
from pgbgw.faults.shown import wrong_gauges
from pgbgw.faults.stage import Stage, require
from pgbgw.faults.waiting import eventually
from pgbgw.observe import Process

__all__: list[str] = []

_HOUR_MS = 3_600_000

# A process of a worker: its name and its number.
_Key = tuple[str, int]


def _static(stage: Stage) -> list[Process]:
    """The processes that the postmaster starts, those without a database among them."""
    return [each for each in stage.processes() if each.worker not in stage.subject.dynamic]


def _connected(stage: Stage) -> dict[_Key, int]:
    names = {worker.name for worker in stage.static}
    return {key: pid for key, pid in stage.pids().items() if key[0] in names}


def _restarted(stage: Stage) -> dict[_Key, int]:
    """The pids of processes that the postmaster starts again."""
    names = {worker.name for worker in stage.module.workers if worker.restart is not None}
    return {key: pid for key, pid in stage.pids().items() if key[0] in names}


def _all_work(stage: Stage) -> str:
    """Every worker does what it is there for: jobs are done, and rounds come."""
    rounds = [(worker, stage.done(worker.name, stage.home(worker))[0]) for worker in stage.rounds]
    told = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines]
    for worker, before in rounds:
        eventually(partial(more_rounds, stage, worker, before), what=f'a round of "{worker.name}"')
    return "; ".join(dict.fromkeys(told)) or "rounds go on"


def _ended(stage: Stage, pids: Collection[int], mark: int) -> None:
    """Wait until the postmaster has told how each process ended; only exit status 1 lets it start another one."""
    for pid in pids:
        (line,) = stage.told(rf"\(PID {pid}\) (exited|was terminated)", mark)
        require(line.endswith("exited with exit code 1"), f"not ended with exit status 1: {line}")
    left = set(pids) & set(stage.pids().values())
    require(not left, f"processes {left} have ended, and are shown as living")


def _back(stage: Stage, before: dict[_Key, int]) -> dict[_Key, float]:
    """Wait until each process has a successor; when it was seen, on the monotonic clock."""
    seen: dict[_Key, float] = {}

    def all_back() -> bool:
        now = stage.pids()
        for key, pid in before.items():
            if now.get(key, pid) != pid:
                seen.setdefault(key, time.monotonic())
        return len(seen) == len(before)

    eventually(all_back, what="other processes of the terminated workers")
    return seen


@check(
    "signal.cancel_idle",
    "pg_cancel_backend() on each worker that waits",
    "The cancel is logged and nothing else happens: the same process goes on waiting, and works.",
    rules=(15,),
    needs=("static",),
)
def cancel_idle(stage: Stage) -> str:
    """An error outside every round."""
    stage.every(_HOUR_MS)
    stage.idle()
    before, mark = _connected(stage), stage.mark()
    stage.rows("SELECT pg_cancel_backend(pid) FROM unnest(%s::int[]) AS pid", [list(before.values())])
    for pid in before.values():
        stage.told(rf"\[{pid}\] .*canceling statement due to user request", mark)
    stage.every(1_000)
    seen = _all_work(stage)
    require(_connected(stage) == before, f"processes changed: {before} became {_connected(stage)}")
    return f"{len(before)} processes cancelled, same pids; {seen}"


def _spent(stage: Stage, query: str, attempts: int) -> bool:
    return bool(stage.value(query) == attempts)


@check(
    "signal.cancel_working",
    "pg_cancel_backend() on a worker that is in a job, at each of its attempts",
    "That job alone fails, with SQLSTATE 57014, and is tried again as declared; the process does its neighbours.",
    rules=(15, 28),
    needs=("queue",),
)
def cancel_working(stage: Stage) -> str:
    """The job in hand is the one that is meant."""
    line = min(stage.lines, key=lambda line: line.worker.timeout is not None)
    before = stage.pids()
    with stage.connect() as connection, connection.transaction():
        jobs = stage.enqueue(line, 3, connection=connection)
        (job,) = stage.enqueue(line, 1, "SELECT pg_sleep(600)", connection=connection, start=4)
        jobs += stage.enqueue(line, 3, connection=connection, start=5)
    attempts = f"SELECT attempts FROM {line.queue.view} WHERE id = {job}"
    for attempt in range(1, line.queue.retries + 2):
        stage.rows("SELECT pg_cancel_backend(%s)", [stage.working(line)])
        # by the view: the log tells of ten failures a second, and the check before this one may have used them up
        eventually(partial(_spent, stage, attempts, attempt), what=f"failed attempt {attempt} of job {job}")
    seen = stage.audit(line, [*jobs, job], {job: "57014"})
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{seen}; same pid"


@check(
    "signal.cancel_round",
    "pg_cancel_backend() on an interval worker that is in a round",
    "The round is undone, with an error in the log; the same process begins the next one after its interval.",
    rules=(15, 28),
    needs=("interval",),
)
def cancel_round(stage: Stage) -> str:
    """Every interval worker at once."""
    before = stage.pids()
    taken, mark = take_rounds(stage, "SELECT pg_sleep(600)"), stage.mark()
    stage.rows("SELECT pg_cancel_backend(pid) FROM unnest(%s::int[]) AS pid", [list(taken.values())])
    for pid in taken.values():
        stage.told(rf"\[{pid}\] .*ERROR:  canceling statement due to", mark)
    for worker in taken:
        eventually(partial(more_rounds, stage, worker), what=f'the next round of "{worker.name}"')
    stage.idle()
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    return f"{len(taken)} rounds cancelled, others followed; same pids"


@check(
    "signal.terminate_idle",
    "SIGTERM to each worker that waits",
    "It ends with exit status 1, so PostgreSQL starts it again after its restart time, and it goes on with its work.",
    rules=(12,),
    needs=("restarted",),
)
def terminate_idle(stage: Stage) -> str:
    """SIGTERM is what pg_terminate_backend() sends; sent like this it reaches processes without a database as well."""
    before, mark = _restarted(stage), stage.mark()
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
    _ended(stage, before.values(), mark)
    _back(stage, before)
    stage.idle()
    require(not wrong_gauges(stage), "; ".join(wrong_gauges(stage)))
    return f"{len(before)} processes ended with exit status 1, as many came; {_all_work(stage)}"


@check(
    "signal.terminate_working",
    "pg_terminate_backend() on a worker in the middle of a batch",
    "Its transaction is undone; the jobs are there again, no attempt is spent, and another process does them once.",
    rules=(10, 22),
    needs=("queue", "restarted"),
)
def terminate_working(stage: Stage) -> str:
    """One job of each queue is in hand when its process ends."""
    taken, mark = take(stage), stage.mark()
    pids = [hand.pid for hand in taken]
    stage.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
    _ended(stage, pids, mark)
    if any(taker.restart is None for hand in taken for taker in hand.line.takers):
        # a worker that is never restarted comes back with the server only
        stage.cluster.restart()
    again(stage, taken)
    return f"undone and taken again; {finish(stage, taken)}"


@check(
    "signal.restart_time",
    "all workers that are restarted are terminated",
    "None is back before its restart time has passed, and each is back soon after it.",
    rules=(12,),
    needs=("restarted",),
)
def restart_time(stage: Stage) -> str:
    """The clock starts before the signal is sent, and stops when the new process is seen: never too short."""
    before, mark = _restarted(stage), stage.mark()
    restart = {worker.name: worker.restart or 0 for worker in stage.module.workers}
    began = time.monotonic()
    for pid in before.values():
        os.kill(pid, signal.SIGTERM)
    _ended(stage, before.values(), mark)
    took = {key: at - began for key, at in _back(stage, before).items()}
    early = {key: seconds for key, seconds in took.items() if seconds < restart[key[0]]}
    require(not early, f"back too early: {early}; declared: {restart}")
    late = {key: seconds for key, seconds in took.items() if seconds > restart[key[0]] + 5}
    require(not late, f"back too late: {late}; declared: {restart}")
    longest = max(restart[key[0]] for key in took)
    return f"{len(took)} processes, restart time up to {longest} s; all back within {max(took.values()):.2f} s"


@check(
    "signal.restart_never",
    "a worker with restart=NEVER is terminated",
    "It is gone until the server is restarted; nothing else brings it back.",
    rules=(12,),
    needs=("never",),
)
def restart_never(stage: Stage) -> str:
    """The postmaster says at debug1 that it has forgotten a worker, so that nobody has to wait in vain."""
    never = {worker.name: worker.title for worker in stage.static if worker.restart is None}
    before = {key: pid for key, pid in stage.pids().items() if key[0] in never}
    _debug(stage)
    mark = stage.mark()
    stage.rows("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(before.values())])
    _ended(stage, before.values(), mark)
    for title in never.values():
        stage.told(f'unregistering background worker "{re.escape(title)}', mark)
    left = {key: pid for key, pid in stage.pids().items() if key in before}
    require(not left, f"still there: {left}")
    stage.cluster.restart()
    eventually(lambda: {key for key in stage.pids() if key in before} == set(before), what="them after a restart")
    stage.idle()
    return f"{len(before)} gone after SIGTERM and unregistered, back after a restart of the server; {_all_work(stage)}"


def _debug(stage: Stage) -> None:
    """Have the postmaster tell of exits with status 0 as well, and of workers that it forgets."""
    mark = stage.mark()
    stage.set(log_min_messages="debug1")
    stage.told('parameter "log_min_messages" changed', mark)


@check(
    "signal.exit_status",
    "workers are terminated while they wait, while they work and while they are paused",
    "The exit status is 1 each time. With 0 PostgreSQL would take it that the worker is not to come back.",
    rules=(12,),
    needs=("restarted",),
)
def exit_status(stage: Stage) -> str:
    """All ends of all our processes, in a log that tells of status 0 as well."""
    _debug(stage)
    mark = stage.mark()
    ended: set[int] = set()

    def end(pids: dict[_Key, int]) -> None:
        for pid in pids.values():
            os.kill(pid, signal.SIGTERM)
        ended.update(pids.values())
        _back(stage, pids)

    end(_restarted(stage))
    stage.idle()
    taken = take(stage)
    hands = {hand.pid for hand in taken}
    end({key: pid for key, pid in _restarted(stage).items() if pid in hands or not hands})
    seen = finish(stage, taken)
    stage.idle()
    stage.rows(f"SELECT {stage.module.request_shutdown.name}()")
    eventually(lambda: {each.state for each in _static(stage)} == {"paused"}, what="paused workers")
    end(_restarted(stage))
    stage.rows(f"SELECT {stage.module.resume.name}()")
    stage.idle()
    ends = [re.search(r"\(PID (\d+)\) (.*)", line) for line in stage.log("background worker .*PID", mark)]
    told = {int(end[1]): end[2] for end in ends if end and int(end[1]) in ended}
    require(len(told) == len(ended), f"{len(ended)} processes ended, the log tells of {len(told)}")
    require(set(told.values()) == {"exited with exit code 1"}, f"ended otherwise: {set(told.values())}")
    return f"{len(told)} processes, all with exit status 1" + (f"; {seen}" if seen else "")


@check(
    "signal.reload_idle",
    "a setting is changed and the server reloads, while workers wait for an hour",
    "The wait ends at once, and the new value holds.",
    rules=(4, 14),
    needs=("static",),
)
def reload_idle(stage: Stage) -> str:
    """Nobody else wakes them: no job is there, and rounds are an hour apart."""
    stage.every(_HOUR_MS)
    stage.idle()
    # a second reload: whoever was in its round at the first has begun to wait by now
    stage.rows("SELECT pg_reload_conf()")
    stage.idle()
    before, pids = {(each.worker, each.process): each.since for each in _static(stage)}, stage.pids()
    began = time.monotonic()
    stage.every(50)

    def waiting() -> list[_Key]:
        now = {(each.worker, each.process): each.since for each in _static(stage)}
        return [key for key, since in before.items() if now[key] == since]

    eventually(lambda: not waiting(), 5, "a round of every worker, each 50 ms now")
    took = time.monotonic() - began
    require(stage.pids() == pids, f"processes changed: {pids} became {stage.pids()}")
    return f"{len(before)} processes look each 50 ms instead of each hour, {took:.2f} s after the reload; same pids"


@check(
    "signal.switch",
    "the settings that switch workers off are changed and the server reloads, then they are changed back",
    "The workers stand still, jobs stay as they are and no process ends; with the next reload they go on.",
    rules=(4,),
    needs=("switch",),
)
def switch(stage: Stage) -> str:
    """Settings are looked at in the loop, and not only when workers are registered."""
    switched = {setting.variable for setting in stage.module.settings if setting.name in stage.switches}
    workers = [worker for worker in stage.module.workers if switched & {worker.when, worker.unless}]
    names = {worker.name for worker in workers if not worker.launched}
    before = stage.pids()
    _turn(stage, on=False)
    eventually(lambda: {each.state for each in _static(stage) if each.worker in names} == {"paused"}, what="a pause")
    lines = [line for line in stage.lines if names.issuperset(taker.name for taker in line.takers)]
    jobs = [stage.enqueue(line, 5) for line in lines]
    stage.rows("SELECT pg_reload_conf()")
    # jobs of other queues, enqueued later, are done by then
    seen = [stage.audit(line, stage.enqueue(line, 5)) for line in stage.lines if line not in lines]
    states = {each.state for each in _static(stage) if each.worker in names}
    require(states == {"paused"}, f"switched off, and {states}")
    for line, ids in zip(lines, jobs, strict=True):
        rows = stage.rows(f"SELECT id, status, attempts FROM {line.queue.view} ORDER BY id")
        require(rows == [(job, "ready", 0) for job in ids], f"jobs {ids} have become {rows}")
    _turn(stage, on=True)
    seen += [stage.audit(line, ids) for line, ids in zip(lines, jobs, strict=True)]
    stage.idle()
    require(stage.pids() == before, f"processes changed: {before} became {stage.pids()}")
    told = f"{len(stage.switches)} settings, {len(names)} workers paused and went on, same pids"
    return "; ".join([told, *dict.fromkeys(seen)])


def _turn(stage: Stage, *, on: bool) -> None:
    """Let workers run, or hold them, by all settings that do so."""
    for name, runs_while_on in stage.switches.items():
        stage.rows(f"ALTER SYSTEM SET {name} = {'on' if runs_while_on == on else 'off'}")
    stage.rows("SELECT pg_reload_conf()")
