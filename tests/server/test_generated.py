"""Generated declarations under the fault suite: whatever is declared, the emitted code survives the same faults."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from pgbgw import (
    NEVER,
    Counter,
    Extension,
    Gauge,
    Payload,
    SharedStats,
    Text,
    Timestamp,
    call,
    milliseconds,
    seconds,
    sql,
)
from pgbgw.check import Target, check
from pgbgw.faults import chosen, run_checks, staged
from pgbgw.ir.model import ModuleIR
from pgbgw.lower import lower
from tests.server.conftest import server_15, server_18

# Every family has one; those that restart the server or wait long are left to the declarations of test_faults.
CHOSEN = (
    "item.*", "signal.cancel*", "signal.terminate*", "crash.worker_working", "shutdown.request*",
    "database.drop_other*", "extension.dormant", "hostile.search_path", "session.*", "enqueue.insert",
    "enqueue.savepoint", "lease.*", "endurance.idle", "copy.not_preloaded", "security.public", "security.role",
)  # fmt: skip

TYPES = (
    "smallint", "integer", "bigint", "text", "varchar(7)", "boolean", "numeric(12, 3)", "jsonb", "json", "bytea",
    "uuid", "date", "timestamptz", "interval", "inet", "int4range", "text[]", "int8[]", "real", "float8", "bit",
)  # fmt: skip


class Column(NamedTuple):
    """A payload column."""

    sql_type: str
    nullable: bool


class Taker(NamedTuple):
    """A queue with its worker."""

    columns: tuple[Column, ...]
    retries: int
    workers: int
    batch: int
    called: bool
    timeout: bool
    role: bool
    never: bool
    counted: bool
    switched: bool


class Lender(NamedTuple):
    """A queue with leases and no worker."""

    columns: tuple[Column, ...]
    retries: int
    unique: bool


class Ticker(NamedTuple):
    """An interval worker."""

    transaction: bool
    called: bool
    never: bool
    role: bool


class Launched(NamedTuple):
    """A dynamic worker."""

    arguments: tuple[str, ...]
    limit: int
    notify: bool
    transaction: bool


class Declared(NamedTuple):
    """A declaration in short."""

    own_schema: bool
    own_database: bool
    takers: tuple[Taker, ...]
    lenders: tuple[Lender, ...]
    tickers: tuple[Ticker, ...]
    launched: tuple[Launched, ...]


def several(each: st.SearchStrategy[Any], most: int, least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    """A tuple of a few."""
    return st.lists(each, min_size=least, max_size=most).map(tuple)


flags = st.booleans()
columns = several(st.builds(Column, st.sampled_from(TYPES), flags), 4, 1)
takers = st.builds(
    Taker, columns, st.integers(0, 3), st.integers(1, 3), st.sampled_from((1, 7, 100)), flags, flags, flags, flags,
    flags, flags,
)  # fmt: skip
lenders = st.builds(Lender, columns, st.integers(0, 3), flags)
tickers = st.builds(Ticker, flags, flags, flags, flags)
launched = st.builds(
    Launched, several(st.sampled_from(("integer", "text", "bigint", "uuid", "regclass")), 3), st.integers(1, 3), flags,
    flags,
)  # fmt: skip
declarations = st.builds(
    Declared, flags, flags, several(takers, 2, 1), several(lenders, 1), several(tickers, 1), several(launched, 1)
)


def payload(columns: tuple[Column, ...]) -> type[Payload]:
    """A class with these columns."""
    fields = {
        f"c{index}": Annotated[str, column.sql_type] | None if column.nullable else Annotated[str, column.sql_type]
        for index, column in enumerate(columns)
    }
    return type("Job", (Payload,), {"__annotations__": fields, "__module__": __name__})


def declare(declared: Declared) -> ModuleIR:
    """The declaration itself, lowered."""
    shop: Any = Extension(
        "shop",
        schema=None if declared.own_schema else "public",
        database="shopdb" if declared.own_database else "postgres",
    )

    class State(SharedStats):
        done = Counter("Done.")
        hot = Counter("Done, as an atomic.", hot=True)
        alive = Gauge("Alive.")
        last = Timestamp("When.")
        status = Text(40, "What.")

    stats = shop.shared_stats("shop", State)
    for number, lender in enumerate(declared.lenders):
        shop.queue(
            f"loans{number}", payload(lender.columns), retries=lender.retries, backoff=milliseconds(100),
            unique=lender.unique, lease=seconds(60),
        )  # fmt: skip
    for number, taker in enumerate(declared.takers):
        job = payload(taker.columns)
        queue = shop.queue(f"jobs{number}", job, retries=taker.retries, backoff=milliseconds(100))
        options: dict[str, Any] = {"workers": taker.workers, "batch": taker.batch}
        if taker.timeout:
            options["timeout"] = seconds(1)
        if taker.role:
            options["role"] = "shop_worker"
        if taker.counted:
            options |= {"alive": stats.alive, "on_done": (stats.done.add(1), stats.hot.add(2)),
                        "on_round": (stats.last.now(), stats.status.report())}  # fmt: skip
        if taker.switched:
            options["when"] = shop.bool_setting(f"switch{number}", number == 0)
        run = call("public.handle", "id") if taker.called else sql("SELECT public.handle(:id)")
        shop.queue_worker(f"taker{number}", queue, run=run, restart=NEVER if taker.never else seconds(3), **options)
    for number, ticker in enumerate(declared.tickers):
        # a call can't run outside a transaction block
        run = call("public.tick") if ticker.called and ticker.transaction else sql("SELECT public.tick()")
        options = {"role": "shop_worker"} if ticker.role else {}
        shop.interval_worker(
            f"ticker{number}", every=seconds(60), run=run, transaction=ticker.transaction,
            restart=NEVER if ticker.never else seconds(0), **options,
        )  # fmt: skip
    for number, each in enumerate(declared.launched):
        shop.dynamic_worker(
            f"task{number}", args={f"a{n}": name for n, name in enumerate(each.arguments)}, limit=each.limit,
            notify=each.notify, transaction=each.transaction, run=sql("SELECT public.task()"),
        )  # fmt: skip
    return lower(check(shop, Target(max_worker_processes=64)))


# A cluster each: far fewer than the profile asks for.
_EXAMPLES = settings().max_examples


# the thorough profile makes fifty clusters
@pytest.mark.timeout(3600)
@settings(
    max_examples=max(2, _EXAMPLES // 100),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(declarations, st.sampled_from((server_18, server_15)))
def test_generated_declarations(declared: Declared, server: Any) -> None:
    """Each goes through the checks; a failure prints the declaration and what was seen."""
    pg = server()
    event(f"on {pg.major}")
    with staged(pg, declare(declared)) as stage:
        rows = list(run_checks(stage, chosen(CHOSEN)))
    failed = [f"{row.check.name}: {row.seen}" for row in rows if row.outcome == "failed"]
    assert not failed, "\n".join([*failed, *(line for row in rows for line in row.log)])
