"""Cancel and terminate, of idle workers and of such at work; restart honoured, and never honoured."""

from __future__ import annotations

__all__: list[str] = []
