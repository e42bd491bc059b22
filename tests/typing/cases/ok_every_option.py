"""Every kind of setting, field and worker, with all its options."""

import datetime
import decimal
import uuid
from typing import Annotated

from pgbgw import (
    NEVER, Boolean, Counter, EnumOption, Extension, Float, Gauge, Integer, Json, Payload, SharedStats, Text, Timestamp,
    call, days, hours, milliseconds, minutes, seconds, sql,
)

shop = Extension("shop", schema="public", database="shopdb", role="clerk", operators=["e"])
pause = shop.int_setting("pause", 10, min=1, max=60, unit="s", context="sighup", flags=["not_in_sample"])
pace = shop.real_setting("pace", 0.5, min=0.1, max=10.0, unit="min", description="Minutes between two rounds.")
dbname = shop.string_setting("dbname", "postgres", context="postmaster")
level = shop.enum_setting("level", "low", options=["low", EnumOption("lowest", hidden=True)], context="user")
count = shop.int_setting("count", 2, min=1, max=8, context="postmaster")
enabled = shop.bool_setting("enabled", True, flags=("no_show_all", "superuser_only"))


class State(SharedStats):
    done = Counter("Done.", hot=True)
    alive = Gauge()
    size = Integer()
    load = Float()
    paused = Boolean()
    since = Timestamp()
    note = Text(100)


class Job(Payload):
    number: int
    precise: Annotated[int, "integer"]
    price: decimal.Decimal
    due: datetime.datetime | None
    key: uuid.UUID
    data: Json
    more: Json | None = None


state = shop.shared_stats("state", State, function="show_state", view="state", columns={"done": "jobs done"})
jobs = shop.queue(
    "jobs", Job, retries=0, backoff=milliseconds(10), backoff_limit=hours(1), table="t", view="v", crashes=2, unique=True,
    producers="a", operators=("b", "c"), lease=minutes(5), consumers=["d"], history=days(7),
)
job = Job(
    number=1, precise=2, price=decimal.Decimal(1), due=None, key=uuid.uuid4(), data={"a": [1, None, "x"]}, more=[True]
)
shop.shutdown(flag=state.paused, request="halt", resume="go_on")
shop.queue_worker(
    "work", jobs, run=call("public.work", "id", "data"), workers=count, batch=10, every=pause, title="The worker",
    database=dbname, role="boss", start="recovery_finished", restart=NEVER, timeout=pause, when=enabled, unless=enabled,
    activity="working", log_level="debug2", main_argument=7, alive=state.alive,
    on_done=(state.done.add(), state.alive.add(-1), state.size.set(3), state.load.add(0.5)),
    on_failed=state.paused.set(True), on_round=(state.since.now(), state.note.set("x"), state.note.report()),
)
shop.interval_worker("beat", every=pace, run=sql("SELECT 1"), start="consistent", restart=minutes(1), alive=state.size)
shop.dynamic_worker("task", run=sql("VACUUM"), limit=count, function="start", notify=False, transaction=False)
shop.c_worker("sampler", source="sampler.c", function="sample", every=seconds(1), sql=True)
