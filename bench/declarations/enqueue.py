"""Queues that producers fill: one has a worker, for the other no process exists."""

from pgbgw import Extension, Json, Payload, call, hours

bench_enqueue = Extension("bench_enqueue", database="postgres", comment="Queues that a benchmark fills.")


class Job(Payload):
    payload: Json


bench_enqueue.queue("alone", Job)
bench_enqueue.queue_worker(
    "drain", bench_enqueue.queue("job", Job), every=hours(1), run=call("bench.handle", "id", "payload")
)
