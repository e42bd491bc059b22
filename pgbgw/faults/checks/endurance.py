"""A horizon that is held, and memory over many jobs."""

from __future__ import annotations

__all__: list[str] = []
