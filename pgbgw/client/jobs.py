"""Jobs as a program gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from pgbgw.client.handle import Handle

__all__ = ["Job", "jobs_of"]

P = TypeVar("P")

_UNSET: Any = object()

# The columns of a leased job that are not of its payload.
_LEASED = ("id", "priority", "attempt", "created_at", "lease_end", "token", "who")


@dataclass(slots=True, eq=False)
class Job(Generic[P]):
    """A job that this program has by a lease.

    ``attempt`` counts from 1. The lease is held until ``lease_end`` by the clock of the server, unless it is renewed;
    ``token`` tells it from other leases of the same job. ``lost`` is set once a renewal or an answer was refused.
    """

    id: int
    priority: int
    attempt: int
    created_at: datetime
    lease_end: datetime
    token: int
    who: str
    handle: Handle[P] = field(repr=False)
    values: tuple[Any, ...] = field(repr=False)
    lost: bool = field(default=False, repr=False)
    _payload: Any = field(default=_UNSET, repr=False)

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.handle.name

    @property
    def payload(self) -> P:
        """What it is about: an object of the payload class, or a dict where there is no declaration."""
        if self._payload is _UNSET:
            names = (column.name for column in self.handle.columns)
            self._payload = self.handle.built(dict(zip(names, self.values, strict=True)))
        made: P = self._payload
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """A job that goes to another process takes its payload along, made or not."""
        given = (self.id, self.priority, self.attempt, self.created_at, self.lease_end, self.token, self.who)
        return Job, (*given, self.handle, self.values, self.lost)


def jobs_of(handle: Handle[P], rows: Sequence[tuple[Any, ...]], names: Sequence[str]) -> list[Job[P]]:
    """Jobs from the rows of a claim, whose columns have these names."""
    places = {name: number for number, name in enumerate(names)}
    payload = [places[column.name] for column in handle.columns]
    id, priority, attempt, created_at, end, token, who = (places[name] for name in _LEASED)
    return [
        Job(
            row[id], row[priority], row[attempt], row[created_at], row[end], row[token], row[who], handle,
            tuple([row[place] for place in payload]),
        )
        for row in rows
    ]  # fmt: skip
