"""A queue whose handler notes when it was called."""

from pgbgw import Extension, Json, Payload, call, hours

bench_wake = Extension("bench_wake", database="postgres", comment="A queue whose wake-up a benchmark measures.")


class Job(Payload):
    payload: Json


bench_wake.queue_worker(
    "note", bench_wake.queue("job", Job), every=hours(1), run=call("bench.note", "id"), synchronous_commit=False
)
