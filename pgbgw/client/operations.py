"""What can be asked of a queue, as statements: the same for connections of every kind."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import psycopg

from pgbgw import _core
from pgbgw.client.direct import Message
from pgbgw.client.errors import ClientError, explained
from pgbgw.client.handle import Casts, Handle
from pgbgw.client.jobs import Job, jobs_of, queue_of
from pgbgw.sqltext import quote_ident

__all__ = [
    "Operation",
    "acknowledge",
    "cancel",
    "claim",
    "counts",
    "counts_and_exactness",
    "enqueue",
    "extend",
    "fail",
    "listed",
    "pause",
    "purge",
    "release",
    "resume",
    "retry",
    "usable_priority",
]

T = TypeVar("T")
P = TypeVar("P")

Rows = Sequence[tuple[Any, ...]]


class Owned(Protocol):
    """A queue or a schedule, as far as errors tell of it."""

    @property
    def extension(self) -> str:
        """The extension that it belongs to."""


class Operation(Generic[T]):
    """One statement with its parameters, and what its rows come to.

    Where ``in_binary``, it is the result that is read, as libpq has it; and ``message`` is the same statement for those
    connections that take it directly. Where it ``has_text``, the result is read as UTF-8 whatever the connection has.
    ``declared`` is the queue whose columns are looked at first, once for each connection.
    """

    # One is made for each call: a plain class takes a third of the time of a frozen dataclass.
    __slots__ = ("_parameters", "owned", "read", "statement", "what")
    in_binary: ClassVar[bool] = False
    has_text: ClassVar[bool] = False
    declared: Handle[Any] | None = None

    def __init__(
        self,
        owned: Owned,
        what: str,
        statement: str,
        parameters: Sequence[Any] = (),
        read: Callable[[Rows], T] | None = None,
    ) -> None:
        self.owned = owned
        self.what = what
        self.statement = statement
        self._parameters = parameters
        self.read = read

    def told(self, error: psycopg.Error) -> Exception:
        """What is raised for an error of the server's."""
        return explained(error, self.owned.extension, self.what)

    @property
    def parameters(self) -> Sequence[Any]:
        """Those for a cursor."""
        return self._parameters

    def message(self) -> Message | None:
        """The statement for a direct way; None where only a cursor knows how to send it."""
        return None

    def read_result(self, result: Any) -> T:
        """What a result in binary comes to."""
        raise NotImplementedError

    def wants_casts(self) -> Handle[Any] | None:
        """The queue whose columns have to be looked up before; mostly there is none."""
        return None

    def cast(self, casts: Casts) -> None:
        """Select the columns of that queue so that the core can read them."""
        raise NotImplementedError


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
    """Put one job in; the function of the queue takes what this passes by name.

    Raises:
        CopyError, TypeError, ValueError: the job is none of the queue, or an argument can't be used.
    """
    priority = usable_priority(priority)
    _check_time(run_at)
    _check_key(handle, unique_key, unique_for)
    columns = zip(handle.columns, handle.values(job), strict=True)
    given = [(column.name, f"%s::{column.type.replace('%', '%%')}", value) for column, value in columns]
    given.append(("priority", "%s::pg_catalog.int2", priority))
    if run_at is not None:
        given.append(("run_at", "%s::pg_catalog.timestamptz", run_at))
    if unique_key is not None:
        given.append(("unique_key", "%s::pg_catalog.text", unique_key))
        given.append(("unique_for", "%s::pg_catalog.interval", unique_for))
    arguments = ", ".join(f"{quote_ident(name).replace('%', '%%')} => {place}" for name, place, _ in given)
    function = handle.named("_enqueue" if run_at is None else "_enqueue_at").replace("%", "%%")
    return Operation(handle, f"{handle}", f"SELECT {function}({arguments})", [value for _, _, value in given], _first)


def usable_priority(given: Any) -> int:
    """A priority as an int.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(given, bool) or not hasattr(type(given), "__index__"):
        raise TypeError(f"priority is a {type(given).__name__}, not an int from 0 to 9")
    priority = operator.index(given)
    if not 0 <= priority <= 9:
        raise ValueError(f"priority is not from 0 to 9: {priority}")
    return priority


def _check_time(run_at: Any) -> None:
    if run_at is None:
        return
    if not isinstance(run_at, datetime):
        raise TypeError(f"run_at is a {type(run_at).__name__}, not a datetime with a time zone")
    if run_at.utcoffset() is None:
        raise ValueError(f"run_at has no time zone: {run_at.isoformat()}; write datetime.now(UTC) + ... instead")


def _check_key(handle: Handle[Any], unique_key: Any, unique_for: Any) -> None:
    if unique_for is not None:
        if not isinstance(unique_for, timedelta):
            raise TypeError(f"unique_for is a {type(unique_for).__name__}, not a timedelta")
        if unique_for < timedelta(0):
            raise ValueError(f"unique_for is negative: {unique_for}")
        if unique_key is None:
            raise ValueError("unique_for says for how long a key stays taken, and there is no unique_key")
    if unique_key is not None:
        if not isinstance(unique_key, str):
            raise TypeError(f"unique_key is a {type(unique_key).__name__}, not a str")
        if not handle.unique:
            raise ValueError(f"jobs of {handle} have no keys: declare it with unique=True")


class _Claim(Operation[list[Job[P]]]):
    """A claim, whose jobs are made of the result."""

    __slots__ = ("_direct", "_wants_casts", "declared", "handle")
    in_binary = True
    has_text = True

    def __init__(self, handle: Handle[P], max_jobs: int, lease: timedelta | None, who: str | None) -> None:
        self.owned = self.handle = handle
        # What is claimed is gone for others: it is too late when the rows are there.
        self.declared = None if handle.payload is None else handle
        self.what, self.statement, self._direct, self._wants_casts = _claim_statements(handle)
        self._parameters = (max_jobs, lease, who)

    def wants_casts(self) -> Handle[Any] | None:
        return self.handle if self._wants_casts else None

    def cast(self, casts: Casts) -> None:
        self.what, self.statement, self._direct, _ = _claim_statements(self.handle, casts)

    def message(self) -> Message | None:
        values = _claim_values(*self._parameters)
        return None if values is None else (self._direct, _CLAIM_TYPES, values)

    def read_result(self, result: Any) -> list[Job[P]]:
        return jobs_of(self.handle, result)


def claim(handle: Handle[P], max_jobs: int, lease: timedelta | None, who: str | None) -> Operation[list[Job[P]]]:
    """Claim up to so many jobs."""
    return _Claim(handle, max_jobs, lease, who)


# By OID, of pg_type.dat: int4, interval, text; int8[]
_CLAIM_TYPES = (23, 1186, 25)
_KEY_TYPES = (1016, 1016)
_IDS = _core.Layout(None, ["int8[]"])

# interval_recv, utils/adt/timestamp.c: microseconds, days and months
_INTERVAL = struct.Struct("!qii")


@lru_cache(maxsize=256)
def _claim_statements(handle: Handle[Any], casts: Casts = ()) -> tuple[str, str, bytes, bool]:
    """What a claim is called, its statement for a cursor and for a direct way, and whether casts are to be looked up
    for it.
    """
    wanted = dict(casts)
    names = [(quote_ident(column.name), wanted.get(column.name)) for column in handle.columns]
    payload = "".join([f"{n}, " if to is None else f"{n}::pg_catalog.{to} AS {n}, " for n, to in names])
    query = f"SELECT id, {payload}priority, attempt, created_at, lease_end, token, who FROM {handle.named('_claim')}"
    places = "(%s::int4, %s::interval, %s::text)"
    direct = f"{query}($1, $2, $3)".encode()
    return f"claims of {handle}", query.replace("%", "%%") + places, direct, handle.wants_casts()


@lru_cache(maxsize=256, typed=True)
def _claim_values(max_jobs: int, lease: timedelta | None, who: str | None) -> tuple[bytes | None, ...] | None:
    """The same in binary; None for what only psycopg knows how to send."""
    if type(max_jobs) is not int or not -(2**31) <= max_jobs < 2**31 or not (who or "").isascii():
        return None
    interval = None if lease is None else _INTERVAL.pack(lease.seconds * 1_000_000 + lease.microseconds, lease.days, 0)
    return max_jobs.to_bytes(4, "big", signed=True), interval, None if who is None else who.encode()


def listed(jobs: Iterable[Job[P]]) -> list[Job[P]]:
    """Jobs as a list, which can be gone through more than once.

    Raises:
        TypeError: it is one job, or nothing that has several.
    """
    if isinstance(jobs, _core.Row):
        raise TypeError(f"one job instead of several: write [job] for {jobs!r}")
    return list(jobs)


def acknowledge(handle: Handle[Any], jobs: Iterable[Job[Any]]) -> Operation[list[int]]:
    """They are done; the ids of those whose lease is no longer held."""
    return _Answer(handle, "_acknowledge", jobs)


def release(handle: Handle[Any], jobs: Iterable[Job[Any]]) -> Operation[list[int]]:
    """They were not begun."""
    return _Answer(handle, "_release", jobs)


def extend(handle: Handle[Any], jobs: Iterable[Job[Any]], lease: timedelta | None) -> Operation[list[int]]:
    """Their leases last that long from now on."""
    return _Answer(handle, "_extend", jobs, ("interval", lease))


def fail(
    handle: Handle[Any],
    jobs: Iterable[Job[Any]],
    errors: Sequence[str],
    sqlstates: Sequence[str | None],
    contexts: Sequence[str | None],
    retry: bool,
) -> Operation[list[int]]:
    """They failed, of these errors."""
    return _Answer(
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


def counts_and_exactness(handle: Handle[Any]) -> Operation[list[tuple[str, int, bool]]]:
    """How many jobs there are by status, and whether that was counted or is an estimate."""
    statement = f"SELECT status, jobs, exact FROM {_function(handle, '_counts')}()"
    return Operation(handle, f"{handle}", statement, [], lambda rows: [(row[0], row[1], row[2]) for row in rows])


def _function(handle: Handle[Any], ending: str) -> str:
    return handle.named(ending).replace("%", "%%")


def _call(handle: Handle[Any], ending: str, *given: tuple[str, Any]) -> Operation[Any]:
    places = ", ".join(f"%s::pg_catalog.{type_}" for type_, _ in given)
    return Operation(
        handle, f"{handle}", f"SELECT {_function(handle, ending)}({places})", [value for _, value in given], _first
    )  # fmt: skip


class _Answer(Operation[list[int]]):
    """Something about jobs by their ids and tokens, whose lists are made once it is known who sends them."""

    __slots__ = ("_direct", "_jobs")
    in_binary = True

    def __init__(self, handle: Handle[Any], ending: str, jobs: Iterable[Job[Any]], *given: tuple[str, Any]) -> None:
        self.owned = handle
        self.what, statement, self._direct = _answer_statements(handle, ending)
        self.statement = statement + "".join([f", %s::pg_catalog.{type_}" for type_, _ in given]) + ")"
        self._parameters = [value for _, value in given]
        self._jobs = _own(handle, jobs)

    @property
    def parameters(self) -> Sequence[Any]:
        jobs = self._jobs
        return [[job.id for job in jobs], [job.token for job in jobs], *self._parameters]

    def message(self) -> Message | None:
        return None if self._parameters else (self._direct, _KEY_TYPES, _core.lease_keys(self._jobs))

    def read_result(self, result: Any) -> list[int]:
        ids: list[int] = _core.result_tuples(result, _IDS)[0][0]
        return ids


def _own(handle: Handle[Any], jobs: Iterable[Job[Any]]) -> list[Job[Any]]:
    """Jobs as a list; ids and tokens of another queue's would be those of other jobs."""
    found = listed(jobs)
    for job in _core.of_each_layout(found):
        known = queue_of(job.layout)
        if known is not None and known is not handle and (known.schema, known.table) != (handle.schema, handle.table):
            raise ClientError(
                f"job {job.id} is of {known.named()}, not of {handle.named()}",
                hint="Answer for the jobs of each queue by themselves; nothing was answered.",
            )
    return found


@lru_cache(maxsize=256)
def _answer_statements(handle: Handle[Any], ending: str) -> tuple[str, str, bytes]:
    """What an answer is about, its statement for a cursor up to what is given besides, and that for a direct way."""
    function = handle.named(ending)
    places = "(%s::pg_catalog.int8[], %s::pg_catalog.int8[]"
    return f"{handle}", f"SELECT {function.replace('%', '%%')}{places}", f"SELECT {function}($1, $2)".encode()


def _storable(text: str) -> str:
    """Text that PostgreSQL takes: without U+0000 and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
