"""Shared state: a field of every kind, every action on it, and a second state with one column."""

from pgbgw import (
    Boolean, Counter, Extension, Float, Gauge, Integer, SharedStats, Text, Timestamp, call, seconds,
)  # fmt: skip

meter = Extension("meter", schema="metering", database="postgres")


class Values(SharedStats):
    rounds = Counter("Rounds that were committed.")
    hot_rounds = Counter("The same, as an atomic outside the lock.", hot=True)
    alive = Gauge("Processes alive.")
    level = Gauge()
    number = Integer("A number.")
    ratio = Float("A ratio: goes up by a half, and a comment that is so long that it takes more than one line in C.")
    flag = Boolean("A flag.")
    halted = Boolean("Whether the workers stand still.")
    last = Timestamp("When the last round ended.")
    words = Text(2, "The shortest text.")
    sentence = Text(8192, "The longest text.")


class Single(SharedStats):
    note = Text(32, "The only field.")


values = meter.shared_stats("values", Values)
single = meter.shared_stats("single", Single, function="only_note", view="only", columns={"note": "what is noted"})
meter.shutdown(flag=values.halted, request="halt", resume="go_on")

meter.interval_worker(
    "measure",
    every=seconds(2),
    run=call("public.measure"),
    alive=values.alive,
    on_done=(
        values.rounds.add(),
        values.hot_rounds.add(3),
        values.level.add(-(2**40)),
        values.level.set(-(2**63)),
        values.number.set(7),
        values.number.add(2**31),
        values.ratio.add(0.5),
        values.ratio.set(-1e-300),
        values.flag.set(True),
        values.words.set("ä"),
    ),
    on_failed=(values.flag.set(False), single.note.set('failed: "%s" ??/ \\')),
    on_round=(values.last.now(), values.sentence.report()),
)
