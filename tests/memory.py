"""Whether something loses memory when it is done again and again."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

__all__ = ["lost"]


def lost(use: Callable[[], object], times: int = 20) -> int:
    """Bytes that are more after using it so many times: the least of several such spans.

    What a cache takes, or whoever else is at work, shows in one span and not in all of them; what is lost, in each.
    """
    use()
    tracemalloc.start()
    try:
        spans = []
        for _ in range(5):
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(times):
                use()
            gc.collect()
            spans.append(tracemalloc.get_traced_memory()[0] - before)
        return min(spans)
    finally:
        tracemalloc.stop()
