"""Ways into the queue: two-phase commit, savepoints, triggers, handlers, replication, bare INSERT."""

from __future__ import annotations

__all__: list[str] = []
