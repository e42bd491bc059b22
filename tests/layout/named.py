"""An extension with something of everything, whose names have the length that a test wants."""

from __future__ import annotations

from typing import Any

from pgbgw import Boolean, Counter, Extension, Float, Gauge, Payload, SharedStats, Text, Timestamp, call, seconds, sql

__all__ = ["named"]


def named(extension: str, other: str, size: int) -> Extension:
    """Declare it; ``other`` goes into the names of everything else, ``size`` is that of a text field."""
    declared: Any = Extension(extension, database=other, role=other, schema=f"{other}_s")
    nap = declared.int_setting(f"{other}_n", 10, min=1, max=60, unit="s", comment=f"{other} {other}")
    batch = declared.int_setting(f"{other}_k", 10, min=1, max=100)
    paused = declared.bool_setting(f"{other}_p", False, context="sighup")
    declared.string_setting(f"{other}_l", other)
    hands = declared.int_setting(f"{other}_h", 1, min=1, max=4, context="postmaster")
    declared.enum_setting(f"{other}_e", other, options=[other])
    declared.real_setting(f"{other}_r", 0.5)
    fields = {
        f"{other}_c": Counter(f"{other} " * 5),
        f"{other}_h": Counter(hot=True),
        f"{other}_g": Gauge(other),
        f"{other}_f": Float(),
        f"{other}_b": Boolean(),
        f"{other}_t": Timestamp(),
        f"{other}_x": Text(size, f"{other} {other}"),
    }
    stats = declared.shared_stats(f"{other}_s", type("State", (SharedStats,), fields))
    payload = type("Job", (Payload,), {"__annotations__": {f"a_{other}": str, f"o_{other}": int | None}})
    queue = declared.queue(f"{other}_q", payload)
    field = {suffix: getattr(stats, f"{other}_{suffix}") for suffix in "chgfbtx"}
    declared.queue_worker(
        f"{other}_w", queue, run=call(f"public.{other}", f"a_{other}", "id"), workers=hands, batch=batch, every=nap,
        when=paused, alive=field["g"], timeout=nap,
        on_done=(field["c"].add(), field["h"].add(2), field["f"].add(0.5)), on_failed=field["b"].set(True),
        on_round=(field["t"].now(), field["x"].report(), field["x"].set(other)),
    )  # fmt: skip
    declared.interval_worker(f"{other}_i", every=nap, run=sql(f"SELECT :{other}_l"), unless=paused)
    declared.interval_worker(f"{other}_v", every=seconds(1), run=sql("VACUUM"), transaction=False)
    declared.dynamic_worker(
        f"{other}_d", args={f"{other}_k": "integer", f"{other}_y": "text", f"{other}_z": "uuid"},
        run=call(f"public.{other}", f"{other}_k", f"{other}_y"), alive=field["g"], on_done=field["c"].add(),
    )  # fmt: skip
    result: Extension = declared
    return result
