"""Hostile settings by ALTER SYSTEM, DATABASE and ROLE, and row security."""

from __future__ import annotations

__all__: list[str] = []
