"""Results of libpq that no server has sent: made by libpq's own functions for it, in the libpq that psycopg uses."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from typing import Any

from psycopg import pq

BINARY = 1
TEXT = 0


def make_result(
    columns: Sequence[tuple[str, int]],
    rows: Sequence[Sequence[bytes | None]],
    formats: Sequence[int] | None = None,
    status: pq.ExecStatus = pq.ExecStatus.TUPLES_OK,
) -> Any:
    """A PGresult of these columns (name and OID) and encoded rows. Any, because psycopg's stubs differ from build to
    build."""
    connection = pq.PGconn.connect_start(b"host=/nowhere")
    result: Any = connection.make_empty_result(status)
    connection.finish()
    wanted = formats or [BINARY] * len(columns)
    result.set_attributes(
        [
            pq.PGresAttDesc(name.encode(), 0, 0, format, oid, -1, -1)
            for (name, oid), format in zip(columns, wanted, strict=True)
        ]
    )
    # The compiled module of psycopg has libpq in it, or is linked with it; the one in Python loads it as this does.
    compiled = sys.modules[pq.PGresult.__module__].__file__ if pq.__impl__ in ("binary", "c") else find_library("pq")
    set_value = ctypes.CDLL(compiled).PQsetvalue
    set_value.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            assert set_value(result.pgresult_ptr, number, column, value, -1 if value is None else len(value))
    return result


class Slow:
    """A result that is read through the methods of psycopg, as where its libpq can't be reached."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __getattr__(self, name: str) -> Any:
        assert name != "pgresult_ptr"
        return getattr(self._result, name)
