"""Privileges of functions and workers, and hostile input of each kind."""

from __future__ import annotations

__all__: list[str] = []
