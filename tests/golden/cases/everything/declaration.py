"""Everything at once: what compilers and analyzers are shown, and a server installs."""

from pgbgw import (
    Boolean, Counter, EnumOption, Extension, Float, Gauge, Integer, Json, Payload, SharedStats, Text, Timestamp, allow, call,
    days, milliseconds, minutes, seconds, sql,
)  # fmt: skip

shop = Extension("shop", version="1.2", database="postgres", comment="Jobs of the shop.")

nap = shop.int_setting("nap", 2, min=1, max=60, unit="s", comment="Longest sleep.")
pace = shop.real_setting("pace", 0.5, min=0.01, max=10.0, unit="min", comment="Minutes between two rounds.")
batch = shop.int_setting("batch", 20, min=1, max=5000, comment="Jobs in one transaction.")
most = shop.int_setting("most", 30, min=1, max=3600, unit="s", comment="Time for a batch.")
hands = shop.int_setting("hands", 2, min=1, max=4, context="postmaster", comment="Processes that deliver.")
enabled = shop.bool_setting("enabled", True, comment="Whether jobs are done.")
paused = shop.bool_setting("paused", False, flags=("not_in_sample",), comment="Stops rounds while on.")
label = shop.string_setting("label", "it's new\nhere", comment="A label.")
dbname = shop.string_setting("dbname", "postgres", context="postmaster", comment="Database that is served.")
mood = shop.enum_setting("mood", "good", options=["good", "bad", EnumOption("ugly", hidden=True)], comment="A choice.")


class State(SharedStats):
    done = Counter("Jobs done.")
    hot = Counter("The same, as an atomic.", hot=True)
    alive = Gauge("Processes alive.")
    number = Integer()
    ratio = Float()
    halted = Boolean("Whether the workers stand still.")
    last = Timestamp("When the last round ended.")
    note = Text(100, "What was done last.")


class Mail(Payload):
    address: str
    body: Json | None


state = shop.shared_stats("state", State)
mails = shop.queue("mails", Mail, retries=2, backoff=seconds(1))
notes = shop.queue("notes", Mail, retries=0)
letters = shop.queue("letters", Mail, lease=minutes(1), history=days(7), unique=True, consumers=("pg_monitor",))
shop.shutdown(flag=state.halted)

shop.queue_worker(
    "deliver", mails, workers=hands, batch=batch, every=nap, timeout=most, when=enabled, unless=paused, database=dbname,
    run=sql("INSERT INTO public.delivered (id, address, label) VALUES (:id, :address, :label)"), alive=state.alive,
    on_done=(state.done.add(), state.hot.add(2), state.ratio.add(0.5)), on_failed=state.number.add(-1),
    on_round=(state.last.now(), state.note.report()),
)  # fmt: skip
shop.queue_worker("write_down", notes, run=call("public.write_down", "body", "attempt"), when=enabled)
shop.interval_worker("tidy", every=minutes(1), run=sql("VACUUM public.delivered"), transaction=False)
shop.interval_worker(
    "look", every=pace, run=call("public.look"), timeout=milliseconds(500), on_failed=state.note.set("failed"),
    on_round=state.last.now(),
)  # fmt: skip
shop.dynamic_worker(
    "task", args={"id": "integer", "key": "uuid", "words": "text[]"}, limit=1, on_done=state.done.add(),
    run=sql("SELECT public.task(:id, :key, :words)"), alive=state.alive,
)  # fmt: skip
shop.dynamic_worker("sweep", run=sql("CALL public.sweep(:n)"), args={"n": "bigint"}, transaction=False, notify=False)
shop.c_worker("sampler", source="sampler.c", function="shop_sample", every=seconds(1), on_done=state.hot.add())
shop.c_worker("counter", source="sampler.c", function="shop_count", every=nap, sql=True, timeout=seconds(2))
shop.cron_worker("close", "0 22 * * mon-fri", time_zone="Europe/Paris", run=call("public.close"), overlap=allow(2))
shop.schedule_table("errands", runs=2)
