"""Handlers that hang, allocate without end, or fill the log."""

from __future__ import annotations

__all__: list[str] = []
