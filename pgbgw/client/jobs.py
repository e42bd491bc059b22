"""Jobs as a program gets them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from pgbgw import _core
from pgbgw.client.handle import Handle

__all__ = ["Job", "jobs_of", "layout_of"]

P = TypeVar("P")

# Types that an extension or a user has made have larger OIDs (FirstNormalObjectId, access/transam.h). Those of payloads
# are enums, since domains are sent as their base type, and enums are sent as text.
_FIRST_USER_OID = 16384

# Layouts are kept, since what is received of a queue is always alike; and the queue of each.
_layouts: dict[tuple[Any, ...], _core.Layout] = {}
_handles: dict[_core.Layout, Handle[Any]] = {}
_claims: dict[Handle[Any], _core.Layout] = {}


class Job(_core.Held, Generic[P]):
    """A job that this program has by a lease, or one that it has read; what it holds is decoded when it is asked for.

    Its attributes are ``id``, which it keeps through all attempts, ``priority`` (from 0, which comes first, to 9),
    ``attempt`` (from 1), ``created_at``, ``lease_end`` (by the clock of the server, as it was claimed), ``token``,
    which is larger for a later lease of the same job, and ``who``, the name of the lease.

    ``lost`` is set by a consumer once a renewal or an answer was refused: another may have the job by now.

    ``raw(name)`` is a column of the payload as it was sent, for a parser of one's own: of jsonb the text, None for
    NULL. From 8192 bytes on it is a view, below that a copy.
    """

    __slots__ = ()

    @property
    def handle(self) -> Handle[P]:
        """The queue, with what is known of it."""
        return _handles[self.layout]

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.handle.name

    @property
    def payload(self) -> P:
        """What it is about: an object of the payload class, or a dict where there is no declaration."""
        made = self.kept
        if made is None:
            made = self.kept = _handles[self.layout].built(self.fields())
        return cast(P, made)

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.handle}, attempt {self.attempt}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.handle, self.layout, self.row_bytes(), self.lost)


def _received(handle: Handle[P], layout: _core.Layout, row: bytes, lost: bool) -> Job[P]:
    """A job that was pickled."""
    known = _layouts.setdefault((handle, layout.names, layout.types), layout)
    _handles[known] = handle
    job: Job[P] = _core._job(known, row, Job)
    job.lost = lost
    return job


def jobs_of(handle: Handle[P], result: Any) -> list[Job[P]]:
    """Jobs from the result of a claim.

    Raises:
        CopyError: a row is not what the server says it is.
    """
    layout = _claims.get(handle)
    if layout is not None:
        try:
            return _core.result_jobs(result, layout, Job)
        except _core.CopyError:
            # It was updated since, or what it says below is told anew.
            del _claims[handle]
    layout = _claims[handle] = layout_of(handle, result)
    return _core.result_jobs(result, layout, Job)


def layout_of(handle: Handle[Any], result: Any) -> _core.Layout:
    """How the rows of a result are laid out; kept, since claims of a queue are all alike."""
    names = tuple([result.fname(number) for number in range(result.nfields)])
    oids = tuple([result.ftype(number) for number in range(result.nfields)])
    layout = _layouts.get((handle, names, oids))
    if layout is None:
        layout = _core.result_layout(
            result,
            known={oid: "text" for oid in oids if oid >= _FIRST_USER_OID},
            queue=handle.name,
            payload=[column.name for column in handle.columns],
        )
        _layouts[handle, names, oids] = layout
        _handles[layout] = handle
    return layout
