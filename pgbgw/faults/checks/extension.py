"""The extension dropped, created, updated, or of another version than the library."""

from __future__ import annotations

__all__: list[str] = []
