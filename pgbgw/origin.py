"""Where a declared value was written; a leaf module, so that every stage may carry it.

The position comes from ``code.co_positions()`` (PEP 657, Python 3.11), which knows the columns of the very call that
ran, so that two declarations on one line are told apart.
"""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from types import FrameType

__all__ = ["Origin"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Origin:
    """A span of source text: lines count from 1, columns from 1 in characters; the end is exclusive."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def of_caller(cls) -> Origin:
        """The span of the call, outside this package, that led here.

        Raises nothing: without column information (``python -X no_debug_ranges``) the span is the start of the line.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        if frame is None:
            return cls("<unknown>", 1, 1, 1, 1)
        path = frame.f_code.co_filename
        positions = frame.f_code.co_positions()
        line, end_line, column, end_column = next(
            itertools.islice(positions, frame.f_lasti // 2, None), (frame.f_lineno, None, None, None)
        )
        start = line if line is not None else frame.f_lineno
        stop = end_line if end_line is not None else start
        return cls(path, start, _character(path, start, column), stop, _character(path, stop, end_column))

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


def _character(path: str, line: int, byte: int | None) -> int:
    """Column, from 1 and in characters, of a byte offset: co_positions() counts bytes of UTF-8."""
    if byte is None:
        return 1
    import linecache

    text = linecache.getline(path, line)
    return len(text.encode()[:byte].decode(errors="ignore")) + 1 if text else byte + 1
