"""Settings: every kind, context, unit and flag, limits at both ends, and texts that need quoting."""

from pgbgw import EnumOption, Extension, seconds, sql

knobs = Extension("knobs", database="postgres", comment='All the knobs: 100% of "them", and a \\ too.')

knobs.bool_setting("fixed", True, context="postmaster", comment="Fixed at server start.")
knobs.bool_setting("internal_only", False, context="internal", comment="Shown only.")

knobs.int_setting("lowest", -(2**31), min=-(2**31), max=2**31 - 1, comment="As low as it goes.")
knobs.int_setting("size_bytes", 512, max=2**31 - 1, unit="B", context="user", comment="Bytes.")
knobs.int_setting("size_kb", 64, unit="kB", context="superuser", comment="Kilobytes.")
knobs.int_setting("size_mb", 8, unit="MB", context="backend", comment="Megabytes.")
knobs.int_setting("size_blocks", 128, unit="8kB", context="superuser-backend", comment="Blocks.")
off = knobs.bool_setting("turned_off", False, comment="Stops the ticks while on.")
nap = knobs.int_setting("nap_ms", 250, min=1, unit="ms", comment="Milliseconds.")
knobs.int_setting("wait_s", 5, unit="s", comment="Seconds.", description="A description says more: %s, ??/ and \"so\".")
knobs.int_setting("keep_min", 60, unit="min", comment="Minutes | with a bar.")

knobs.real_setting("share", 0.1, min=-1.5, max=1e9, comment="A share.")
knobs.real_setting("pace", 2.0, min=0.001, max=3600.0, unit="s", comment="Seconds and parts of them.")

knobs.string_setting("nothing", None, comment="NULL unless set.")
knobs.string_setting("hostile", "it's \"quoted\", a \\ and\na new line", comment="Needs quoting everywhere.")
knobs.string_setting("accents", "Grüße, 日本", comment="Not ASCII: Grüße.")

knobs.enum_setting(
    "mood", "so so", options=["good", "so so", EnumOption("bad", hidden=True), "don't\nask"], comment="A choice."
)

knobs.string_setting(
    "flagged",
    "a, b",
    flags=("list_input", "no_reset", "no_reset_all", "report", "not_in_sample", "superuser_only", "is_name",
           "not_while_sec_rest", "disallow_in_auto_file", "explain", "runtime_computed"),
    comment="With every flag that may stand together.",
)  # fmt: skip
knobs.bool_setting("hidden", False, flags=("no_show_all", "not_in_sample", "disallow_in_file"), context="user")

knobs.interval_worker("tick", every=nap, unless=off, run=sql("SELECT 1"), timeout=seconds(1))
