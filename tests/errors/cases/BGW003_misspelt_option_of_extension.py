"""A worker that hands the rows of a table to a function, and one-shot workers launched from SQL."""

from pgbgw import Boolean, Counter, Extension, Gauge, Json, Payload, SharedStats, Text, Timestamp, call, seconds

my_worker = Extension("my_worker", version="1.0", shema="public", comment="Processes the rows of my_queue.")

naptime = my_worker.int_setting("naptime", 10, min=1, max=3600, unit="s", comment="Longest sleep between two rounds.")
max_items = my_worker.int_setting("max_items", 100, min=1, max=10000, comment="Items in one transaction, at most.")
database = my_worker.string_setting("database", "postgres", context="postmaster", comment="Database that is served.")
enabled = my_worker.bool_setting("enabled", True, comment="Whether items are processed.")


class WorkerStats(SharedStats):
    worker_count = Gauge("Worker processes that are alive.")
    items_processed = Counter("Items processed and committed.")
    last_run = Timestamp("When the last round ended.")
    shutdown_requested = Boolean("Whether the workers were asked to stand still.")
    status = Text(256, "What the worker did last.")


class Item(Payload):
    payload: Json | None


stats = my_worker.shared_stats(
    "worker", WorkerStats, view="my_worker_status", columns=("items_processed", "last_run", "status")
)
queue = my_worker.queue("my_queue", Item, retries=2, backoff=seconds(1))
my_worker.shutdown(flag=stats.shutdown_requested)

my_worker.queue_worker(
    "main",
    queue,
    title="my_custom_worker",
    database=database,
    batch=max_items,
    every=naptime,
    when=enabled,
    restart=seconds(10),
    run=call("public.process_item", "id", "payload"),
    alive=stats.worker_count,
    on_done=stats.items_processed.add(1),
    on_round=(stats.last_run.now(), stats.status.report()),
)
my_worker.dynamic_worker(
    "task",
    args={"task_id": "integer"},
    function="launch_dynamic_worker",
    run=call("public.run_task", "task_id"),
    alive=stats.worker_count,
)
