"""The middle form: its text is stable, and its verifier finds what the lowering must never make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any

import pytest

from pgbgw import Counter, Extension, Payload, SharedStats, call, seconds, sql
from pgbgw.check import check
from pgbgw.ir import model
from pgbgw.ir.dump import dump
from pgbgw.ir.model import FunctionIR, ModuleIR, SourceIR
from pgbgw.ir.verify import InvariantError, verify
from pgbgw.lower import lower


class Mail(Payload):
    address: str


class State(SharedStats):
    sent = Counter("Mails sent.")


@pytest.fixture
def module() -> ModuleIR:
    shop = Extension("shop", database="shopdb")
    state = shop.shared_stats("state", State)
    shop.int_setting("pause", 10, min=1, max=60, unit="s")
    mail = shop.queue("mail", Mail)
    shop.queue_worker("deliver", mail, run=call("public.f", "address"), on_done=state.sent.add())
    shop.interval_worker("tidy", every=seconds(1), run=sql("SELECT 1"))
    shop.dynamic_worker("task", args={"id": "bigint"}, run=call("public.g", "id"))
    return lower(check(shop))


def test_what_is_lowered_holds_together(module: ModuleIR) -> None:
    assert verify(module) is module


def test_every_class_is_frozen() -> None:
    classes = [value for value in vars(model).values() if isinstance(value, type) and is_dataclass(value)]
    assert len(classes) > 15
    assert [each.__name__ for each in classes if not each.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


def test_a_value_can_not_be_changed(module: ModuleIR) -> None:
    with pytest.raises(FrozenInstanceError):
        module.name = "other"  # type: ignore[misc]


def test_dump_has_every_field_and_no_path(module: ModuleIR) -> None:
    text = dump(module)
    assert text == dump(module)
    assert text.startswith("module: ModuleIR\n  name: 'shop'\n  version: '1.0'\n")
    assert "/" not in text.replace("'/'", "")
    for field in fields(module):
        assert f"\n  {field.name}:" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("origin:"))
    assert line.split(":")[1:] == [f" {module.origin.line}", str(module.origin.column)]


def test_dump_shows_each_level() -> None:
    value: Any = (SourceIR("a\nb"), ("x",), (), None)
    shop = Extension("shop")
    text = dump(replace(lower(check(shop)), databases=value))
    start = text.index("  databases:")
    assert text[start:].splitlines() == [
        "  databases:",
        "    0: SourceIR",
        "      value: 'a\\nb'",
        "      variable: None",
        "    1:",
        "      0: 'x'",
        "    2: ()",
        "    3: None",
    ]


def _queue(module: ModuleIR, **changes: Any) -> ModuleIR:
    return replace(module, queues=(replace(module.queues[0], **changes),))


def _worker(module: ModuleIR, number: int, **changes: Any) -> ModuleIR:
    workers = list(module.workers)
    workers[number] = replace(workers[number], **changes)
    return replace(module, workers=tuple(workers))


BROKEN: dict[str, tuple[Callable[[Any], ModuleIR], str]] = {
    "two files of a name": (lambda m: _worker(m, 0, file=m.workers[1].file), "file stands there twice"),
    "two functions": (
        lambda m: replace(m, resume=replace(m.resume, name=m.announce.name)),
        "SQL function stands there twice",
    ),
    "two symbols": (lambda m: _worker(m, 0, symbol=m.workers[1].symbol), "C symbol stands there twice"),
    "two types": (lambda m: _worker(m, 2, launch_struct=m.types["launch"]), "C type stands there twice"),
    "no identifier": (lambda m: _worker(m, 0, symbol="a-b"), "C identifier 'a-b'"),
    "numbers of queues": (lambda m: _queue(m, number=1), "queue mail is number 0, not 1"),
    "no back-off": (lambda m: _queue(m, backoff_us=0), "back-off of queue mail"),
    "limit below the first": (lambda m: _queue(m, backoff_limit_us=1), "back-off of queue mail"),
    "a foreign queue": (lambda m: replace(m, queues=()), "queue of deliver"),
    "no database": (lambda m: _worker(m, 1, database=SourceIR(None)), "database of tidy"),
    "a database for nothing": (lambda m: _worker(m, 2, database=SourceIR("x")), "database of task"),
    "no launch": (lambda m: _worker(m, 2, launch=None), "launch function of task"),
    "a launch for nothing": (lambda m: _worker(m, 1, launch=FunctionIR("shop.f", "shop_f")), "launch function of tidy"),
    "a dynamic worker that restarts": (lambda m: _worker(m, 2, restart=1), "restart of task"),
    "nowhere to count": (lambda m: replace(m, shared=()), "action of deliver"),
    "a column too far": (
        lambda m: _worker(
            m, 0, body=replace(m.workers[0].body, run=replace(
                m.workers[0].body.run, parameters=(replace(m.workers[0].body.run.parameters[0], index=5),)
            )),
        ),
        "parameters of deliver",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_faults_are_found(module: ModuleIR, fault: str) -> None:
    breaking, message = BROKEN[fault]
    with pytest.raises(InvariantError, match=message):
        verify(breaking(module))
