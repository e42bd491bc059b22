"""Processes killed without a word: crash recovery, fresh shared state, no job lost and none done twice."""

from __future__ import annotations

__all__: list[str] = []
