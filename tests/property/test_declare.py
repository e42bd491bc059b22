"""Hostile declarations: whatever is written, the outcome is a diagnostic or a value that keeps its promises."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgbgw import (
    Counter,
    DeclarationError,
    Duration,
    EnumOption,
    Extension,
    Gauge,
    Payload,
    SharedStats,
    Text,
    call,
    seconds,
    sql,
)
from pgbgw.check import Checked, check, check_file
from pgbgw.declare.naming import NAME_BYTES
from pgbgw.diagnostics import Diagnostic, collecting, render, to_json

# What breaks quoting in C, SQL, shells and terminals, and what can't be encoded.
HOSTILE = (
    "", '"', "'", "\\", "*/", "/*", "??/", "%s", "%n", "\n", "\r", "\0", "\t", "$$", "--", ";", "{}", "{{", "//%", "@{",
    "\x1b[2J", "\u202e", "é", "日本", "\N{PILE OF POO}", "\ud800", "\udfff", "select", "int", "pg_", "a" * 63, "ä" * 32,
    "_", "9", "A", ":", "::", ":a", "$1", "\N{COMBINING ACUTE ACCENT}", "\x7f", "\ufeff",
)  # fmt: skip

plain = st.from_regex(r"[a-z_][a-z0-9_]{0,70}", fullmatch=True)
hostile = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(codec=None), max_size=4), max_size=4).map("".join)
text = plain | hostile
anything = (
    text | st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=3)
    | st.lists(st.integers(), max_size=2) | st.builds(Duration, st.integers()) | st.just(sql("SELECT 1"))
)  # fmt: skip


class Mail(Payload):
    address: str


class Stats(SharedStats):
    sent = Counter()
    alive = Gauge()


def outcome(extension: Any) -> tuple[Checked | None, list[Diagnostic]]:
    checked = None
    with collecting() as found, suppress(DeclarationError):
        checked = check(extension)
    return checked, found


def printable(found: list[Diagnostic]) -> None:
    """Every diagnostic can be shown: to people, in lines that nothing breaks, and to scripts."""
    for each in found:
        shown = render(each)
        shown.encode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown)
        assert json.loads(json.dumps(to_json(each))) == to_json(each)


@given(name=text, schema=st.none() | text, comment=text, version=text, database=st.none() | text)
@example("shop", "\ud800", "*/", "1.0", "d")
def test_an_extension(name: str, schema: str | None, comment: str, version: str, database: str | None) -> None:
    with collecting() as found:
        shop = Extension(name, schema=schema, comment=comment, version=version, database=database)
    checked, more = outcome(shop)
    printable(found + more)
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", shop.name)
    for each in (shop.name, shop.schema, shop.database or "x"):
        assert 1 <= len(each.encode()) <= NAME_BYTES
    if not found and checked is not None:
        assert (shop.name, shop.comment, shop.version, shop.database) == (name, comment, version, database)


@given(st.lists(text, min_size=9, max_size=9))
def test_texts_of_everything(texts: list[str]) -> None:
    shop: Any
    with collecting() as found:
        shop = Extension("shop", database="shopdb")
        pause = shop.int_setting(texts[0], 10, min=1, unit="s", comment=texts[1], description=texts[2])
        shop.string_setting(texts[3], texts[4], comment=texts[5])
        shop.enum_setting(texts[6], texts[7], options=[texts[7], EnumOption(texts[8], hidden=True)])
        stats = shop.shared_stats(texts[1], Stats, function=texts[2], view=texts[3], columns={"sent": texts[4]})
        jobs = shop.queue(texts[5], Mail, table=texts[6], view=texts[7])
        shop.queue_worker(
            texts[0], jobs, run=sql(texts[8]), every=pause, title=texts[7], activity=texts[6], alive=stats.alive
        )
        shop.interval_worker(texts[1], every=pause, run=call(texts[2], texts[3]), role=texts[4])
        shop.dynamic_worker(texts[5], args={texts[6]: texts[7]}, run=sql(texts[8]), function=texts[0])
        shop.shutdown(request=texts[1], resume=texts[2])
    checked, more = outcome(shop)
    printable(found + more)
    assert (checked is None) == any(each.severity.value == "error" for each in more)
    for value in (*shop.settings, *shop.queues, *shop.workers, *shop.shared):
        assert re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value.name)
    for value in (*shop.settings, *shop.workers):
        for attribute in ("comment", "description", "title", "activity"):
            kept = getattr(value, attribute, "")
            assert "\0" not in kept
            kept.encode()


@given(st.dictionaries(st.sampled_from([
    "title", "database", "role", "start", "restart", "timeout", "when", "unless", "activity", "log_level",
    "main_argument", "alive", "on_done", "on_failed", "on_round", "workers", "batch", "every", "queue_of", "run",
]), anything, max_size=4))  # fmt: skip
def test_options_of_any_type(options: dict[str, Any]) -> None:
    shop: Any = Extension("shop", database="shopdb")
    with collecting() as found:
        given_options: dict[str, Any] = {"run": sql("SELECT 1"), "every": seconds(1)} | options
        shop.queue_worker("deliver", given_options.pop("queue_of", None), **given_options)
    printable(found + outcome(shop)[1])


@given(st.dictionaries(st.sampled_from(["default", "min", "max", "unit", "context", "comment"]), anything, max_size=4))
@pytest.mark.parametrize("kind", ["bool", "int", "real", "string", "enum"])
def test_settings_of_any_type(kind: str, options: dict[str, Any]) -> None:
    allowed = {"int": {"min", "max", "unit"}, "real": {"min", "max", "unit"}}.get(kind, set())
    kept = {name: value for name, value in options.items() if name in allowed | {"context", "comment"}}
    extra: dict[str, Any] = {"options": ["a", "b"]} if kind == "enum" else {}
    shop: Any = Extension("shop", database="shopdb")
    with collecting() as found:
        setting = getattr(shop, f"{kind}_setting")("pause", options.get("default", 1), **kept, **extra)
    printable(found + outcome(shop)[1])
    if kind in {"int", "real"} and not found:
        assert setting.min <= setting.default <= setting.max


@given(hostile, st.integers(-(2**70), 2**70), st.floats())
def test_values_of_actions(words: str, number: int, real: float) -> None:
    class Everything(Stats):
        note = Text(16)

    shop: Any = Extension("shop", database="shopdb")
    stats: Any = shop.shared_stats("all", Everything)
    actions = (stats.sent.add(number), stats.alive.set(real), stats.note.set(words))
    shop.interval_worker("tidy", every=seconds(1), run=sql("SELECT 1"), on_done=actions)
    printable(outcome(shop)[1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.lists(st.sampled_from([
    "from pgbgw import *", "shop = Extension('shop', database='d')", "shop = 1", "x = (", "class A(Payload): b: int",
    "shop.queue('q', A)", "shop.int_setting('s', 1, mni=2)", "shop.interval_worker('w', evry=seconds(1))", "1 / 0",
    "raise SystemExit", "assert False, '\\ud800\\x1b'", "other = Extension('other')", "\tpass", "del shop", "\0",
    "é = 1",
]), max_size=6))  # fmt: skip
def test_files(tmp_path: Path, source: list[str]) -> None:
    path = tmp_path / "shop.py"
    path.write_text("\n".join(source), encoding="utf-8")
    checked, found = check_file(path)
    printable(found)
    assert (checked is None) == any(each.severity.value == "error" for each in found)
