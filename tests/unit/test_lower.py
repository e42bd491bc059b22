"""From declarations to the middle form: names, numbers, statements and where each parameter comes from."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest
from pglast import parser

from pgbgw import (
    NEVER,
    Boolean,
    Counter,
    Extension,
    Gauge,
    Integer,
    Payload,
    SharedStats,
    Text,
    call,
    hours,
    milliseconds,
    seconds,
    sql,
)
from pgbgw.check import check
from pgbgw.ir.model import AmountIR, CallIR, DelayIR, ModuleIR, QueueBody, SourceIR, SqlBody, StatementIR, WorkerIR
from pgbgw.lower import lower, queries
from pgbgw.lower.names import Names


class Mail(Payload):
    address: str
    count: Annotated[int, "integer"] | None


class State(SharedStats):
    sent = Counter()
    hot = Counter(hot=True)
    alive = Gauge()
    number = Integer()
    flag = Boolean()
    note = Text(16)


@pytest.fixture
def shop() -> Any:
    return Extension("shop", database="shopdb")


def lowered(extension: Extension) -> ModuleIR:
    return lower(check(extension))


def only(extension: Extension) -> WorkerIR:
    (worker,) = lowered(extension).workers
    return worker


def test_an_empty_extension(shop: Any) -> None:
    module = lowered(shop)
    assert (module.name, module.schema_sql, module.header, module.workers) == ("shop", "shop", "module.h", ())
    assert module.processes.name == "shop.workers"
    assert module.request_shutdown.name == "shop.request_shutdown"


def test_names_in_another_schema_have_a_prefix() -> None:
    module = lowered(Extension("shop", schema="Public"))
    assert module.schema_sql == '"Public"'
    assert [each.name for each in (module.processes, module.announce, module.resume)] == [
        '"Public".shop_workers',
        '"Public".shop_announce',
        '"Public".shop_resume',
    ]


def test_settings(shop: Any) -> None:
    shop.int_setting("a", 5, min=1, max=9, unit="min", context="user", flags=("no_reset",))
    shop.string_setting("b", None, context="postmaster")
    shop.enum_setting("c", "y", options=["x", "y"])
    shop.real_setting("d", 0.5, unit="8kB")
    a, b, c, d = lowered(shop).settings
    assert (a.name, a.variable, a.kind, a.context, a.default) == ("shop.a", "shop_a", "int", "PGC_USERSET", 5)
    assert [(flag.macro, flag.since) for flag in a.flags] == [("GUC_NO_RESET", 160000), ("GUC_UNIT_MIN", 0)]
    assert (b.default, b.preload_only, a.preload_only) == (None, True, False)
    assert (c.default, [option.name for option in c.options], c.table) == (1, ["x", "y"], "shop_c_options")
    assert [flag.macro for flag in d.flags] == ["GUC_UNIT_BLOCKS"]


def test_shared_state(shop: Any) -> None:
    shop.shared_stats("state", State, columns={"note": "The Note", "sent": "sent"})
    (state,) = lowered(shop).shared
    assert (state.struct, state.member, state.view) == ("ShopStateState", "state", "shop.state_status")
    assert [field.kind for field in state.fields] == ["counter", "hot", "gauge", "integer", "boolean", "text"]
    assert [(column.name, column.sql_type) for column in state.columns] == [('"The Note"', "text"), ("sent", "bigint")]
    assert state.columns[0].field is state.fields[5]


def test_a_queue_has_its_names_quoted(shop: Any) -> None:
    shop.queue("mail", Mail, table="Mail", retries=3, backoff=milliseconds(5), backoff_limit=hours(2))
    (queue,) = lowered(shop).queues
    assert (queue.table, queue.later, queue.failed) == ('shop."Mail"', 'shop."Mail_later"', 'shop."Mail_failed"')
    assert (queue.sequence, queue.later_index) == ('shop."Mail_id_seq"', '"Mail_later_run_at_idx"')
    assert (queue.retries, queue.backoff_us, queue.backoff_limit_us) == (3, 5_000, 7_200_000_000)
    assert [(c.name, c.sql_type, c.nullable) for c in queue.columns] == [
        ("address", "text", False),
        ("count", "integer", True),
    ]


@pytest.mark.parametrize("table", ["public.q", '"The ""S"""."q;--"'])
def test_the_statements_of_a_queue_are_statements(table: str) -> None:
    payload = ["a", '"B c"']
    texts = [
        queries.claim(table, payload),
        queries.claim_due(table, payload),
        queries.next_due(table),
        queries.put_back(table, table, payload),
        queries.retry(table, table, payload),
        queries.give_up(table, table, payload),
    ]
    for lines in texts:
        assert len(parser.split(" ".join(lines))) == 1
    assert "SKIP LOCKED" in " ".join(texts[0])
    numbers = [sorted({int(found) for found in re.findall(r"\$(\d+)", " ".join(lines))}) for lines in texts]
    # id, payload, priority, attempt, created_at, then run_at, error, SQLSTATE and context; a job given up has no run_at
    assert numbers == [[1, 2], [1, 2, 3], [1], *(list(range(1, last)) for last in (7, 11, 10))]


def test_claimed_columns_stand_where_parameters_look_for_them(shop: Any) -> None:
    """``index`` of a parameter counts the columns that the claim returns."""
    queue = shop.queue("mail", Mail)
    shop.queue_worker("w", queue, run=call("public.f", "created_at", "attempt", "count", "address", "id"))
    worker = only(shop)
    assert isinstance(worker.body, QueueBody)
    returned = worker.body.queue.statement("claim")[-1].removeprefix("SELECT ").partition(" FROM")[0].split(", ")
    assert [returned[parameter.index] for parameter in worker.body.run.parameters] == [
        f"claimed.{name}" for name in ("created_at", "attempt", "count", "address", "id")
    ]


def test_where_parameters_come_from(shop: Any) -> None:
    """A column or argument comes before a setting of the same name, which comes before the main argument."""
    shop.int_setting("address", 1)
    shop.real_setting("rate", 0.5)
    shop.bool_setting("on_", True)
    shop.string_setting("label", "x")
    queue = shop.queue("mail", Mail)
    statement = sql("SELECT :rate, :label, :address, :main_argument, :on_, :rate")
    shop.queue_worker("w", queue, run=statement)
    body = only(shop).body
    assert isinstance(body, QueueBody)
    assert isinstance(body.run, StatementIR)
    assert body.run.sql == "SELECT $1, $2, $3, $4, $5, $1"
    assert [(p.kind, p.index, p.variable) for p in body.run.parameters] == [
        ("real", 0, "shop_rate"),
        ("string", 0, "shop_label"),
        ("column", 1, ""),
        ("main_argument", 0, ""),
        ("bool", 0, "shop_on_"),
    ]


def test_arguments_of_a_dynamic_worker(shop: Any) -> None:
    args = {"n": "int", "nulls": "regclass", "t": "text", "u": "uuid", "a": "bigint[]"}
    shop.dynamic_worker("task", args=args, run=call("f", "t", "n"))
    worker = only(shop)
    assert [(a.member, a.kind, a.c_type, a.oid) for a in worker.arguments] == [
        ("n", "value", "int32", "INT4OID"),
        ("nulls_", "value", "Oid", "REGCLASSOID"),
        ("t", "text", "char", "TEXTOID"),
        ("u", "text", "char", ""),
        ("a", "text", "char", ""),
    ]
    assert (worker.restart, worker.notify, worker.database, worker.launch_struct) == (
        None, True, SourceIR(None), "ShopTaskLaunch",
    )  # fmt: skip
    assert isinstance(worker.body, SqlBody)
    assert isinstance(worker.body.run, CallIR)
    assert worker.body.every is None
    assert [parameter.index for parameter in worker.body.run.parameters] == [2, 0]


def test_times_and_numbers(shop: Any) -> None:
    nap = shop.int_setting("nap", 3, min=1, max=100, unit="min")
    most = shop.int_setting("most", 3, min=1, max=8, context="postmaster")
    queue = shop.queue("mail", Mail)
    shop.queue_worker("w", queue, run=call("f"), workers=most, batch=7, every=nap, timeout=seconds(2), restart=NEVER)
    worker = only(shop)
    assert isinstance(worker.body, QueueBody)
    assert (worker.count, worker.body.batch) == (AmountIR(3, "shop_most"), AmountIR(7))
    assert (worker.body.every, worker.timeout, worker.restart) == (DelayIR(60_000, "shop_nap"), DelayIR(2_000), None)


def test_databases_and_roles_are_listed_once() -> None:
    shop: Any = Extension("shop", database="a", role="R")
    for number, database in enumerate(["a", None, "b"]):
        options = {"database": database} if database else {}
        shop.interval_worker(f"w{number}", every=seconds(1), run=sql("SELECT 1"), **options)
    module = lowered(shop)
    assert module.databases == (SourceIR("a"), SourceIR("b"))
    assert module.roles == ('"R"',)


class TestNames:
    def test_no_two_symbols_are_the_same(self) -> None:
        """A setting may be called as a function of ours is, and a worker as a setting."""
        names = Names("shop")
        given = [*names.symbols.values(), names.setting("begin"), names.setting("mail_queue"), names.queue("mail"),
                 names.setting("a_main"), names.worker_main("a"), names.setting("x_wake"), names.wake("x"),
                 names.setting("x_wake_trigger"), names.setting("launch_a"), names.launch("a"),
                 names.setting("resume"), names.function("resume"), names.setting("get_s_stats"), names.stats("s"),
                 names.options("mood"), names.setting("mood_options")]  # fmt: skip
        assert len(given) == len(set(given))
        assert all(name.startswith("shop_") for name in given)

    def test_no_two_types_are_the_same(self) -> None:
        """Underscores are lost in CamelCase, and a state or worker may be called as a type of ours is."""
        names = Names("a_b")
        given = [*names.types.values(), *map(names.stats_struct, ("x_y", "xy", "x__y", "process", "")),
                 *map(names.launch_struct, ("", "x", "X"))]  # fmt: skip
        assert len({name.lower() for name in given}) == len(given)
        assert names.types["job"] == "ABJob"

    @pytest.mark.parametrize("word", ["int", "double", "errno", "linux", "st_mtime", "si_pid", "sa_handler", "h_errno"])
    def test_words_of_c_are_no_members(self, word: str) -> None:
        names = Names("shop")
        for give in (names.member, names.state, names.argument):
            assert give(word) == f"{word}_"
            assert len({give(word), give(f"{word}_"), give(f"{word}__"), give(f"_{word}")}) == 4

    def test_members_beside_which_they_stand(self) -> None:
        names = Names("shop")
        assert [names.state(word) for word in ("lock", "slots", "lock_", "mail")] == [
            "lock_",
            "slots_",
            "lock__",
            "mail",
        ]
        assert [names.argument(word) for word in ("base", "nulls", "id")] == ["base_", "nulls_", "id"]

    def test_names_do_not_depend_on_the_order_of_others(self) -> None:
        first, second = Names("shop"), Names("shop")
        assert [first.setting("a"), first.setting("b")] == [second.setting("b"), second.setting("a")][::-1]

    @pytest.mark.parametrize(("name", "camel"), [("my_worker", "MyWorker"), ("_0", "X0"), ("_", "X"), ("a0", "A0")])
    def test_types_begin_with_a_letter(self, name: str, camel: str) -> None:
        assert Names(name).types["job"] == f"{camel}Job"

    def test_nothing_is_called_as_a_header(self) -> None:
        assert {Names(name).header() for name in ("time", "postgres", "shop")} == {"module.h"}
        assert Names("latch").macros["header"] == "LATCH_MODULE_H"
