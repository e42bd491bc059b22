"""Dynamic workers: arguments that travel as values and as text, none, and a launch that does not wait."""

from pgbgw import Extension, call, seconds, sql

tasks = Extension("tasks")

most = tasks.int_setting("most", 3, min=1, max=16, context="postmaster", comment="Processes at once.")

tasks.dynamic_worker(
    "values",
    args={
        "a": "smallint", "b": "integer", "c": "bigint", "d": "boolean", "e": "real", "f": "double precision",
        "g": "oid", "h": "date", "i": "timestamp", "j": "timestamp with time zone", "k": "regclass",
    },
    run=call("public.with_values", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"),
)  # fmt: skip
tasks.dynamic_worker(
    "texts",
    args={"key": "uuid", "words": "text", "numbers": "integer[]", "base": "boolean"},
    run=sql("SELECT public.with_texts(:key, :words, :numbers, :base)"),
    limit=most,
    function="start_texts",
)
tasks.dynamic_worker("nothing", run=sql("SELECT public.with_nothing()"), notify=False, limit=1, timeout=seconds(5))
tasks.dynamic_worker("look", run=sql("SELECT 1"), start="consistent", title="looks about", log_level="log")
