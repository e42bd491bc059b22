"""Statements outside a transaction block: an interval worker, and a dynamic one with parameters."""

from pgbgw import Counter, Extension, SharedStats, Text, minutes, seconds, sql

broom = Extension("broom", database="postgres", comment="Sweeps.")

label = broom.string_setting("label", "swept", comment="What the procedure writes.")


class Sweeps(SharedStats):
    swept = Counter("Sweeps done.")
    note = Text(128)


sweeps = broom.shared_stats("sweeps", Sweeps)

broom.interval_worker(
    "vacuum", every=minutes(10), run=sql("VACUUM (ANALYZE) public.outbox"), transaction=False, timeout=seconds(300),
    on_done=sweeps.swept.add(), on_round=sweeps.note.report(),
)  # fmt: skip
broom.dynamic_worker(
    "sweep", args={"rows": "integer"}, run=sql("CALL public.sweep(:rows, :label)"), transaction=False,
    on_failed=sweeps.note.set("failed"),
)  # fmt: skip
