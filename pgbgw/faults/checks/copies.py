"""Servers without preload, and databases that were dumped and restored."""

from __future__ import annotations

__all__: list[str] = []
