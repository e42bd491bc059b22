"""Statements that want a database for themselves: another database, and the workers' own."""

from __future__ import annotations

__all__: list[str] = []
