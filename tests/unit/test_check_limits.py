"""Values of actions, and what the server has room for."""

from __future__ import annotations

from typing import Any

import pytest

from pgbgw import call, hours
from pgbgw.check import Target
from pgbgw.declare.launch import needed_bytes
from pgbgw.declare.shared import Action
from pgbgw.declare.workers import arguments
from pgbgw.origin import Origin
from tests.shop import SELECT, Shop, codes

# Shared state


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("sent", 0, []), ("sent", -1, ["BGW605"]), ("sent", 2**63, ["BGW606"]), ("sent", True, ["BGW606"]),
        ("sent", "1", ["BGW606"]), ("alive", -(2**63), []), ("alive", -(2**63) - 1, ["BGW606"]),
        ("load", 1, []), ("load", float("inf"), ["BGW606"]), ("load", 10**400, ["BGW606"]), ("load", None, ["BGW606"]),
        ("paused", True, []), ("paused", 1, ["BGW606"]),
        ("note", "1234567", []), ("note", "12345678", ["BGW607"]), ("note", "äääx", []), ("note", "ääää", ["BGW607"]),
        ("note", "a\0", ["BGW606"]), ("note", "\ud800", ["BGW606"]), ("note", 3, ["BGW606"]),
    ],
)  # fmt: skip
def test_values_of_actions(field: str, value: Any, expected: list[str]) -> None:
    shop = Shop()
    operation: Any = "set" if field in {"paused", "note"} else "add"
    shop.tidy(on_done=Action(getattr(shop.stats, field), operation, value))
    assert codes(shop.shop) == expected


# Limits


@pytest.mark.parametrize(
    ("workers", "most", "expected"),
    [(6, 8, []), (7, 8, ["BGW702"]), (8, 8, ["BGW702"]), (9, 8, ["BGW701"]), (9, 20, []), (1, 1, ["BGW702"])],
)
def test_slots(workers: int, most: int, expected: list[str]) -> None:
    shop = Shop()
    shop.deliver(workers=workers)
    assert codes(shop.shop, Target(max_worker_processes=most)) == expected


def test_slots_of_all_workers_together() -> None:
    shop = Shop()
    count = shop.shop.int_setting("count", 4, min=1, max=9, context="postmaster")
    shop.deliver(workers=count)
    shop.tidy()
    assert codes(shop.shop) == []
    shop.task(limit=4)
    assert codes(shop.shop) == ["BGW703"]
    shop.shop.interval_worker("more", every=hours(1), run=SELECT)
    assert codes(shop.shop, Target(max_worker_processes=5)) == ["BGW701"]


@pytest.mark.parametrize(
    ("types", "size"),
    [
        # 16 bytes of our own, values at their alignment, then the NULL flags, up to a multiple of the widest
        ((), 16), (("integer",), 24), (("bigint", "uuid", "boolean"), 72), (("regclass", "date", "timestamptz"), 40),
        (("text",), 28), (("integer[]",), 28), (("public.colour",), 28), (("integer", "text"), 32),
    ],
)  # fmt: skip
def test_bytes_of_arguments(types: tuple[str, ...], size: int) -> None:
    here = Origin.of_caller()
    args = arguments("task", {f"a{number}": each for number, each in enumerate(types)}, here)
    assert needed_bytes(args) == size


@pytest.mark.parametrize(("count", "expected"), [(12, []), (13, ["BGW704"])])
def test_room_for_arguments(count: int, expected: list[str]) -> None:
    shop = Shop()
    names = [f"a{number}" for number in range(count)]
    shop.task(args=dict.fromkeys(names, "bigint"), run=call("public.f", *names))
    assert codes(shop.shop) == expected


@pytest.mark.parametrize(("count", "expected"), [(100, []), (101, ["BGW705"])])
def test_arguments_of_functions(count: int, expected: list[str]) -> None:
    shop = Shop()
    shop.deliver(run=call("public.f", *["id"] * count))
    assert codes(shop.shop) == expected
