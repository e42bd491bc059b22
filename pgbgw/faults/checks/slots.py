"""Slots, connections, roles and logins that run out or go away; neighbours that fail."""

from __future__ import annotations

__all__: list[str] = []
