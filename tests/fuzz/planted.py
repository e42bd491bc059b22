"""Two faults on purpose, one in memory and one in Python: the fuzzers must tell of both."""

from __future__ import annotations

import ctypes

from pgbgw._core import CopyError, decode_copy

__all__ = ["check"]


def check(data: bytes) -> None:
    """Read beyond some memory, or raise, where the input begins so."""
    try:
        decode_copy(data, ["int4"])
    except CopyError:
        if data[:1] == b"E":
            raise
        if data[:1] == b"M":
            # As the core copies the bytes of a field.
            ctypes.memmove(ctypes.create_string_buffer(4096), ctypes.create_string_buffer(3000), 4096)
