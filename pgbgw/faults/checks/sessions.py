"""State that a handler leaves in its session."""

from __future__ import annotations

__all__: list[str] = []
