"""Which way jobs were claimed: a figure of the direct claim must not be one of the portable claim, or the reverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

__all__ = ["Claims", "WrongClaim", "assert_direct", "read_claims"]


class WrongClaim(AssertionError):
    """Jobs were not claimed the way that the figures are said to be of."""


@dataclass(frozen=True, slots=True)
class Claims:
    """How many claims there were of each kind, over all workers of an extension."""

    direct: int
    portable: int


def read_claims(connection: psycopg.Connection[Any], schema: str) -> Claims:
    """The counters of the extension in ``schema``; each process of a worker shows those of the whole worker."""
    query = f"""
        SELECT coalesce(sum(direct_claims), 0), coalesce(sum(portable_claims), 0)
          FROM {schema}.workers() WHERE process = 1"""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return Claims(int(row[0]), int(row[1]))


def assert_direct(connection: psycopg.Connection[Any], schema: str, before: Claims) -> str:
    """Make sure that since ``before`` all claims were direct; what to call them.

    Raises:
        WrongClaim: there was no direct claim, or there was a portable one.
    """
    after = read_claims(connection, schema)
    if after.direct <= before.direct or after.portable != before.portable:
        direct, portable = after.direct - before.direct, after.portable - before.portable
        raise WrongClaim(f"{direct} claims were direct and {portable} portable; all were to be direct")
    return "direct"
