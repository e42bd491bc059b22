"""The emitted tree: an ordered mapping from path to text, and which declared value each file comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgbgw.origin import Origin

__all__ = ["SourceTree"]


@dataclass(frozen=True, slots=True)
class SourceTree:
    """All files of one extension; ``origins`` has, by path, (first line, last line, origin), narrowest last."""

    extension: str
    version: str
    files: Mapping[str, str]
    origins: Mapping[str, tuple[tuple[int, int, Origin], ...]] = field(default_factory=dict)

    def origin_of(self, path: str, line: int) -> Origin | None:
        """Where the declared value was written that a line (from 1) of an emitted file comes from."""
        found = [origin for first, last, origin in self.origins.get(path, ()) if first <= line <= last]
        return found[-1] if found else None
