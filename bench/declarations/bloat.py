"""A queue that is measured at a batch of 100, and brought there at a larger one."""

from pgbgw import Extension, Json, Payload, call, hours

bench_bloat = Extension("bench_bloat", database="postgres", comment="A queue that a benchmark wears out.")
size = bench_bloat.int_setting("batch", 100, min=1, max=100000, comment="Jobs in one transaction, at most.")


class Job(Payload):
    payload: Json


bench_bloat.queue_worker(
    "drain", bench_bloat.queue("job", Job), batch=size, every=hours(1), run=call("bench.handle", "id", "payload")
)
