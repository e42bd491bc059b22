"""Shutdown of the server in each mode, and shutdown of the workers on request."""

from __future__ import annotations

__all__: list[str] = []
