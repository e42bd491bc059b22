"""Queues with handlers that can crash the server."""

from pgbgw import Counter, Extension, Payload, SharedStats, call, hours, milliseconds, seconds

poison = Extension("poison", version="1.0", database="postgres")


class Job(Payload):
    deadly: bool


class Stats(SharedStats):
    given_up = Counter("Jobs given up.")


stats = poison.shared_stats("jobs", Stats)
jobs = poison.queue("jobs", Job, retries=1, backoff=milliseconds(50), backoff_limit=milliseconds(50), crashes=3)
poison.queue_worker(
    "taker",
    jobs,
    workers=2,
    restart=seconds(0),
    every=hours(1),
    run=call("public.handle", "id", "deadly"),
    on_failed=stats.given_up.add(1),
)

others = poison.queue("others", Job, crashes=2)
poison.queue_worker("other", others, restart=seconds(0), every=hours(1), run=call("public.handle", "id", "deadly"))

poison.c_worker("library", source="poison.c", function="idle", every=hours(1))
