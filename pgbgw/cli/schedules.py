"""``pgbgw schedules``: what runs by the calendar, when it does so next and how it went, and what steers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any, TypeVar

import click
import psycopg
from rich.text import Text

from pgbgw.calendar import CronError, Schedule, Zone, ZoneMissing
from pgbgw.cli import options, terminal, times
from pgbgw.cli.queues import dsn_option, the_dsn
from pgbgw.cli.schedule import marked
from pgbgw.cli.steered import Run, Steered, find, find_all, typed
from pgbgw.client import ClientError, ScheduleRun, ScheduleStatus
from pgbgw.client.schedule_tables import RowRun, RowStatus, tables
from pgbgw.server.load import connect

__all__ = ["one_line", "print_schedules", "record", "schedules", "until"]

F = TypeVar("F", bound=Callable[..., Any])
Told = TypeVar("Told", bound=ScheduleStatus | Run)

# Longer errors are cut in tables on a terminal, to so many characters.
_WIDEST = 60

# A run begins at once; after so long it is told that it has not, s.
_SOON = 5.0

# How often the end of a run is asked for, at first and at most, s.
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5

# Outcomes of runs that have not ended.
_UNDER_WAY = ("waiting", "running")


@click.group(
    short_help="Look at schedules: list, show, runs, run, pause, resume, change.",
    epilog=options.examples(
        "pgbgw schedules list",
        "pgbgw schedules runs report",
        "pgbgw schedules run report --wait",
        "pgbgw schedules pause crontab.jobs.nightly --owner alice",
        'pgbgw schedules change report "0 3 * * mon-fri" --time-zone Europe/Berlin',
    ),
)
def schedules() -> None:
    """Look at the schedules of a database, and steer them. SCHEDULE is a name, with its extension where several have
    it, and its table if it is a row of one: report, shop.report, crontab.jobs.report.
    """


def _schedule_argument(function: F) -> F:
    """SCHEDULE, by name."""
    return click.argument("schedule", metavar="SCHEDULE")(_owner_option(function))


def _owner_option(function: F) -> F:
    """--owner, which is None unless it is given."""
    return click.option("--owner", metavar="ROLE", help="Schedules of tables alone, and of this role.")(function)


def _zone_option(function: F) -> F:
    """--time-zone, which is None unless it is given."""
    return click.option(
        "--time-zone", "zone", callback=options.zone_of, metavar="ZONE",
        help="Show times by the clocks of this zone, as the tz database calls it; else by those of each schedule's.",
    )(function)  # fmt: skip


@schedules.command("list", short_help="Show all, with the next run and the last.")
@_owner_option
@_zone_option
@dsn_option
@options.json_option
def list_schedules(owner: str | None, zone: Zone | None, dsn: str | None, as_json: bool) -> None:
    """Show all schedules: when each runs next, by its own clocks, and what became of its last run."""
    with connect(the_dsn(dsn)) as connection:
        found = find_all(connection, owner)
        now = _now(connection)
        of_tables = not found and bool(tables(connection))
    if as_json:
        terminal.json_result([_record_of(each, _by_clocks(each.state, zone)) for each in found])
        return
    if not found:
        if of_tables:
            terminal.note("there are no schedules that this role sees")
        else:
            status = f"{terminal.program()} status"
            terminal.note(f"no worker has looked at its schedule yet; {status} tells whether they run")
        return
    several = len({(each.handle.extension, each.table) for each in found}) > 1
    shown = [
        (each.handle.full_name if several else each.handle.name, each.owner, _by_clocks(each.state, zone))
        for each in found
    ]
    print_schedules(shown, now)


@schedules.command(short_help="Show all of one schedule.")
@_schedule_argument
@_zone_option
@dsn_option
@options.json_option
def show(schedule: str, owner: str | None, zone: Zone | None, dsn: str | None, as_json: bool) -> None:
    """Show all of SCHEDULE: what its expression means, its next run and its last one, with the whole error."""
    with connect(the_dsn(dsn)) as connection:
        found = find(connection, schedule, owner)
        now = _now(connection)
    state = _by_clocks(found.state, zone)
    if as_json:
        terminal.json_result(_record_of(found, state))
        return
    lines = [_meaning(state)]
    if isinstance(state, RowStatus):
        lines.append(f"owner: {terminal.printable(state.owner)}")
        outside = "" if state.transaction else " (outside a transaction)"
        lines.append(f"command{outside}: {terminal.printable(state.command, lines=True)}")
    if state.changed:
        lines.append(f"changed: {terminal.program()} schedules change {schedule} --reset has it as declared again")
    lines.append(f"next run: {_next(state, now)}")
    if state.outcome is not None and state.last_due is not None:
        after = f" after {times.took(state.duration)}" if state.duration is not None else ""
        began = f", begun {times.since(now - state.started_at)} ago" if state.started_at is not None else ""
        lines.append(f"last run: {state.outcome}{after}{began}, due {times.at(state.last_due, now)}")
    if state.running > (state.outcome == "running"):
        lines.append(f"under way: {_number(state.running)}")
    lines += [
        f"{name}: {terminal.printable(text, lines=True)}"
        for name, text in (("error", state.error), ("sqlstate", state.sqlstate))
        if text
    ]
    terminal.console().print("\n".join(lines))


@schedules.command(short_help="Show the last runs, the latest first.")
@_schedule_argument
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@_zone_option
@dsn_option
@options.json_option
def runs(schedule: str, owner: str | None, limit: int, zone: Zone | None, dsn: str | None, as_json: bool) -> None:
    """Show the last runs of SCHEDULE, the latest first: when each was due, how long it took, and what became of it."""
    with connect(the_dsn(dsn)) as connection:
        found = [_by_clocks(each, zone) for each in find(connection, schedule, owner).runs(limit)]
        now = _now(connection)
    if as_json:
        terminal.json_result([_run_record(each) for each in found])
        return
    if not found:
        terminal.note(f"{schedule} has not run yet")
        return
    several = any(isinstance(each, ScheduleRun) and each.process > 1 for each in found)
    rows = [
        (each.id, times.at(each.due, now), _late(each), *_which(each, several), _outcome(each.outcome),
         _took(each, now), each.sqlstate, one_line(each.error))
        for each in found
    ]  # fmt: skip
    columns = ["run", "due", "began", "process", "attempt", "times begun", "outcome", "took", "sqlstate", "error"]
    _print_kept(columns, rows)
    if len(found) == limit:
        terminal.note(f"the last {limit}; --limit shows more")


@schedules.command("run", short_help="Run one now.")
@_schedule_argument
@click.option("--wait", is_flag=True, help="Wait for the end of the run; exit 1 unless it is done.")
@click.option("--timeout", type=options.Span(), metavar="SECONDS", help="With --wait: wait no longer.")
@dsn_option
@options.json_option
def run_schedule(
    schedule: str, owner: str | None, wait: bool, timeout: float | None, dsn: str | None, as_json: bool
) -> None:
    """Have SCHEDULE run now, paused or not. With --wait its outcome is told, also by the exit code."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    with connect(the_dsn(dsn)) as connection:
        found = find(connection, schedule, owner)
        after = found.run_now()
        if not wait:
            _answer(as_json, {"asked": True}, "asked to run")
            return
        ended = _wait(found, after, timeout)
    took = f" after {times.took(ended.duration)}" if ended.duration is not None else ""
    told = f"{ended.outcome}{took}"
    if ended.error is not None:
        error = terminal.printable(ended.error, lines=True)
        told += f": {error}" + (f" (SQLSTATE {ended.sqlstate})" if ended.sqlstate else "")
    _answer(as_json, _run_record(ended), told)
    if ended.outcome != "done":
        raise click.exceptions.Exit(1)


@schedules.command(short_help="Run one no more.")
@_schedule_argument
@dsn_option
@options.json_option
def pause(schedule: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Run SCHEDULE no more, until it is resumed; a run that is under way goes on."""
    with connect(the_dsn(dsn)) as connection:
        found = find(connection, schedule, owner)
        did = found.set_paused(True)
    _answer(as_json, {"paused": did}, f"paused{_going_on(found.state)}" if did else "it was paused already")


@schedules.command(short_help="Run one again, from its next time on.")
@_schedule_argument
@dsn_option
@options.json_option
def resume(schedule: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Run SCHEDULE again, from its next time on: what was due meanwhile is not made up for."""
    with connect(the_dsn(dsn)) as connection:
        found = find(connection, schedule, owner)
        did = found.set_paused(False)
        state, now = found.status(), _now(connection)
    _answer(as_json, {"resumed": did}, f"resumed; next run {_next(state, now)}" if did else "it was not paused")


@schedules.command(short_help="Give one another expression or time zone.")
@_schedule_argument
@click.argument("expression", required=False)
@click.option("--time-zone", "zone", metavar="ZONE", help="By which clocks, as the tz database calls them.")
@click.option("--reset", is_flag=True, help="Have both as they are declared, of a worker.")
@dsn_option
@options.json_option
def change(
    schedule: str,
    expression: str | None,
    owner: str | None,
    zone: str | None,
    reset: bool,
    dsn: str | None,
    as_json: bool,
) -> None:
    """Give SCHEDULE another EXPRESSION, or another time zone; what is not given stays as it is now.

    It lasts over restarts, and upgrades of the extension leave it alone.
    """
    if reset == (expression is not None or zone is not None):
        raise click.UsageError("give an expression, --time-zone, or both; or --reset alone")
    with connect(the_dsn(dsn)) as connection:
        found = find(connection, schedule, owner)
        if reset and found.table is not None:
            raise click.UsageError(f"--reset is for schedules of workers; nothing is declared of {found.handle}")
        wanted = (
            found.state.expression if expression is None else expression,
            found.state.time_zone if zone is None else zone,
        )
        try:
            found.change(*((None, None) if reset else wanted))
        except psycopg.errors.InvalidParameterValue:
            # the server has the last word on what it takes; where the fault is can be shown better here
            _explain(*wanted)
            raise
        state, now = found.status(), _now(connection)
    told = f"{_meaning(state)}\nnext run: {_next(state, now)}"
    _answer(as_json, _record_of(found, state), told)


@schedules.command(short_help="Remove one of a table.")
@_schedule_argument
@dsn_option
@options.json_option
def remove(schedule: str, owner: str | None, dsn: str | None, as_json: bool) -> None:
    """Remove SCHEDULE, which a table has; a run that is under way goes on, and what became of its runs is kept."""
    with connect(the_dsn(dsn)) as connection:
        found = find(connection, schedule, owner)
        found.remove()
    _answer(as_json, {"removed": True}, f"removed: {_meaning(found.state)}{_going_on(found.state)}")


def print_schedules(found: Sequence[tuple[str, str | None, ScheduleStatus]], now: datetime) -> None:
    """A table of schedules by the names that they are shown by, and their owners where these are several; what failed,
    is late or paused stands out.
    """
    several = len({owner for _, owner, _ in found if owner is not None}) > 1
    rows = [
        (terminal.printable(name), terminal.printable(owner) if several and owner is not None else None,
         "changed" if state.changed else None, *_when(state, now), _outcome(state.outcome, state.running),
         _took(state, now), one_line(state.error))
        for name, owner, state in found
    ]  # fmt: skip
    _print_kept(["schedule", "owner", "", "next run", "in", "last run", "took", "error"], rows)


def record(state: ScheduleStatus) -> dict[str, Any]:
    """A schedule for JSON: times in ISO 8601, the duration of the last run in seconds."""
    return _jsonable(asdict(state), state)


def _record_of(found: Steered, state: ScheduleStatus) -> dict[str, Any]:
    """The same with its extension, and its table if it is a row of one."""
    table = {"table": found.table} if found.table is not None else {}
    return {"extension": found.handle.extension, **table, **record(state)}


def _run_record(each: Run) -> dict[str, Any]:
    return _jsonable(asdict(each), each)


def _jsonable(values: dict[str, Any], of: ScheduleStatus | Run) -> dict[str, Any]:
    shown = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
    return {**shown, "duration": of.duration.total_seconds() if of.duration is not None else None}


def _wait(found: Steered, after: int, timeout: float | None) -> Run:
    """The first run after that one, when it has ended."""
    began, pause, told = time.monotonic(), _FIRST_LOOK, False
    with terminal.working(f"waiting for {terminal.printable(found.handle.name)}"):
        while True:
            this = found.begun_after(after)
            if this is not None and this.outcome not in _UNDER_WAY:
                return this
            waited = time.monotonic() - began
            begun = this is not None and this.outcome == "running"
            if timeout is not None and waited >= timeout:
                more = typed(found.handle.full_name, found.owner)
                raise ClientError(
                    f"the run of {found.handle} has not {'ended' if begun else 'begun'} within {timeout:g} s",
                    detail="It goes on." if begun else "It is asked for, and will be run.",
                    hint=f"Look at it with: {terminal.program()} schedules runs {more}",
                )
            if not begun and not told and waited > _SOON:
                told = True
                terminal.note(_not_begun(found.status(), this))
            time.sleep(pause if timeout is None else min(pause, max(timeout - waited, 0.0)))
            pause = min(pause * 1.5, _LAST_LOOK)


def _not_begun(state: ScheduleStatus, this: Run | None) -> str:
    if this is not None:
        return "it is due, and no process has begun it yet; the server log tells why, if there is no room for one"
    if state.running > 1:
        return f"{_number(state.running)} are still under way; this one comes after the first of them that ends"
    if _is_under_way(state):
        return "the run before is still under way; this one comes after it"
    return f"it has not begun yet; {terminal.program()} status tells whether its worker runs"


def _explain(expression: str, zone: str) -> None:
    """What is wrong with an expression or a zone, with the fault marked.

    Raises:
        UsageError: something is.
    """
    try:
        Schedule(expression, zone)
    except CronError as error:
        raise click.UsageError(marked(error)) from error
    except ZoneMissing as error:
        raise click.UsageError(f"--time-zone: {error}\n{error.hint}") from error


def _now(connection: psycopg.Connection[Any]) -> datetime:
    """What the server's clock says, by which it all goes."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _meaning(state: ScheduleStatus) -> str:
    """What it says, in plain English where this version can read it."""
    try:
        sentence = Schedule(state.expression, state.time_zone).sentence()
    except (CronError, ZoneMissing):
        return terminal.printable(f"{state.name}: {state.expression}, {state.time_zone}")
    return terminal.printable(f"{state.name}: {sentence}, {state.time_zone} ({state.expression})")


def _by_clocks(told: Told, zone: Zone | None) -> Told:
    """The same with its times by the clocks of a zone, if one was asked for."""
    if zone is None:
        return told
    shown: dict[str, Any] = {each.name: getattr(told, each.name) for each in fields(told)}
    there: dict[str, Any] = {
        name: value.astimezone(zone.info) for name, value in shown.items() if isinstance(value, datetime)
    }
    return replace(told, **there)


def _next(state: ScheduleStatus, now: datetime) -> str:
    when, in_what = _when(state, now)
    return f"{when}, {in_what}" if in_what is not None else f"{when}"


def _when(state: ScheduleStatus, now: datetime) -> tuple[str | Text, str | Text | None]:
    """When it runs next, and in what time that is."""
    if state.paused:
        return Text("paused", "bold yellow"), None
    if state.next_run is None:
        return "never", None
    return times.at(state.next_run, now), until(state.next_run, now, waits=_is_under_way(state))


def until(due: datetime, now: datetime, *, waits: bool = False) -> str | Text:
    """In what time that is, or how late it is; a schedule ``waits`` whose last run is under way."""
    late = now - due
    if late.total_seconds() <= -1:
        return f"in {times.span(-late)}"
    if late.total_seconds() < _SOON or waits:
        return "now"
    # it is planned anew when it begins, so nobody has looked at it
    return Text(f"{times.span(late)} late", "bold yellow")


def _is_under_way(state: ScheduleStatus) -> bool:
    return state.running > 0 or state.outcome in _UNDER_WAY


def _number(runs: int) -> str:
    return f"{runs} run{'' if runs == 1 else 's'}"


def _going_on(state: ScheduleStatus) -> str:
    """What becomes of the runs that are under way, where there are any."""
    if state.running > 1:
        return f"; the {_number(state.running)} that are under way go on"
    return "; the run that is under way goes on" if _is_under_way(state) else ""


def _outcome(outcome: str | None, running: int = 0) -> str | Text | None:
    """The outcome of the last run, and how many others are under way."""
    if outcome is None:
        return None
    others = running - (outcome == "running")
    if others <= 0:
        shown = outcome
    else:
        shown = f"{running} running" if outcome == "running" else f"{outcome}, {running} running"
    return Text(shown, "bold red") if outcome in ("failed", "lost") else shown


def _took(of: ScheduleStatus | Run, now: datetime) -> str | None:
    if of.started_at is None:
        return None
    return times.took(of.duration) if of.duration is not None else f"{times.span(now - of.started_at)} so far"


def _late(each: Run) -> str | None:
    if each.started_at is None:
        return None
    late = each.started_at - each.due
    return f"{times.span(late)} late" if late.total_seconds() >= 1 else None


def _which(each: Run, several: bool) -> tuple[int | None, int | None, int | None]:
    """Which process has it, where it is not always the first; which attempt it is, and how often that was begun, where
    it is not the first time.
    """
    if isinstance(each, RowRun):
        return None, None, each.attempts if each.attempts > 1 else None
    return (
        each.process if several else None,
        each.attempt if each.attempt > 1 else None,
        each.begun if each.begun > 1 else None,
    )


def one_line(error: str | None) -> str | None:
    """On one line; cut on a terminal, and whole in a pipe."""
    if error is None:
        return None
    text = terminal.printable(" ".join(error.split()))
    return text if len(text) <= _WIDEST or not terminal.console().is_terminal else f"{text[: _WIDEST - 3]}..."


def _print_kept(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of those columns that have something in them."""
    kept = [n for n in range(len(columns)) if any(row[n] is not None for row in rows)]
    terminal.table([columns[n] for n in kept], [[row[n] for n in kept] for row in rows], wrap_last=True)


def _answer(as_json: bool, values: dict[str, Any], text: str) -> None:
    if as_json:
        terminal.json_result(values)
    else:
        terminal.console().print(text)
