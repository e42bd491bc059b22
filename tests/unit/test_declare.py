"""Declared values: what constructors accept, refuse, and go on with."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, cast

import pytest

from pgbgw import (
    NEVER,
    Boolean,
    Counter,
    DeclarationError,
    Duration,
    EnumOption,
    Extension,
    Float,
    Gauge,
    Integer,
    Json,
    Payload,
    SharedStats,
    Text,
    Timestamp,
    call,
    hours,
    milliseconds,
    minutes,
    seconds,
    sql,
)
from pgbgw.declare import derived
from pgbgw.declare.places import shown
from pgbgw.declare.settings import EnumSetting, IntSetting
from pgbgw.diagnostics import collecting


class Mail(Payload):
    address: str
    body: str | None


class Stats(SharedStats):
    sent = Counter("Sent.")
    alive = Gauge("Alive.")
    paused = Boolean()


def extension() -> Any:
    """An extension without types, so that faulty calls type-check here."""
    return Extension("shop", database="shopdb")


def codes(declare: Callable[[], object]) -> list[str]:
    """The codes that a declaration reports."""
    with collecting() as found:
        declare()
    return [each.code for each in found]


def setting_of(kind: str, *args: object, **options: object) -> list[str]:
    return codes(lambda: getattr(extension(), f"{kind}_setting")(*args, **options))


# Names and texts


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("shop", None), ("_s1", None), ("a" * 63, None),
        ("", "BGW101"), ("Shop", "BGW101"), ("1shop", "BGW101"), ("sh-op", "BGW101"), ("shöp", "BGW101"),
        ("shop\n", "BGW101"), (None, "BGW101"), (b"shop", "BGW101"), ("a" * 64, "BGW102"), ("pg_shop", "BGW106"),
    ],
)  # fmt: skip
def test_name_of_an_extension(name: Any, code: str | None) -> None:
    assert codes(lambda: Extension(name)) == ([code] if code else [])


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ("public", None), ("My Schema", None), ("ä" * 31, None), ("ä" * 32, "BGW102"), ("", "BGW103"),
        ("a\0", "BGW103"), ("\ud800", "BGW103"), (7, "BGW103"), ("pg_x", "BGW106"), ("information_schema", "BGW106"),
    ],
)  # fmt: skip
def test_name_of_a_schema(schema: Any, code: str | None) -> None:
    assert codes(lambda: Extension("shop", schema=schema)) == ([code] if code else [])


@pytest.mark.parametrize(
    ("version", "sound"),
    [("1.0", True), ("2", True), ("1.0-beta", True), ("1--2", False), ("-1", False), ("1-", False), ("", False),
     ("1/2", False), ("1 2", False), (1.0, False), ("../1", False)],
)  # fmt: skip
def test_version(version: Any, sound: bool) -> None:
    assert codes(lambda: Extension("shop", version=version)) == ([] if sound else ["BGW105"])


def test_a_faulty_name_is_replaced_by_one_that_works() -> None:
    with collecting():
        shop = Extension("Sh op!")
    assert (shop.name, shop.schema) == ("sh_op", "sh_op")


@pytest.mark.parametrize("comment", ["a\0b", "\udc80", None, 3])
def test_texts_that_c_can_not_hold(comment: Any) -> None:
    with collecting() as found:
        shop = Extension("shop", comment=comment)
    assert ([each.code for each in found], shop.comment) == (["BGW104"], "")


def test_without_a_collector_the_first_fault_is_raised() -> None:
    with pytest.raises(DeclarationError, match="BGW101"):
        Extension("Shop")


def test_names_of_the_shutdown_have_a_prefix_in_a_shared_schema() -> None:
    assert Extension("shop").stop.request == "request_shutdown"
    shop = Extension("shop", schema="public")
    assert (shop.stop.request, shop.stop.resume) == ("shop_request_shutdown", "shop_resume")
    assert derived.extension_functions(shop) == (
        "shop_announce", "shop_workers", "shop_request_shutdown", "shop_resume",
    )  # fmt: skip


def test_names_of_the_shutdown_can_be_chosen() -> None:
    shop = extension()
    stats = shop.shared_stats("shop", Stats)
    stop = shop.shutdown(flag=stats.paused, request="halt")
    assert (stop.request, stop.resume, stop.flag) == ("halt", "resume", stats.paused)
    assert codes(lambda: shop.shutdown(flag=stats.sent)) == ["BGW413"]
    assert codes(lambda: shop.shutdown(request="")) == ["BGW103"]


# Durations


@pytest.mark.parametrize(
    ("duration", "us", "text"),
    [
        (milliseconds(1), 1_000, "1 ms"), (seconds(0.5), 500_000, "500 ms"), (seconds(90), 90_000_000, "90 s"),
        (minutes(2), 120_000_000, "2 min"), (hours(1), 3_600_000_000, "1 h"), (Duration(1), 1, "1 us"),
        (seconds(0), 0, "0 us"),
    ],
)  # fmt: skip
def test_durations(duration: Duration, us: int, text: str) -> None:
    assert (duration.us, str(duration)) == (us, text)


@pytest.mark.parametrize("count", ["10", None, float("nan"), float("inf"), True, 1j])
def test_a_duration_of_no_number(count: Any) -> None:
    assert codes(lambda: seconds(count)) == ["BGW403"]


# Settings


@pytest.mark.parametrize(
    ("kind", "args", "options", "expected"),
    [
        ("bool", ("s", True), {}, []),
        ("bool", ("s", 1), {}, ["BGW303"]),
        ("int", ("s", 5), {"min": 5, "max": 5, "unit": "8kB"}, []),
        ("int", ("s", True), {}, ["BGW303"]),
        ("int", ("s", 2**31), {}, ["BGW303"]),
        ("int", ("s", 1), {"max": 2**31}, ["BGW303"]),
        ("int", ("s", 1.5), {}, ["BGW303"]),
        ("int", ("s", 1), {"min": 2}, ["BGW306"]),
        ("int", ("s", 1), {"min": 2, "max": 0}, ["BGW306"]),
        ("int", ("s", 1), {"unit": "h"}, ["BGW304"]),
        ("real", ("s", 1), {"unit": "s"}, []),
        ("real", ("s", float("nan")), {}, ["BGW303"]),
        ("real", ("s", 10**400), {}, ["BGW303"]),
        ("real", ("s", -0.5), {}, ["BGW306"]),
        ("string", ("s", None), {}, []),
        ("string", ("s", 'a"\\'), {}, []),
        ("string", ("s", b"a"), {}, ["BGW303"]),
        ("string", ("s", "a\0"), {}, ["BGW104"]),
        ("enum", ("s", "a"), {"options": ["a", EnumOption("b", hidden=True)]}, []),
        ("enum", ("s", "c"), {"options": ["a"]}, ["BGW303"]),
        ("enum", ("s", "a"), {"options": []}, ["BGW305"]),
        ("enum", ("s", "a"), {"options": ["a", "A", "a"]}, ["BGW305"]),
        ("enum", ("s", "a"), {"options": ["a", 3]}, ["BGW104"]),
        ("bool", ("s", True), {"context": "reload"}, ["BGW301"]),
        ("bool", ("s", True), {"context": None}, ["BGW301"]),
        ("bool", ("s", True), {"flags": "no_reset"}, []),
        ("bool", ("s", True), {"flags": ["x", "report", "list_quote"]}, ["BGW302", "BGW302"]),
        ("bool", ("S", True), {"comment": "\0", "description": "\0"}, ["BGW101", "BGW104", "BGW104"]),
    ],
)
def test_settings(kind: str, args: tuple[Any, ...], options: dict[str, Any], expected: list[str]) -> None:
    assert setting_of(kind, *args, **options) == expected


def test_a_setting_knows_its_names_and_its_place() -> None:
    shop = Extension("shop")
    pause = shop.int_setting("pause", 10, min=1, unit="s")
    assert (pause.qualified, str(pause), pause.extension) == ("shop.pause", 'setting "pause"', shop)
    assert pause.origin.path == __file__
    assert shop.settings == [pause]


def test_faulty_settings_hold_values_of_their_type() -> None:
    shop = extension()
    with collecting():
        number = shop.int_setting("a", "x", max="y", context="z", unit="w")
        word = shop.enum_setting("b", "x", options=["u", "v"])
    assert isinstance(number, IntSetting)
    assert (number.default, number.max, number.context, number.unit) == (0, 0, "sighup", None)
    assert isinstance(word, EnumSetting)
    assert word.default == "u"


# Shared state


def test_handles_make_actions() -> None:
    class Full(Stats):
        level = Integer()
        load = Float()
        last = Timestamp()
        note = Text(20)

    stats = Extension("shop").shared_stats("full", Full)
    actions = [
        stats.sent.add(), stats.alive.add(-1), stats.level.set(3), stats.load.add(0.5), stats.paused.set(True),
        stats.last.now(), stats.note.set("x"), stats.note.report(),
    ]  # fmt: skip
    assert [(each.target.field, each.operation, each.value) for each in actions] == [
        ("sent", "add", 1), ("alive", "add", -1), ("level", "set", 3), ("load", "add", 0.5), ("paused", "set", True),
        ("last", "now", None), ("note", "set", "x"), ("note", "report", None),
    ]  # fmt: skip
    assert str(actions[0]) == "sent.add(1)"
    assert Full.sent.comment == "Sent."


def test_what_is_shown_of_shared_state() -> None:
    shop = extension()
    shop.shared_stats("a", Stats)
    shop.shared_stats("b", Stats, function="show", view="V w", columns={"sent": "mails sent"})
    first, second = shop.shared
    assert (first.function, first.view, [c for _, c in first.columns]) == (
        "get_a_stats", "a_status", ["sent", "alive", "paused"],
    )  # fmt: skip
    assert (second.function, second.view, second.columns) == ("show", "V w", (("sent", "mails sent"),))
    assert first.stats is not second.stats


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"columns": "sent"}, []),
        ({"columns": ["sen"]}, ["BGW603"]),
        ({"columns": [3]}, ["BGW603"]),
        ({"columns": ["sent", "sent"]}, ["BGW604"]),
        ({"columns": {"sent": "x", "alive": "x"}}, ["BGW604"]),
        ({"columns": {"sent": ""}}, ["BGW103"]),
        ({"function": ""}, ["BGW103"]),
        ({"view": "v" * 64}, ["BGW102"]),
    ],
)
def test_options_of_shared_state(options: dict[str, Any], expected: list[str]) -> None:
    assert codes(lambda: extension().shared_stats("a", Stats, **options)) == expected


@pytest.mark.parametrize("fields", [Mail, dict, Stats.sent, 3, Stats()])
def test_shared_state_needs_its_own_kind_of_class(fields: Any) -> None:
    assert "BGW602" in codes(lambda: extension().shared_stats("a", fields))


@pytest.mark.parametrize("size", [1, 0, 8193, "20", True, 2.0])
def test_size_of_a_text(size: Any) -> None:
    assert codes(lambda: Text(size)) == ["BGW601"]


def test_a_field_has_one_name() -> None:
    def declare() -> None:
        class Twice(SharedStats):
            a = b = Counter()

        class Again(SharedStats):
            a = Twice.a

        assert Again.a is Twice.b

    assert codes(declare) == ["BGW608", "BGW608"]
    with pytest.raises(DeclarationError, match=r"Twice\.a and as Twice\.b"):
        declare()


def test_names_and_comments_of_fields() -> None:
    class Odd(SharedStats):
        Sent = Counter("a\0b")

    assert codes(lambda: extension().shared_stats("a", Odd)) == ["BGW101", "BGW104"]


# Queues and payloads


class Everything(Payload):
    a: str
    b: int | None
    c: float
    d: bool
    e: bytes
    f: decimal.Decimal
    g: datetime.datetime
    h: datetime.date
    i: datetime.time
    j: datetime.timedelta
    k: uuid.UUID
    m: Json
    n: Json | None
    o: Annotated[int, "integer"]
    p: Annotated[list[int], "int4[]"] | None
    q: Annotated[int, 3, "public.colour"] = 1
    kept: ClassVar[int] = 3
    _private: int = 4


def test_types_of_columns() -> None:
    queue = Extension("shop").queue("every", Everything)
    assert [(each.name, each.type.sql, each.nullable) for each in queue.columns] == [
        ("a", "text", False), ("b", "bigint", True), ("c", "double precision", False), ("d", "boolean", False),
        ("e", "bytea", False), ("f", "numeric", False), ("g", "timestamp with time zone", False),
        ("h", "date", False), ("i", "time without time zone", False), ("j", "interval", False),
        ("k", "uuid", False), ("m", "jsonb", False), ("n", "jsonb", True), ("o", "integer", False),
        ("p", "integer[]", True), ("q", "public.colour", False),
    ]  # fmt: skip


def test_payloads_derive_and_compare() -> None:
    class Letter(Mail):
        stamp: int = 1

    letter = Letter(address="a", body=None)
    assert letter == Letter(address="a", body=None)
    assert letter != Letter(address="b", body=None)
    assert letter != Mail(address="a", body=None)
    assert repr(Mail(address="a", body="b")) == "Mail(address='a', body='b')"
    columns = Extension("shop").queue("letters", Letter).columns
    assert [each.name for each in columns] == ["address", "body", "stamp"]


@pytest.mark.parametrize("values", [{}, {"address": "a"}, {"address": "a", "body": "b", "colour": 1}])
def test_a_payload_takes_its_fields(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="its fields are address, body"):
        Mail(**values)


def test_names_of_a_queue() -> None:
    shop = Extension("shop")
    plain, chosen = shop.queue("mail", Mail), shop.queue("post", Mail, table="Letters", view="all")
    assert derived.queue_tables(plain) == ("mail", "mail_later", "mail_failed")
    assert derived.queue_indexes(plain) == (
        "mail_pkey", "mail_later_pkey", "mail_later_run_at_idx", "mail_failed_pkey",
    )  # fmt: skip
    assert (derived.queue_sequence(plain), derived.queue_trigger(plain)) == ("mail_id_seq", "mail_wake")
    assert (plain.view, chosen.table, chosen.view) == ("mail_jobs", "Letters", "all")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"retries": 0}, []),
        ({"retries": 32767}, ["BGW503"]),
        ({"retries": True}, ["BGW503"]),
        ({"retries": "5"}, ["BGW503"]),
        ({"backoff": 5}, ["BGW504"]),
        ({"backoff": seconds(0)}, ["BGW504"]),
        ({"backoff_limit": hours(24 * 400)}, ["BGW504"]),
        ({"backoff": seconds(9), "backoff_limit": seconds(8)}, ["BGW504"]),
        ({"backoff": None, "backoff_limit": None}, ["BGW504", "BGW504"]),
        ({"table": "\0"}, ["BGW103"]),
        ({"view": ""}, ["BGW103"]),
    ],
)
def test_options_of_a_queue(options: dict[str, Any], expected: list[str]) -> None:
    assert codes(lambda: extension().queue("mail", Mail, **options)) == expected


@pytest.mark.parametrize("payload", [dict, Mail(address="a", body="b"), None, "Mail", Payload])
def test_payload_of_a_queue(payload: Any) -> None:
    assert codes(lambda: extension().queue("mail", payload)) == ["BGW501"]


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        (list, "BGW505"), (int | str, "BGW505"), ("Unknown", "BGW505"), ("3 +", "BGW505"), ([1], "BGW505"),
        (object(), "BGW505"), (None, "BGW505"), (Annotated[int, "inte ger"], "BGW211"), (Annotated[int, ""], "BGW211"),
        (Annotated[int, "any"], "BGW211"), ("int", None), ("Json | None", None),
    ],
)  # fmt: skip
def test_annotations_of_payloads(annotation: Any, code: str | None) -> None:
    payload = type("Odd", (Payload,), {"__annotations__": {"field": annotation}})
    assert codes(lambda: extension().queue("mail", payload)) == ([code] if code else [])


@pytest.mark.parametrize("name", ["id", "attempt", "created_at", "run_at", "ctid", "xmin", "priority"])
def test_columns_that_queues_have(name: str) -> None:
    payload = type("Odd", (Payload,), {"__annotations__": {name: int, "body": str}})
    assert codes(lambda: extension().queue("mail", payload)) == ["BGW502"]


# SQL


def test_sql_keeps_its_fault_for_the_worker() -> None:
    faulty, sound = sql("SELEC 1"), sql("SELECT :a")
    assert faulty.parsed is None
    assert faulty.error is not None
    assert sound.error is None
    assert sound.parsed is not None
    assert [each.name for each in sound.parsed.parameters] == ["a"]
    assert sql(cast(Any, 3)).error is not None


def test_call_folds_names_as_sql_does() -> None:
    assert call('Public."Do It"', "id").function == ("public", "Do It")
    assert str(call("public.f", "id")) == "call('public.f', 'id')"
    for name in ("", "a.b.c", "f(x)", "1", cast(str, None)):
        assert codes(lambda name=name: call(name)) == ["BGW210"]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'), ('a"', "'a\"'"), ("a\n", "'a\\n'"), (dict, "class dict"), (NEVER, "NEVER"), (seconds(1), "1 s"),
        ("x" * 200, '"' + "x" * 96 + "..."), (3, "3"),
    ],
)  # fmt: skip
def test_how_values_are_shown(value: object, text: str) -> None:
    assert shown(value) == text
    assert " at 0x" not in shown(object())
    assert shown(2 ** (2**16)) == "a value of type int"  # more digits than Python prints
