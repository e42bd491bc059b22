"""Workers on intervals: fixed, by an integer setting, by a real one in minutes; with timeouts and other options."""

from pgbgw import NEVER, Extension, call, hours, milliseconds, seconds, sql

clock = Extension("clock", database="postgres", comment="Ticks.")

nap = clock.int_setting("nap", 30, min=1, max=86400, unit="s", comment="Seconds between two rounds.")
pace = clock.real_setting("pace", 0.5, min=0.01, max=600.0, unit="min", comment="Minutes between two rounds.")
most = clock.int_setting("most", 10, min=1, max=1000, unit="min", comment="Minutes that a round may take.")
paused = clock.bool_setting("paused", False, comment="Stops the clock while on.")

clock.interval_worker("fixed", every=hours(1), run=sql("SELECT public.tick()"), start="consistent", restart=NEVER)
clock.interval_worker(
    "by_setting", every=nap, run=call("public.tick", "nap", "main_argument"), main_argument=2**31 - 1,
    timeout=milliseconds(1500), unless=paused, log_level="log", title="the clock", activity="ticking",
)  # fmt: skip
clock.interval_worker(
    "by_minutes", every=pace, run=sql("UPDATE public.t SET at = pg_catalog.now() WHERE pace = :pace"), timeout=most,
    restart=seconds(0), when=paused,
)  # fmt: skip
