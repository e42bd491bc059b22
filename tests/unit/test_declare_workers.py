"""Declared workers: what constructors accept, refuse, and go on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pgbgw import NEVER, Counter, Extension, Payload, SharedStats, hours, milliseconds, seconds, sql
from pgbgw.declare.load import load
from pgbgw.declare.workers import WorkerOptions
from pgbgw.diagnostics import collecting


class Mail(Payload):
    address: str


class Stats(SharedStats):
    sent = Counter()


def extension() -> Any:
    """An extension without types, so that faulty calls type-check here."""
    return Extension("shop", database="shopdb")


def codes(declare: Callable[[], object]) -> list[str]:
    """The codes that a declaration reports."""
    with collecting() as found:
        declare()
    return [each.code for each in found]


def interval(**options: object) -> list[str]:
    given = {"every": seconds(1), "run": sql("SELECT 1")} | options
    return codes(lambda: extension().interval_worker("tidy", **given))


def queue_worker(**options: object) -> list[str]:
    shop = extension()
    mail = shop.queue("mail", Mail)
    return codes(lambda: shop.queue_worker("deliver", mail, **{"run": sql("SELECT 1")} | options))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"title": "A title", "activity": "at work", "log_level": "log"}, []),
        ({"title": "\0"}, ["BGW104"]),
        ({"activity": 3}, ["BGW104"]),
        ({"database": ""}, ["BGW103"]),
        ({"role": 3}, ["BGW413"]),
        ({"start": "later"}, ["BGW401"]),
        ({"log_level": "LOG"}, ["BGW402"]),
        ({"restart": NEVER}, []),
        ({"restart": seconds(0)}, []),
        ({"restart": hours(24_000)}, []),
        ({"restart": hours(24_001)}, ["BGW403"]),
        ({"restart": milliseconds(1500)}, ["BGW403"]),
        ({"restart": 10}, ["BGW403"]),
        ({"timeout": seconds(0)}, ["BGW403"]),
        ({"timeout": 10}, ["BGW403"]),
        ({"every": milliseconds(0.5)}, ["BGW403"]),
        ({"every": hours(24 * 25)}, ["BGW403"]),
        ({"every": None}, ["BGW403"]),
        ({"when": True}, ["BGW404"]),
        ({"main_argument": 2**31}, ["BGW405"]),
        ({"main_argument": True}, ["BGW405"]),
        ({"run": "SELECT 1"}, ["BGW406"]),
        ({"run": None}, ["BGW406"]),
        ({"on_done": 3}, ["BGW407"]),
        ({"on_failed": [None]}, ["BGW407"]),
        ({"alive": 3}, ["BGW413"]),
        ({"transaction": 1}, ["BGW413"]),
        ({"evry": 3}, ["BGW414"]),
    ],
)
def test_options_of_every_worker(options: dict[str, Any], expected: list[str]) -> None:
    assert interval(**options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"workers": 1024, "batch": 100_000}, []),
        ({"workers": 1025}, ["BGW408"]),
        ({"workers": "2"}, ["BGW408"]),
        ({"batch": 0}, ["BGW409"]),
        ({"batch": 100_001}, ["BGW409"]),
        ({"queue": "mail"}, None),
    ],
)
def test_options_of_queue_workers(options: dict[str, Any], expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(TypeError, match="multiple values"):
            queue_worker(**options)
    else:
        assert queue_worker(**options) == expected


def test_a_queue_worker_needs_a_queue() -> None:
    assert codes(lambda: extension().queue_worker("deliver", "mail", run=sql("SELECT 1"))) == ["BGW410"]


def test_workers_take_what_the_extension_says() -> None:
    shop = Extension("shop", database="shopdb", role="clerk")
    name = shop.string_setting("name", "x", context="postmaster")
    plain = shop.interval_worker("a", every=seconds(1), run=sql("SELECT 1"))
    own = shop.interval_worker("b", every=seconds(1), run=sql("SELECT 1"), database=name, role="boss", title="B")
    once = shop.dynamic_worker("c", run=sql("SELECT 1"))
    assert (plain.database, plain.role, plain.title) == ("shopdb", "clerk", "shop a")
    assert (own.database, own.role, own.title) == (name, "boss", "B")
    assert (once.database, once.role, once.restart, once.function) == (None, None, NEVER, "launch_c")
    assert [str(each) for each in shop.workers] == [
        'interval worker "a"', 'interval worker "b"', 'dynamic worker "c"',
    ]  # fmt: skip


def test_one_action_will_do_for_a_tuple() -> None:
    shop = Extension("shop", database="shopdb")
    stats = shop.shared_stats("shop", Stats)
    worker = shop.interval_worker("a", every=seconds(1), run=sql("SELECT 1"), on_done=stats.sent.add(1))
    assert worker.on_done == (stats.sent.add(1),)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"args": {"a": "integer", "b": "text[]"}}, []),
        ({"args": {"A": "integer"}}, ["BGW101"]),
        ({"args": {"a": "inte ger"}}, ["BGW211"]),
        ({"args": {"a": 3}}, ["BGW211"]),
        ({"limit": 0}, ["BGW411"]),
        ({"limit": 1.0}, ["BGW411"]),
        ({"function": "f" * 64}, ["BGW102"]),
        ({"notify": 0}, ["BGW413"]),
    ],
)
def test_options_of_dynamic_workers(options: dict[str, Any], expected: list[str]) -> None:
    assert codes(lambda: extension().dynamic_worker("task", run=sql("SELECT 1"), **options)) == expected


def test_a_c_worker_reads_its_source_beside_the_declaration(tmp_path: Path) -> None:
    (tmp_path / "sampler.c").write_text("void sampler(Datum main_arg) {}\n")
    path = tmp_path / "shop.py"
    path.write_text(
        'from pgbgw import Extension\nshop = Extension("shop")\nshop.c_worker("sampler", source="sampler.c")'
    )
    shop = load(path)
    assert shop is not None
    worker = cast(Any, shop.workers[0])
    assert (worker.source, worker.function, worker.text) == (
        "sampler.c",
        "sampler",
        "void sampler(Datum main_arg) {}\n",
    )


@pytest.mark.parametrize("source", ["no_such.c", "a b.c", "x.cpp", "..", "tests", "\0.c"])
def test_sources_that_can_not_be_used(source: str) -> None:
    assert set(codes(lambda: extension().c_worker("sampler", source=source))) == {"BGW412"}


def test_c_workers_take_a_function_that_c_can_name() -> None:
    assert "BGW101" in codes(lambda: extension().c_worker("a", source="x.c", function="f()"))


def test_the_options_are_told_in_one_place() -> None:
    fields = set(interval_fields())
    assert set(WorkerOptions.__annotations__) <= fields


def interval_fields() -> tuple[str, ...]:
    shop = extension()
    worker = shop.interval_worker("a", every=seconds(1), run=sql("SELECT 1"))
    return tuple(worker.__dataclass_fields__)
