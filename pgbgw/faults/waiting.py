"""Waiting for a state: the one place of the fault suite, and of the server tests, that pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Red", "eventually"]

T = TypeVar("T")


class Red(AssertionError):
    """A check did not see what it should; the message says what it saw instead."""


def eventually(predicate: Callable[[], T], within: float = 10.0, what: str = "") -> T:
    """Call ``predicate`` until it returns something true, and return that; ``within`` is in seconds.

    Raises:
        Red: it never did; the message holds ``what`` and the last value.
    """
    deadline = time.monotonic() + within
    pause = 0.005
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Red(f"not within {within:g} s: {what or predicate!r}; last value: {value!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
