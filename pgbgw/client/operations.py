"""What can be asked of a queue, as statements: the same for connections of every kind."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

from pgbgw import _core
from pgbgw.client.direct import Message
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


# Not frozen: that makes one in three times the time.
@dataclass(slots=True)
class Operation(Generic[T]):
    """One statement with its parameters, and what its rows come to; or its result in binary, as libpq has it.

    ``message`` is the same statement for those connections that take it directly, where it is worth while: its result
    is read by ``read_result``.
    """

    handle: Handle[Any]
    what: str
    statement: str
    parameters: Sequence[Any] | Callable[[], Sequence[Any]]
    read: Callable[[Rows], T] | None = None
    read_result: Callable[[Any], T] | None = None
    message: Callable[[], Message | None] | None = None

    def given(self) -> Sequence[Any]:
        """The parameters."""
        return self.parameters() if callable(self.parameters) else self.parameters


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
    what, statement, direct = _claim_statements(handle)

    def message() -> Message | None:
        values = _claim_values(max_jobs, lease, who)
        return None if values is None else (direct, _CLAIM_TYPES, values)

    return Operation(handle, what, statement, (max_jobs, lease, who), None, partial(jobs_of, handle), message)


# By OID, of pg_type.dat: int4, interval, text; int8[]
_CLAIM_TYPES = (23, 1186, 25)
_KEY_TYPES = (1016, 1016)
_IDS = _core.Layout(None, ["int8[]"])

# interval_recv, utils/adt/timestamp.c: microseconds, days and months
_INTERVAL = struct.Struct("!qii")


@lru_cache(maxsize=256)
def _claim_statements(handle: Handle[Any]) -> tuple[str, str, bytes]:
    """What a claim is called, and its statement for a cursor and for a direct way."""
    payload = "".join(f"{quote_ident(column.name)}, " for column in handle.columns)
    query = f"SELECT id, {payload}priority, attempt, created_at, lease_end, token, who FROM {handle.named('_claim')}"
    places = "(%s::int4, %s::interval, %s::text)"
    return f"claims of {handle}", query.replace("%", "%%") + places, f"{query}($1, $2, $3)".encode()


@lru_cache(maxsize=256, typed=True)
def _claim_values(max_jobs: int, lease: timedelta | None, who: str | None) -> tuple[bytes | None, ...] | None:
    """The same in binary; None for what only psycopg knows how to send."""
    if type(max_jobs) is not int or not -(2**31) <= max_jobs < 2**31 or not (who or "").isascii():
        return None
    interval = None if lease is None else _INTERVAL.pack(lease.seconds * 1_000_000 + lease.microseconds, lease.days, 0)
    return max_jobs.to_bytes(4, "big", signed=True), interval, None if who is None else who.encode()


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
    def values() -> list[Any]:
        return [[job.id for job in jobs], [job.token for job in jobs], *(value for _, value in given)]

    places = "".join(f", %s::pg_catalog.{type_}" for type_, _ in given)
    statement = f"SELECT {_function(handle, ending)}(%s::pg_catalog.int8[], %s::pg_catalog.int8[]{places})"
    operation: Operation[list[int]] = Operation(handle, f"{handle}", statement, values, _first)
    if not given:
        direct = f"SELECT {handle.named(ending)}($1, $2)".encode()
        operation.message = lambda: (direct, _KEY_TYPES, _core.lease_keys(jobs))
        operation.read_result = _ids
    return operation


def _ids(result: Any) -> list[int]:
    ids: list[int] = _core.result_tuples(result, _IDS)[0][0]
    return ids


def _storable(text: str) -> str:
    """Text that PostgreSQL takes: without U+0000 and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
