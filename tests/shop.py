"""A declaration for the tests of rules: an extension with a queue and shared state, and what check says of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pgbgw import (
    Boolean,
    Counter,
    DeclarationError,
    Extension,
    Float,
    Gauge,
    Payload,
    SharedStats,
    Text,
    call,
    seconds,
    sql,
)
from pgbgw.check import Target, check
from pgbgw.diagnostics import Diagnostic, collecting

__all__ = ["SELECT", "Mail", "Shop", "Stats", "codes", "found"]

SELECT = sql("SELECT 1")


class Mail(Payload):
    address: str
    body: str | None


class Stats(SharedStats):
    sent = Counter()
    alive = Gauge()
    load = Float()
    paused = Boolean()
    note = Text(8)


class Shop:
    """An extension with a queue and shared state, without types, so that faulty calls type-check here."""

    def __init__(self, **options: Any) -> None:
        self.shop: Any = Extension("shop", **{"database": "shopdb"} | options)
        self.stats: Any = self.shop.shared_stats("mail", Stats)
        self.mail: Any = self.shop.queue("mail", Mail)

    def deliver(self, **options: Any) -> Any:
        return self.shop.queue_worker("deliver", self.mail, **{"run": call("public.f", "id")} | options)

    def tidy(self, **options: Any) -> Any:
        return self.shop.interval_worker("tidy", **{"every": seconds(60), "run": SELECT} | options)

    def task(self, **options: Any) -> Any:
        return self.shop.dynamic_worker("task", **{"run": SELECT} | options)


def found(extension: Extension, target: Target | None = None) -> list[Diagnostic]:
    with collecting() as diagnostics, suppress(DeclarationError):
        check(extension, target)
    return [each for each in diagnostics if each.code != "BGW506"]


def codes(extension: Extension, target: Target | None = None) -> list[str]:
    return [each.code for each in found(extension, target)]
