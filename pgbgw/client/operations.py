"""What can be asked of a queue, as statements: the same for connections of every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from pgbgw.client.handle import Handle
from pgbgw.client.jobs import Job, jobs_of
from pgbgw.sqltext import quote_ident

__all__ = [
    "Operation",
    "acknowledge",
    "cancel",
    "claim",
    "counts",
    "enqueue",
    "extend",
    "fail",
    "pause",
    "purge",
    "release",
    "resume",
    "retry",
]

T = TypeVar("T")
P = TypeVar("P")

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One statement with its parameters, and what its rows come to; or its result in binary, as libpq has it."""

    handle: Handle[Any]
    what: str
    statement: str
    parameters: Sequence[Any]
    read: Callable[[Rows], T] | None = None
    read_result: Callable[[Any], T] | None = None


def _first(rows: Rows) -> Any:
    return rows[0][0]


def enqueue(
    handle: Handle[P],
    job: P | Mapping[str, Any],
    priority: int,
    run_at: datetime | None,
    unique_key: str | None,
    unique_for: timedelta | None,
) -> Operation[int | None]:
    """Put one job in; the function of the queue takes what this passes by name."""
    if run_at is not None and run_at.tzinfo is None:
        raise ValueError(f"run_at has no time zone: {run_at.isoformat()}; write datetime.now(UTC) + ... instead")
    if unique_key is not None and not handle.unique:
        raise ValueError(f"jobs of {handle} have no keys: declare it with unique=True")
    given = [(c.name, f"%s::{c.type}", v) for c, v in zip(handle.columns, handle.values(job), strict=True)]
    given.append(("priority", "%s::pg_catalog.int2", priority))
    if run_at is not None:
        given.append(("run_at", "%s::pg_catalog.timestamptz", run_at))
    if unique_key is not None:
        given.append(("unique_key", "%s::pg_catalog.text", unique_key))
        given.append(("unique_for", "%s::pg_catalog.interval", unique_for))
    arguments = ", ".join(f"{quote_ident(name).replace('%', '%%')} => {place}" for name, place, _ in given)
    function = handle.named("_enqueue" if run_at is None else "_enqueue_at").replace("%", "%%")
    return Operation(handle, f"{handle}", f"SELECT {function}({arguments})", [value for _, _, value in given], _first)


def claim(handle: Handle[P], max_jobs: int, lease: timedelta | None, who: str | None) -> Operation[list[Job[P]]]:
    """Claim up to so many jobs."""
    payload = "".join(f"{quote_ident(column.name).replace('%', '%%')}, " for column in handle.columns)
    columns = f"id, {payload}priority, attempt, created_at, lease_end, token, who"
    statement = f"SELECT {columns} FROM {_function(handle, '_claim')}(%s::int4, %s::interval, %s::text)"
    return Operation(
        handle, f"claims of {handle}", statement, [max_jobs, lease, who],
        read_result=lambda result: jobs_of(handle, result),
    )  # fmt: skip


def acknowledge(handle: Handle[Any], jobs: Sequence[Job[Any]]) -> Operation[list[int]]:
    """They are done; the ids of those whose lease is no longer held."""
    return _answer(handle, "_acknowledge", jobs)


def release(handle: Handle[Any], jobs: Sequence[Job[Any]]) -> Operation[list[int]]:
    """They were not begun."""
    return _answer(handle, "_release", jobs)


def extend(handle: Handle[Any], jobs: Sequence[Job[Any]], lease: timedelta | None) -> Operation[list[int]]:
    """Their leases last that long from now on."""
    return _answer(handle, "_extend", jobs, ("interval", lease))


def fail(
    handle: Handle[Any],
    jobs: Sequence[Job[Any]],
    errors: Sequence[str],
    sqlstates: Sequence[str | None],
    contexts: Sequence[str | None],
    retry: bool,
) -> Operation[list[int]]:
    """They failed, of these errors."""
    return _answer(
        handle, "_fail", jobs, ("text[]", [_storable(text) for text in errors]), ("text[]", list(sqlstates)),
        ("text[]", [None if text is None else _storable(text) for text in contexts]), ("bool", retry),
    )  # fmt: skip


def retry(handle: Handle[Any], ids: Sequence[int] | None) -> Operation[int]:
    """Have jobs run now that were given up, or that wait."""
    return _call(handle, "_retry", ("int8[]", None if ids is None else list(ids)))


def cancel(handle: Handle[Any], id: int) -> Operation[bool]:
    """Remove a job."""
    return _call(handle, "_cancel", ("int8", id))


def purge(handle: Handle[Any], older_than: timedelta) -> Operation[int]:
    """Remove jobs that were given up that long ago."""
    return _call(handle, "_purge", ("interval", older_than))


def pause(handle: Handle[Any]) -> Operation[bool]:
    """Give out no more jobs."""
    return _call(handle, "_pause")


def resume(handle: Handle[Any]) -> Operation[bool]:
    """Give them out again."""
    return _call(handle, "_resume")


def counts(handle: Handle[Any]) -> Operation[dict[str, int]]:
    """How many jobs there are by status."""
    statement = f"SELECT status, jobs FROM {_function(handle, '_counts')}()"
    return Operation(handle, f"{handle}", statement, [], lambda rows: {row[0]: row[1] for row in rows})


def _function(handle: Handle[Any], ending: str) -> str:
    return handle.named(ending).replace("%", "%%")


def _call(handle: Handle[Any], ending: str, *given: tuple[str, Any]) -> Operation[Any]:
    places = ", ".join(f"%s::pg_catalog.{type_}" for type_, _ in given)
    return Operation(
        handle, f"{handle}", f"SELECT {_function(handle, ending)}({places})", [value for _, value in given], _first
    )  # fmt: skip


def _answer(
    handle: Handle[Any], ending: str, jobs: Sequence[Job[Any]], *given: tuple[str, Any]
) -> Operation[list[int]]:
    names = (("int8[]", [job.id for job in jobs]), ("int8[]", [job.token for job in jobs]))
    return _call(handle, ending, *names, *given)


def _storable(text: str) -> str:
    """Text that PostgreSQL takes: without U+0000 and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
