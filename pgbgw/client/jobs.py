"""Jobs as a program gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from pgbgw import _core
from pgbgw.client.errors import Mismatch
from pgbgw.client.handle import Handle, spelled_type

__all__ = ["Job", "check_types", "jobs_of", "layout_of", "queue_of", "require_declared"]

P = TypeVar("P")

# Types that an extension or a user has made have larger OIDs (FirstNormalObjectId, access/transam.h). Where they are
# declared they are cast; others come where text is declared and an enum installed, which is sent as text.
_FIRST_USER_OID = 16384

# Layouts are kept, since what is received of a queue is always alike; and the queue of each.
_layouts: dict[tuple[Any, ...], _core.Layout] = {}
_handles: dict[_core.Layout, Handle[Any]] = {}
_claims: dict[Handle[Any], _core.Layout] = {}
# and those that were compared with what is declared
_compared: set[_core.Layout] = set()

# text, varchar and bpchar have the same bytes.
_TEXT = frozenset(_core.Layout(None, ["text", "varchar", "bpchar"]).types)


class Job(_core.Held, Generic[P]):
    """A job that this program has by a lease, or one that it has read; what it holds is decoded when it is asked for.

    Its attributes are ``id``, which it keeps through all attempts, ``priority`` (from 0, which comes first, to 9),
    ``attempt`` (from 1), ``created_at``, ``lease_end`` (by the clock of the server, as it was claimed), ``token``,
    which is larger for a later lease of the same job, and ``who``, the name of the lease.

    ``lost`` is set by a consumer once a renewal or an answer was refused: another may have the job by now.

    ``raw(name)`` is a column of the payload as it was sent, for a parser of one's own: of jsonb the text, None for
    NULL. From 8192 bytes on it is a view, below that a copy.

    All that came in one piece stays in memory as long as one job of it lives; ``detach()`` gives a job that holds its
    own row alone, and can be answered for as well.
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


def queue_of(layout: _core.Layout) -> Handle[Any] | None:
    """The queue whose jobs have a layout; None where it is nobody's here."""
    return _handles.get(layout)


def jobs_of(handle: Handle[P], result: Any) -> list[Job[P]]:
    """Jobs from the result of a claim.

    Raises:
        CopyError: a row is not what the server says it is.
        Mismatch: they have other types than are declared, since the columns were looked up.
    """
    layout = _claims.get(handle)
    if layout is not None:
        try:
            return _core.result_jobs(result, layout, Job)
        except _core.CopyError:
            # It was updated since, or what it says below is told anew.
            del _claims[handle]
    layout = layout_of(handle, result)
    require_declared(layout)
    _claims[handle] = layout
    return _core.result_jobs(result, layout, Job)


def layout_of(handle: Handle[Any], result: Any) -> _core.Layout:
    """How the rows of a result are laid out; kept, since claims of a queue are all alike."""
    names = tuple([result.fname(number) for number in range(result.nfields)])
    oids = tuple([result.ftype(number) for number in range(result.nfields)])
    layout = _layouts.get((handle, names, oids))
    if layout is None:
        missing = [column.name for column in handle.columns if column.name.encode() not in names]
        if missing:
            raise _mismatch(handle, [f"column {name} is declared and not installed" for name in missing])
        layout = _core.result_layout(
            result,
            known={oid: "text" for oid in oids if oid >= _FIRST_USER_OID},
            queue=handle.name,
            payload=[column.name for column in handle.columns],
        )
        _layouts[handle, names, oids] = layout
        _handles[layout] = handle
    return layout


def require_declared(layout: _core.Layout) -> None:
    """See that rows of a queue have the types that are declared.

    Raises:
        Mismatch: with those that differ.
    """
    if layout not in _compared:
        assert layout.names is not None
        oids = zip(layout.names, layout.types, strict=True)
        check_types(_handles[layout], {name: (oid, spelled_type(oid)) for name, oid in oids})
        _compared.add(layout)


def check_types(handle: Handle[Any], installed: Mapping[str, tuple[int, str]], otherwise: Sequence[str] = ()) -> None:
    """Compare the declared types that the core knows with those of installed columns, by OID and as they are spelled;
    ``otherwise`` is what is known to differ besides.

    Raises:
        Mismatch: with those that differ.
    """
    different = list(otherwise)
    for column in handle.columns if handle.payload is not None else ():
        oid, spelled = installed.get(column.name, (column.oid or 0, ""))
        if column.oid is None or oid == column.oid:
            continue
        # Of enums only the database knows that they are sent as text.
        if column.oid not in _TEXT or (oid not in _TEXT and oid < _FIRST_USER_OID):
            different.append(f"column {column.name} is declared as {column.type} and installed as {spelled}")
    if different:
        raise _mismatch(handle, different)


def _mismatch(handle: Handle[Any], differences: Sequence[str]) -> Mismatch:
    return Mismatch(
        f"{handle} is not installed as it is declared",
        detail=f"{'; '.join(differences)}.",
        hint="Install what is declared, or run the program that belongs to what is installed; verify() tells all that"
        " differs.",
    )
