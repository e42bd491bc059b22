"""``pgbgw import-crontab``: schedules of cron and of pg_cron, taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, Any

import click
import psycopg
from psycopg import sql

from pgbgw.calendar import Zone, ZoneMissing
from pgbgw.cli import options, terminal
from pgbgw.crontab import (
    Refusal,
    Taken,
    Unreadable,
    declarable,
    declaration,
    read_crontab,
    read_jobs,
    script,
    statements,
    system_zone,
    taken,
)
from pgbgw.server.load import connect, refused
from pgbgw.server.obstacles import LoadError
from pgbgw.sqltext import SqlError, parse_function_name, quote_ident

__all__ = ["import_crontab"]

_NO_TABLE = "Declare a schedule table and load the extension, or name another one with --table."

# What to do about an answer of the server, by SQLSTATE.
_HINTS = {
    "42501": "Name the role in schedulers=... of the schedule table, or connect as one that may become it.",
    "42P01": _NO_TABLE,
    "42883": _NO_TABLE,
    "3F000": _NO_TABLE,
    "22023": "Give the zone a name that the server knows: SELECT name FROM pg_timezone_names.",
}

_NO_ROLE = "Create the role and name it in schedulers=... of the table, or leave out what is its own with --skip."


@dataclass(frozen=True, slots=True)
class _Source:
    """Where schedules come from, and which of them are meant."""

    dsn: str | None
    file: IO[str] | None
    user_column: bool
    zone: str | None
    owner: str | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How schedules are written into a table."""

    table: tuple[str, ...]
    missed: int
    paused: bool
    replace: bool
    skip: bool


@click.command(
    "import-crontab",
    short_help="Take over the schedules of cron or pg_cron.",
    epilog=options.examples(
        "pgbgw import-crontab --from postgresql://postgres@db.example/postgres",
        "pgbgw import-crontab --from service=old --into service=new --table crontab.jobs",
        "crontab -l | pgbgw import-crontab --crontab - --time-zone Europe/Paris",
        "pgbgw import-crontab --crontab /etc/crontab --user-column --python > nightly.py",
    ),
)
@click.option("--from", "dsn", metavar="DSN",
              help="Read cron.job of pg_cron in this database, as libpq takes it.")  # fmt: skip
@click.option("--crontab", "file", type=click.File(encoding="utf-8"), metavar="FILE",
              help="Read a crontab from FILE or, for -, standard input.")  # fmt: skip
@click.option("--user-column", is_flag=True, help="The sixth field names a user, as in /etc/crontab and /etc/cron.d.")
@click.option("--time-zone", "zone", metavar="ZONE",
              help="By which clocks a crontab runs.  [default: those of this machine]")  # fmt: skip
@click.option("--owner", metavar="ROLE", help="Whose schedules the lines of a crontab become that name no role.")
@click.option("--database", metavar="NAME",
              help="Only what runs in this database.  [default: that of --into]")  # fmt: skip
@click.option("--into", metavar="DSN", help="Do it in this database, instead of writing SQL.")
@click.option("--table", default="crontab.jobs", show_default=True, metavar="NAME", help="The schedule table.")
@click.option("--python", "as_python", is_flag=True, help="Write a declaration of workers instead of SQL.")
@click.option("--missed", type=click.Choice(["skip", "once"]), default="skip", show_default=True,
              help="What becomes of times at which nothing could run: nothing, as with cron, or a run.")  # fmt: skip
@click.option("--prefix", default="", metavar="TEXT", help="Begin all names with TEXT.")
@click.option("--replace", "anew", is_flag=True,
              help="With --into: replace what has the same name and owner, and is not the same.")  # fmt: skip
@click.option("--paused", is_flag=True, help="Pause all of them: nothing runs until it is resumed.")
@click.option("--skip", is_flag=True, help="With --into: leave out what can't be taken over, and do the rest.")
@options.json_option
def import_crontab(
    dsn: str | None, file: IO[str] | None, user_column: bool, zone: str | None, owner: str | None, database: str | None,
    into: str | None, table: str, as_python: bool, missed: str, prefix: str, anew: bool, paused: bool, skip: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Take over the jobs of pg_cron, or the lines of a crontab that run SQL by psql.

    SQL for a schedule table goes to standard output, and with --into to the server, in one transaction: all or nothing.
    What can't be taken over is told with its place and its reason, and the exit code is 1.
    """
    if (dsn is None) == (file is None):
        raise click.UsageError("say where schedules come from: --from DSN for pg_cron, or --crontab FILE")
    if into is not None and as_python:
        raise click.UsageError("--python writes a declaration; --into is for rows of a schedule table")
    if dsn is not None and (user_column or zone or owner):
        raise click.UsageError("--user-column, --time-zone and --owner go with --crontab; pg_cron has its own")
    name = _table(table)
    found, faults = _found(_Source(dsn, file, user_column, zone, owner))
    target = connect(into) if into is not None else None
    ids: list[int] = []
    try:
        wanted = database or (target.info.dbname if target is not None else None)
        found = [replace(one, name=prefix + one.name) for one in _chosen(found, wanted)]
        if as_python:
            found, further = declarable(found)
            faults = [*faults, *further]
        for fault in faults:
            terminal.refusal(f"{fault.where}: {fault.message}", fault.detail, fault.hint)
        if target is not None:
            if faults and not skip:
                terminal.note("nothing was imported: mend what can't be taken over, or leave it out with --skip")
                raise click.exceptions.Exit(1)
            how = _Wanted(name, 0 if missed == "skip" else 1, paused, anew, skip)
            found, further, ids = _do(target, found, how)
            for fault in further:
                terminal.refusal(f"{fault.where}: {fault.message}", fault.detail, fault.hint)
            faults = [*faults, *further]
    finally:
        if target is not None:
            target.close()
    now = datetime.now(UTC)
    shown = [_record(one, now, paused) for one in found]
    if as_json:
        terminal.json_result({"taken": shown, "refused": [_fault(each) for each in faults]})
    else:
        if into is None:
            count = 0 if missed == "skip" else 1
            text = (declaration(found, name[0], wanted or _one(found), missed=count, paused=paused) if as_python
                    else script(found, name, now, missed=count, paused=paused))  # fmt: skip
            if found:
                terminal.console().print(text)
        _report(shown, found, aside=into is None)
        if into is not None and found:
            _tell_left(dsn, found, name, ids if paused else ())
    if faults:
        terminal.note(
            f"{len(found)} of {len(found) + len(faults)} {'were' if into is not None else 'can be'} taken over"
        )
        raise click.exceptions.Exit(1)


def _table(text: str) -> tuple[str, ...]:
    try:
        return parse_function_name(text)
    except SqlError as error:
        raise click.UsageError(f"--table is not the name of a table: {text}: {error.message}") from error


def _found(source: _Source) -> tuple[list[Taken], list[Refusal]]:
    """All that there is, as schedules of ours."""
    if source.dsn is not None:
        with connect(source.dsn) as connection:
            try:
                return taken(read_jobs(connection))
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
                raise LoadError(
                    "refused",
                    f'database "{connection.info.dbname}" has no pg_cron',
                    detail="There is no table cron.job.",
                    hint="It is in the database that the setting cron.database_name names.",
                ) from error
    assert source.file is not None
    zone = source.zone
    if zone is None:
        try:
            zone = system_zone()
        except Unreadable as error:
            raise click.UsageError(f"{error}; name it with --time-zone") from error
        terminal.note(f"times go by the clocks of {zone}, those of this machine; --time-zone names others")
    try:
        Zone(zone)
    except ZoneMissing as error:
        raise click.UsageError(f"--time-zone: {error}\n{error.hint}") from error
    name = "standard input" if source.file.name == "<stdin>" else source.file.name
    lines = source.file.read().splitlines()
    return taken(read_crontab(lines, name, zone, user_column=source.user_column, owner=source.owner))


def _chosen(found: Sequence[Taken], wanted: str | None) -> list[Taken]:
    """Those of the database that is meant; others are for another call."""
    databases = sorted({one.database for one in found if one.database is not None})
    if wanted is None:
        if len(databases) > 1:
            named = ", ".join(f'"{name}"' for name in databases)
            raise click.UsageError(f"there are schedules of several databases, {named}: choose one with --database")
        return list(found)
    kept = [one for one in found if one.database in (None, wanted)]
    for name in databases:
        count = sum(one.database == name for one in found)
        if name != wanted:
            terminal.note(f'{count} of database "{name}" {"is" if count == 1 else "are"} left for another call')
    return kept


def _one(found: Sequence[Taken]) -> str | None:
    return next((one.database for one in found if one.database is not None), None)


def _do(
    connection: psycopg.Connection[Any], found: Sequence[Taken], how: _Wanted
) -> tuple[list[Taken], list[Refusal], list[int]]:
    """All of it in one transaction: what was taken over, what was not, and the ids of those that were active.

    Raises:
        LoadError: the server refused one of them, which is not to be skipped, and nothing was done.
    """
    done, faults, ids = [], [], []
    with connection.transaction():
        for one in found:
            try:
                with connection.transaction():
                    made = _make(connection, one, how)
            except Refusal as refusal:
                if not how.skip:
                    what = f"{one.where}: {refusal.message}, and nothing was imported"
                    raise LoadError("refused", what, detail=refusal.detail, hint=refusal.hint) from refusal
                refusal.where = one.where
                faults.append(refusal)
                continue
            done.append(one)
            if one.active:
                ids.append(made)
    return done, faults, ids


def _make(connection: psycopg.Connection[Any], one: Taken, how: _Wanted) -> int:
    """One of them, as its owner; its id.

    Raises:
        Refusal: the server refuses it, or has another one of that name.
    """
    role = quote_ident(one.owner) if one.owner else "NONE"
    try:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.SQL(role)))
    except psycopg.Error as error:
        hint = _NO_ROLE if error.sqlstate == "22023" else _HINTS["42501"]
        raise _refused(one, error, hint) from error
    try:
        if not how.replace:
            _require_free(connection, one, how.table)
        first, *further = statements(one, how.table, missed=how.missed, paused=how.paused)
        row = connection.execute(first.encode()).fetchone()
        for statement in further:
            connection.execute(statement.encode())
    except psycopg.Error as error:
        raise _refused(one, error, _HINTS.get(error.sqlstate or "")) from error
    assert row is not None
    return int(row[0])


def _refused(one: Taken, error: psycopg.Error, hint: str | None) -> Refusal:
    told = refused(error, f'the server refused schedule "{one.name}"')
    return Refusal(told.message, detail=told.detail, hint=hint or told.hint)


def _require_free(connection: psycopg.Connection[Any], one: Taken, table: Sequence[str]) -> None:
    """A schedule of that name may be there if it is the same.

    Raises:
        Refusal: it is not.
    """
    name = sql.SQL(".".join(map(quote_ident, table)))
    query = sql.SQL(
        "SELECT expression, time_zone, command FROM {} WHERE name = %s"
        " AND owner = pg_catalog.to_regrole(pg_catalog.quote_ident(CURRENT_USER))"
    )
    there = connection.execute(query.format(name), [one.name]).fetchone()
    if there is None or there == (one.expression, one.zone, one.command):
        return
    expression, zone, command = there
    what = "runs something else" if command != one.command else f"runs at {expression}, {zone}"
    raise Refusal(
        f'there is a schedule "{one.name}" of the same owner, which {what}',
        detail=f"This one is {one.expression}, {one.zone}: {' '.join(one.command.split())[:100]}",
        hint="Choose other names with --prefix, or replace it with --replace.",
    )


def _record(one: Taken, now: datetime, paused: bool) -> dict[str, Any]:
    next_run = one.schedule.next(now)
    return {
        "where": one.where,
        "name": one.name,
        "owner": one.owner,
        "expression": one.expression,
        "time_zone": one.zone,
        "sentence": one.schedule.sentence(),
        "command": one.command,
        "transaction": one.transaction,
        "active": one.active and not paused,
        "next_run": next_run.isoformat() if next_run else None,
        "notes": list(one.notes),
    }


def _fault(fault: Refusal) -> dict[str, Any]:
    return {"where": fault.where, "message": fault.message, "detail": fault.detail, "hint": fault.hint}


def _report(shown: Sequence[dict[str, Any]], found: Sequence[Taken], *, aside: bool) -> None:
    """A row for each, and below them what is not quite as it was; beside the result where that is SQL or Python."""
    if not shown:
        terminal.note("there is nothing to take over")
        return
    columns = ["name", "owner", "expression", "time_zone", "sentence", "next_run"]
    rows = [[row[name] if name != "next_run" else _next(row) for name in columns] for row in shown]
    if not any(row["owner"] for row in shown):
        rows, columns = [[*row[:1], *row[2:]] for row in rows], [columns[0], *columns[2:]]
    heads = {"time_zone": "zone", "sentence": "when", "next_run": "next run"}
    terminal.table([heads.get(name, name) for name in columns], rows, stderr=aside)
    for one in found:
        for note in one.notes:
            terminal.warning(f"{one.where}: {note}")


def _next(row: dict[str, Any]) -> str:
    """When it runs next, or would."""
    told = row["next_run"] or "never"
    return told if row["active"] else f"{told} (paused)"


def _tell_left(dsn: str | None, found: Sequence[Taken], table: Sequence[str], paused: Sequence[int]) -> None:
    """What is left to do so that nothing runs twice, and so that those that were paused meanwhile run."""
    if dsn is not None:
        jobs = ", ".join(one.where.split()[1] for one in found)
        terminal.note("now stop these jobs in pg_cron, or all of it runs twice:")
        terminal.note(f"  UPDATE cron.job SET active = false WHERE jobid IN ({jobs});")
    else:
        lines = ", ".join(one.where.rpartition(":")[2] for one in found)
        terminal.note(f"now take these lines out of the crontab, or all of it runs twice: {lines}")
    if paused:
        name, ids = ".".join(map(quote_ident, table)), ", ".join(map(str, paused))
        terminal.note("then let them go here:")
        terminal.note(f"  UPDATE {name} SET paused = false WHERE id IN ({ids});")
