"""``pgbgw jobs export``: jobs into a file that is there once it is whole, or to standard output."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, Protocol, TypeAlias

import click
import psycopg
from psycopg import sql

from pgbgw._core import result_columns
from pgbgw.cli import options, terminal
from pgbgw.cli.queues import dsn_option, opened, queue_argument, status_option
from pgbgw.client import ClientError, Handle, operations, run
from pgbgw.client.jobs import layout_of
from pgbgw.client.running import cursor_of

__all__ = ["export"]

_Told: TypeAlias = Callable[[int], None]

# A row group of Parquet, as it is read and written.
_ROWS = 50_000

# What values look like must not depend on the settings of a role or a server (postgresql.conf, "Client Connection
# Defaults").
_SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "iso_8601", "bytea_output": "hex",
             "extra_float_digits": "1", "client_encoding": "UTF8"}  # fmt: skip

_COLUMNS = """
SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


@click.command(
    short_help="Write jobs into a file.",
    epilog=options.examples(
        "pgbgw jobs export mail --status failed",
        "pgbgw jobs export mail --status done --to done.parquet",
        "pgbgw jobs export mail --to mail.csv --json",
    ),
)
@queue_argument
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Where to; its ending says the format. Without it, to standard output.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["csv", "ndjson", "parquet"]),
              help="The format, unless the ending of FILE says it; parquet needs pyarrow.")  # fmt: skip
@status_option
@dsn_option
@options.json_option
def export(
    queue: str, target: Path | None, form: str | None, status: str | None, dsn: str | None, as_json: bool
) -> None:
    """Write jobs of QUEUE into a file, one a line; a file that exists is replaced once all is written."""
    form = form or (target.suffix.removeprefix(".") if target is not None else "ndjson")
    if form not in ("csv", "ndjson", "parquet"):
        raise click.UsageError(f"--to ends in none of .csv, .ndjson and .parquet: {target}; say --format")
    if form == "parquet" and target is None:
        raise click.UsageError("parquet goes into a file: give --to")
    if as_json and target is None:
        raise click.UsageError("--json goes with --to: the jobs themselves go to standard output")
    write = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[form]
    connection, handle = opened(dsn, queue)
    with connection, contextlib.ExitStack() as stack:
        told = stack.enter_context(terminal.counted("jobs", lambda: _total(connection, handle, status)))
        stack.enter_context(connection.transaction())
        for name, value in _SETTINGS.items():
            connection.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value))
        if target is None:
            count = write(connection, handle, status, _standard_output(), told)
            sys.stdout.buffer.flush()
        else:
            with _whole(target) as stream:
                count = write(connection, handle, status, stream, told)
    if as_json:
        terminal.json_result({"exported": count, "file": str(target), "format": form})
    elif target is not None:
        terminal.console().print(f"{count} exported")


def _total(connection: psycopg.Connection[Any], handle: Handle[Any], status: str | None) -> int | None:
    """About how many jobs there are; None where nobody knows without counting them."""
    try:
        found = run(connection, operations.counts(handle))
    except (ClientError, psycopg.Error):
        # a role that may read jobs need not be allowed this
        return None
    return sum(found.values()) if status is None else found.get(status)


def _standard_output() -> _Writable:
    """A pipe gets what there is; on a terminal nothing of it is a command."""
    return _Terminal(sys.stdout.buffer) if sys.stdout.isatty() else sys.stdout.buffer


class _Writable(Protocol):
    """Where lines go."""

    def write(self, data: bytes, /) -> int:
        """Write all of it."""


@dataclass(frozen=True, slots=True)
class _Terminal:
    """Standard output, where people look at it."""

    stream: IO[bytes]

    def write(self, data: bytes, /) -> int:
        """Write what is printable, and what is not as escapes."""
        return self.stream.write(terminal.printable(data.decode(errors="replace"), lines=True).encode())


# A file that is whole


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """A file beside the one that is wanted, which takes its place when all went well, and else is gone.

    Raises:
        UsageError: it can't be written there.
    """
    target = target.resolve()
    if target.exists() and not target.is_file():
        raise click.UsageError(f"not a file: {target}; leave out --to for standard output")
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    with _interruptible():
        try:
            with part.open("xb") as stream:
                yield stream
                stream.flush()
                # whoever finds the name after a crash finds the contents as well
                os.fsync(stream.fileno())
            if target.exists():
                shutil.copymode(target, part)
            part.replace(target)
        except OSError as error:
            raise click.UsageError(f"can't write {target}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that nothing half-written is left behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


# Formats


def _csv(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: str | None, stream: _Writable, told: _Told
) -> int:
    """As COPY writes it: NULL is nothing, and an empty text is "", which tells them apart."""
    query = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(_select(handle, status))
    return _copied(connection, query, stream, told, headers=1)


def _ndjson(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: str | None, stream: _Writable, told: _Told
) -> int:
    """A JSON object a line, as the server makes it, with all digits of its numbers."""
    # of what a json column may have between its values, COPY would escape these
    one_line = sql.SQL(r"translate(row_to_json(j)::text, E'\n\r\t', '   ')")
    query = sql.SQL("COPY (SELECT {} FROM ({}) AS j) TO STDOUT").format(one_line, _select(handle, status))
    return _copied(connection, query, stream, told, convert=lambda line: line.replace(b"\\\\", b"\\"))


def _copied(
    connection: psycopg.Connection[Any],
    query: sql.Composed,
    stream: _Writable,
    told: _Told,
    *,
    headers: int = 0,
    convert: Callable[[bytes], bytes] | None = None,
) -> int:
    count = -headers
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in copy:
            line = bytes(row)
            stream.write(line if convert is None else convert(line))
            count += 1
            if count % 1000 == 0:
                told(count)
    told(count)
    return count


def _parquet(
    connection: psycopg.Connection[Any], handle: Handle[Any], status: str | None, stream: _Writable, told: _Told
) -> int:
    """Types as Arrow has them; arrays as JSON, and intervals as text, for which Parquet has no type."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ClientError("parquet needs pyarrow, which is not installed", hint="pip install pyarrow") from error
    view = sql.Identifier(handle.schema, handle.view)
    columns = connection.execute(_COLUMNS, [view.as_string(connection)]).fetchall()
    selected = sql.SQL(", ").join(_storable(name, type_) for name, type_ in columns)
    count, writer = 0, None
    with cursor_of(connection) as cursor:
        cursor.execute(sql.SQL("DECLARE export NO SCROLL CURSOR FOR {}").format(_select(handle, status, selected)))
        while True:
            cursor.execute(sql.SQL("FETCH {} FROM export").format(_ROWS))
            if cursor.rowcount == 0 and writer is not None:
                break
            batch = pyarrow.record_batch(result_columns(cursor.pgresult, layout_of(handle, cursor.pgresult)))
            if writer is None:
                writer = parquet.ParquetWriter(stream, batch.schema)
            writer.write_batch(batch)
            count += batch.num_rows
            told(count)
        writer.close()
    return count


def _storable(name: str, type_: str) -> sql.Composed:
    column = sql.Identifier(name)
    if type_.endswith("[]"):
        return sql.SQL("to_jsonb({}) AS {}").format(column, column)
    return sql.SQL("{}::text AS {}").format(column, column) if type_ == "interval" else sql.SQL("{}").format(column)


def _select(handle: Handle[Any], status: str | None, columns: sql.Composable = sql.SQL("*")) -> sql.Composed:  # noqa: B008
    where = sql.SQL("WHERE status = {}").format(status) if status is not None else sql.SQL("")
    view = sql.Identifier(handle.schema, handle.view)
    return sql.SQL("SELECT {} FROM {} {} ORDER BY id").format(columns, view, where)
