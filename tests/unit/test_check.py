"""Rules over whole declarations; what each prints is in tests/errors."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgbgw import (
    DeclarationError,
    Extension,
    call,
    seconds,
    sql,
)
from pgbgw.check import Checked, Target, check, check_file, checker
from pgbgw.diagnostics import render
from tests.shop import SELECT, Mail, Shop, Stats, codes

ROOT = Path(__file__).parents[2]
# The value, and the order of things


def test_a_sound_extension_is_checked() -> None:
    shop = Shop()
    shop.deliver()
    checked = check(shop.shop)
    assert (checked.extension, checked.target) == (shop.shop, Target())


def test_nobody_else_makes_a_checked() -> None:
    with pytest.raises(TypeError, match="by check"):
        Checked(Extension("shop"), Target(), object())


def test_all_errors_are_raised_at_once() -> None:
    shop = Shop(database=None)
    shop.tidy(run=sql("SELEC 1"))
    with pytest.raises(DeclarationError) as raised:
        check(shop.shop)
    assert [each.code for each in raised.value.diagnostics] == ["BGW201", "BGW420"]
    assert "error[BGW201]" in str(raised.value)
    assert "error[BGW420]" in str(raised.value)


def test_every_rule_is_registered() -> None:
    rules = set()
    for path in (ROOT / "pgbgw/check").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and [arg.arg for arg in node.args.args] == ["extension", "target"]:
                rules.add(node.name)
    assert rules - {"check"} == {rule.__name__ for rule in checker.RULES}


def test_a_file_is_told_in_order_and_once(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text(
        "from pgbgw import Extension, seconds, sql\n"
        'shop = Extension("shop", database="shopdb")\n'
        'broken = sql("SELEC 1")\n'
        "for _ in range(2):\n"
        '    shop.interval_worker("tidy", every=seconds(0), run=broken)\n'
    )
    checked, diagnostics = check_file(path)
    places = [(each.code, each.origin.line) for each in diagnostics if each.origin is not None]
    assert checked is None
    assert places == [("BGW201", 3), ("BGW107", 5), ("BGW403", 5)]


def test_a_file_that_stopped_is_not_checked_further(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text('from pgbgw import Extension\nshop = Extension("shop")\nshop.bool_setting("idle", True)\n1 / 0\n')
    assert [each.code for each in check_file(path)[1]] == ["BGW003"]


def test_warnings_do_not_stop(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text('from pgbgw import Extension\nshop = Extension("shop")\nshop.bool_setting("idle", True)\n')
    checked, diagnostics = check_file(path)
    assert checked is not None
    assert [each.code for each in diagnostics] == ["BGW312"]


def test_the_first_scenario_is_sound() -> None:
    checked, diagnostics = check_file(ROOT / "examples/my_worker.py")
    assert [render(each) for each in diagnostics] == []
    assert checked is not None


# Names


@pytest.mark.parametrize(
    "declare",
    [
        lambda it: it.shop.shared_stats("post", Stats, function="get_mail_stats"),
        lambda it: it.shop.shared_stats("post", Stats, view="mail_status"),
        lambda it: it.shop.shared_stats("post", Stats, view="mail"),
        lambda it: it.shop.shared_stats("post", Stats, view="mail_id_seq"),
        lambda it: it.shop.queue("mail_failed", Mail),
        lambda it: it.shop.queue("post", Mail, table="mail"),
        lambda it: it.shop.queue("post", Mail, view="mail_later_run_at_idx"),
        lambda it: it.shop.queue("post", Mail, view="post"),
        lambda it: it.task(function="resume"),
        lambda it: it.task(function="mail_wake"),
        lambda it: it.task(function="mail_later_wake"),
        lambda it: it.task(function="shop_announce"),
        lambda it: it.task(function="workers"),
        lambda it: it.shop.shutdown(request="get_mail_stats"),
        lambda it: it.shop.shutdown(request="stop", resume="stop"),
    ],
)
def test_sql_objects_of_one_name(declare: Callable[[Shop], object]) -> None:
    shop = Shop()
    declare(shop)
    assert codes(shop.shop) == ["BGW108"]


def test_a_function_and_a_table_may_share_a_name() -> None:
    shop = Shop()
    shop.task(function="mail")
    assert codes(shop.shop) == []


@pytest.mark.parametrize(("length", "expected"), [(46, []), (47, ["BGW109"]), (63, ["BGW109"])])
def test_lengths_of_names_made_from_others(length: int, expected: list[str]) -> None:
    shop = Shop()
    shop.shop.queue("q", Mail, table="t" * length)
    assert codes(shop.shop) == expected


@pytest.mark.parametrize(
    ("kind", "word", "reserved"),
    [
        ("setting", "select", True), ("setting", "left", True), ("setting", "values", False),
        ("argument", "user", True), ("argument", "time", True), ("argument", "left", False), ("argument", "key", False),
        ("queue", "order", True), ("queue", "values", False),
    ],
)  # fmt: skip
def test_reserved_words(kind: str, word: str, reserved: bool) -> None:
    shop = Shop()
    match kind:
        case "setting":
            shop.tidy(when=shop.shop.bool_setting(word, True))
        case "argument":
            shop.task(args={word: "integer"}, run=call("public.f", word))
        case _:
            shop.shop.queue(word, Mail)
    assert codes(shop.shop) == (["BGW110"] if reserved else [])


def test_an_extension_is_no_reserved_word() -> None:
    assert codes(Extension("table")) == ["BGW110"]


@pytest.mark.parametrize(
    ("title", "workers", "expected"),
    [("t" * 95, 1, []), ("t" * 96, 1, ["BGW111"]), ("t" * 93, 2, []), ("t" * 94, 2, ["BGW111"]),
     ("ä" * 48, 1, ["BGW111"])],
)  # fmt: skip
def test_titles(title: str, workers: int, expected: list[str]) -> None:
    shop = Shop()
    shop.deliver(title=title, workers=workers)
    assert codes(shop.shop) == expected


def test_a_title_is_counted_with_the_largest_number_of_its_setting() -> None:
    shop = Shop()
    count = shop.shop.int_setting("count", 1, min=1, max=100, context="postmaster")
    shop.deliver(title="t" * 92, workers=count)
    assert codes(shop.shop) == ["BGW111"]


# Settings


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("internal", "BGW308"), ("postmaster", "BGW309"), ("sighup", None), ("superuser-backend", "BGW308"),
        ("backend", "BGW308"), ("superuser", "BGW308"), ("user", "BGW308"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("option", ["when", "unless", "batch", "every", "timeout", ":pace"])
def test_contexts_of_what_is_read_in_the_loop(context: str, expected: str | None, option: str) -> None:
    shop = Shop()
    if option in {"when", "unless"}:
        shop.deliver(**{option: shop.shop.bool_setting("pace", True, context=context)})
    elif option == ":pace":
        shop.shop.real_setting("pace", 1.0, context=context)
        shop.deliver(run=sql("SELECT :pace"))
    else:
        unit = None if option == "batch" else "s"
        shop.deliver(**{option: shop.shop.int_setting("pace", 5, min=1, max=9, unit=unit, context=context)})
    assert codes(shop.shop) == ([expected] if expected else [])


@pytest.mark.parametrize("context", ["internal", "sighup", "backend", "user"])
@pytest.mark.parametrize("option", ["database", "role", "workers", "limit"])
def test_contexts_of_what_is_read_once(context: str, option: str) -> None:
    shop = Shop()
    if option in {"database", "role"}:
        shop.tidy(**{option: shop.shop.string_setting("pace", "x", context=context)})
    elif option == "workers":
        shop.deliver(workers=shop.shop.int_setting("pace", 2, min=1, max=9, context=context))
    else:
        shop.task(limit=shop.shop.int_setting("pace", 2, min=1, max=9, context=context))
    assert codes(shop.shop) == ["BGW307"]


def test_a_setting_that_is_read_once_and_in_the_loop_is_postmaster() -> None:
    shop = Shop()
    both = shop.shop.int_setting("size", 2, min=1, max=9, context="postmaster")
    shop.deliver(batch=both, workers=both)
    assert codes(shop.shop) == []


def test_a_column_wins_over_a_setting_of_its_name() -> None:
    shop = Shop()
    shop.shop.string_setting("body", "x", context="user")
    shop.deliver(run=call("public.f", "body"))
    assert codes(shop.shop) == ["BGW312"]


@pytest.mark.parametrize(
    ("option", "low", "high", "unit", "expected"),
    [
        ("every", 1, 2**31 - 1, "ms", []),
        ("every", 0, 10, "s", ["BGW311"]),
        ("every", 1, 10, "kB", ["BGW310"]),
        ("every", 1, 10, None, ["BGW310"]),
        ("timeout", 0, 10, "min", []),
        ("timeout", -1, 10, "min", ["BGW311"]),
        ("timeout", 0, 10, None, ["BGW310"]),
        ("batch", 1, 100_000, None, []),
        ("batch", 0, 100_001, None, ["BGW311", "BGW311"]),
        ("batch", 1, 10, "ms", ["BGW310"]),
    ],
)
def test_units_and_limits(option: str, low: int, high: int, unit: str | None, expected: list[str]) -> None:
    shop = Shop()
    shop.deliver(**{option: shop.shop.int_setting("pace", 5, min=low, max=high, unit=unit)})
    assert codes(shop.shop) == expected


@pytest.mark.parametrize(("low", "unit", "expected"), [(0.001, "s", []), (0.0009, "s", ["BGW311"]), (1, "ms", [])])
def test_an_interval_is_a_millisecond_at_least(low: float, unit: str, expected: list[str]) -> None:
    shop = Shop()
    shop.tidy(every=shop.shop.real_setting("pace", 5.0, min=low, unit=unit))
    assert codes(shop.shop) == expected


@pytest.mark.parametrize("default", [None, ""])
def test_a_database_by_setting_has_a_default(default: str | None) -> None:
    shop = Shop()
    shop.tidy(database=shop.shop.string_setting("pace", default, context="postmaster"))
    assert codes(shop.shop) == ["BGW313"]


@pytest.mark.parametrize(("majors", "expected"), [((15, 16), ["BGW314"]), ((16, 17), []), ((18,), [])])
def test_flags_by_major(majors: tuple[int, ...], expected: list[str]) -> None:
    shop = Shop()
    shop.tidy(when=shop.shop.bool_setting("pace", True, flags=["no_reset"]))
    assert codes(shop.shop, Target(majors=majors)) == expected


# SQL


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELEC 1", "BGW201"), ("SELECT 'a", "BGW201"), ("SELECT\0 1", "BGW201"), ("", "BGW202"), ("-- x", "BGW202"),
        ("SELECT 1; SELECT 2", "BGW202"), ("BEGIN", "BGW203"), ("SAVEPOINT a", "BGW203"), ("VACUUM", "BGW204"),
        ("CREATE DATABASE x", "BGW204"), ("SELECT $1", "BGW205"), ("LISTEN a", "BGW206"),
        ("COPY a FROM STDIN", "BGW206"),
        ("SELECT :nothing", "BGW207"), ("VACUUM (PARALLEL :n)", "BGW208"), ("SELECT :main_argument", None),
        ("SELECT :id, :attempt, :created_at, :body", None), ("SELECT 1;", None),
    ],
)  # fmt: skip
def test_statements(text: str, code: str | None) -> None:
    shop = Shop()
    shop.deliver(run=sql(text))
    found_codes = codes(shop.shop)
    # A parameter in VACUUM is a syntax error to one grammar, and a misplaced parameter to the next.
    assert found_codes == ([code] if code else []) or (code == "BGW208" and found_codes == ["BGW201"])


def test_outside_a_transaction_block() -> None:
    shop = Shop()
    shop.tidy(run=sql("VACUUM"), transaction=False)
    shop.task(run=sql("SELECT 1"), transaction=False)
    assert codes(shop.shop) == []


def test_sources_of_parameters() -> None:
    shop = Shop()
    shop.shop.enum_setting("mode", "a", options=["a"])
    shop.task(args={"size": "integer"}, run=sql("SELECT :size, :mode, :id"))
    assert codes(shop.shop) == ["BGW312", "BGW207", "BGW207"]


# Workers


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("tidy", {"start": "postmaster"}, ["BGW421"]),
        ("deliver", {"start": "postmaster"}, ["BGW421"]),
        ("tidy", {"start": "consistent"}, []),
        ("tidy", {"start": "consistent", "run": sql("SELECT 1 FROM a FOR UPDATE")}, ["BGW422"]),
        ("tidy", {"start": "consistent", "run": call("public.f")}, []),
        ("deliver", {"start": "consistent"}, ["BGW422"]),
        ("task", {"start": "consistent", "run": sql("DELETE FROM a")}, ["BGW422"]),
        ("task", {"start": "postmaster"}, ["BGW423"]),
        ("task", {"restart": seconds(1)}, ["BGW423"]),
        ("task", {"database": "x", "role": "y"}, ["BGW423", "BGW423"]),
    ],
)
def test_start_times_and_options(kind: str, options: dict[str, Any], expected: list[str]) -> None:
    shop = Shop()
    getattr(shop, kind)(**options)
    assert codes(shop.shop) == expected


def test_switches_and_rounds_of_a_dynamic_worker() -> None:
    shop = Shop()
    switch = shop.shop.bool_setting("switch", True)
    shop.task(when=switch, unless=switch, on_round=shop.stats.sent.add(1), on_done=shop.stats.sent.add(1))
    assert codes(shop.shop) == ["BGW423"] * 3


def test_who_needs_a_database(tmp_path: Path) -> None:
    source = tmp_path / "sampler.c"
    source.write_text("void sampler(Datum main_arg) {}\n")
    shop = Shop(database=None)
    shop.task()
    shop.shop.c_worker("sampler", source=str(source), start="postmaster")
    assert codes(shop.shop) == []
    shop.shop.c_worker("sampling", source=str(source), function="sampler", sql=True, start="postmaster")
    assert codes(shop.shop) == ["BGW420", "BGW421"]


def test_two_c_workers_may_share_a_file_and_a_function(tmp_path: Path) -> None:
    source = tmp_path / "sampler.c"
    source.write_text("void sampler(Datum main_arg) {}\n")
    shop = Shop()
    for number in range(2):
        shop.shop.c_worker(f"s{number}", source=str(source), function="sampler", main_argument=number)
    assert codes(shop.shop) == []
    other = tmp_path / "more" / "sampler.c"
    other.parent.mkdir()
    other.write_text("void sampler(Datum main_arg) { }\n")
    shop.shop.c_worker("s3", source=str(other), function="sampler")
    assert codes(shop.shop) == ["BGW415"]


@pytest.mark.parametrize("name", ["module.c", "queue.c", "worker_x.c"])
def test_a_c_source_keeps_off_emitted_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("void sampler(Datum main_arg) {}\n")
    shop = Shop()
    shop.shop.c_worker("sampler", source=str(tmp_path / name))
    assert codes(shop.shop) == ["BGW415"]


def test_values_of_another_extension() -> None:
    shop, other = Shop(), Shop()
    switch = other.shop.bool_setting("switch", True)
    shop.tidy(when=switch, alive=other.stats.alive, on_done=other.stats.sent.add(1))
    shop.shop.queue_worker("deliver", other.mail, run=SELECT)
    shop.shop.shutdown(flag=other.stats.paused)
    assert codes(shop.shop) == ["BGW424"] * 5


@pytest.mark.parametrize(
    ("data", "place", "what"),
    [
        (b"x = 1\n# caf\xe9\n", (2, 6), "byte 0xe9 is not utf-8"),
        (b"# \xe9\nx = 1\n", (1, 3), "byte 0xe9 is not utf-8"),
        (b"x = 1\ny = 2  # a\0b\n", (2, 11), "NUL character"),
    ],
)
def test_bytes_that_python_refuses_in_a_file(tmp_path: Path, data: bytes, place: tuple[int, int], what: str) -> None:
    """compile() overlooks the first two, and does not place the third."""
    path = tmp_path / "shop.py"
    path.write_bytes(b'from pgbgw import Extension\nshop = Extension("shop")\n' + data)
    _, found = check_file(path)
    origin = found[0].origin
    assert [each.code for each in found] == ["BGW002"]
    assert origin is not None
    assert (origin.line - 2, origin.column) == place
    assert what in found[0].message


def test_a_file_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_bytes(b'# coding: latin-1\nfrom pgbgw import Extension\nshop = Extension("shop")  # caf\xe9\n')
    checked, found = check_file(path)
    assert (checked is not None, found) == (True, [])


def test_settings_are_not_called_unused_while_sql_does_not_parse() -> None:
    shop = Shop()
    shop.shop.string_setting("label", "a")
    shop.tidy(run=sql("INSERT public.notes VALUES (:label)"))
    assert codes(shop.shop) == ["BGW201"]
    shop = Shop()
    shop.shop.string_setting("label", "a")
    shop.tidy(run=sql("INSERT INTO public.notes VALUES (1)"))
    assert codes(shop.shop) == ["BGW312"]
