"""Jobs as a program gets them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pgbgw import _core
from pgbgw.client.handle import Handle

__all__ = ["Job", "jobs_of"]

P = TypeVar("P")

_UNSET: Any = object()

# Types that an extension or a user has made have larger OIDs (FirstNormalObjectId, access/transam.h). Those of payloads
# are enums, since domains are sent as their base type, and enums are sent as text.
_FIRST_USER_OID = 16384

_layouts: dict[tuple[Handle[Any], tuple[int, ...]], _core.Layout] = {}


class Job(Generic[P]):
    """A job that this program has by a lease; what it holds is read when it is asked for.

    ``lost`` is set by a consumer once a renewal or an answer was refused: another may have the job by now.
    """

    __slots__ = ("_payload", "_row", "handle", "lost")

    def __init__(self, handle: Handle[P], row: _core.Job) -> None:
        self.handle = handle
        self.lost = False
        self._row = row
        self._payload: Any = _UNSET

    @property
    def id(self) -> int:
        """Its number, which it keeps through all attempts."""
        return self._row.id

    @property
    def token(self) -> int:
        """What tells this lease from others of the same job: later ones have larger tokens."""
        return self._row.token

    @property
    def priority(self) -> int:
        """From 0, which comes first, to 9."""
        return self._row.priority

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._row.attempt

    @property
    def created_at(self) -> datetime:
        """When it was put in."""
        return self._row.created_at

    @property
    def lease_end(self) -> datetime:
        """Until when the lease holds by the clock of the server, as it was claimed; renewals are not seen here."""
        return self._row.lease_end

    @property
    def who(self) -> str:
        """By what name the lease is known."""
        return self._row.who

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.handle.name

    @property
    def payload(self) -> P:
        """What it is about: an object of the payload class, or a dict where there is no declaration."""
        if self._payload is _UNSET:
            self._payload = self.handle.built(self._row.payload())
        made: P = self._payload
        return made

    def raw(self, name: str) -> bytes | memoryview | None:
        """A column of the payload as it was sent, for a parser of one's own: of jsonb the text, and None for NULL.

        From 8192 bytes on it is a view, below that a copy.

        Raises:
            KeyError: there is no such column.
        """
        return self._row.raw(name)

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.handle}, attempt {self.attempt}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Job, (self.handle, self._row)


def jobs_of(handle: Handle[P], result: Any) -> list[Job[P]]:
    """Jobs from the result of a claim.

    Raises:
        CopyError: a row is not what the server says it is.
    """
    layout = layout_of(handle, result)
    return [Job(handle, row) for row in _core.result_jobs(result, layout)]


def layout_of(handle: Handle[Any], result: Any) -> _core.Layout:
    """How the rows of a result are laid out; kept, since claims of a queue are all alike."""
    oids = tuple([result.ftype(number) for number in range(result.nfields)])
    layout = _layouts.get((handle, oids))
    if layout is None:
        layout = _core.result_layout(
            result,
            known={oid: "text" for oid in oids if oid >= _FIRST_USER_OID},
            queue=handle.name,
            payload=[column.name for column in handle.columns],
        )
        _layouts[handle, oids] = layout
    return layout
