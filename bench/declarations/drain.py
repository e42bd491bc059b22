"""What drains: a queue for each size of batch and number of workers, which its name tells.

The handlers are made by the benchmark, which replaces them by others.
"""

from pgbgw import Extension, Json, Payload, call, hours

bench_drain = Extension("bench_drain", database="postgres", comment="Queues that a benchmark drains.")


class Job(Payload):
    payload: Json


handlers = {
    "job": call("bench.handle", "id", "payload"),
    "arrays": call("bench.handle_all", "id", "payload", batch=True),
}

for name, handler in handlers.items():
    for batch, workers in ((100, 1), (100, 2), (1000, 1), (1000, 2)):
        bench_drain.queue_worker(
            f"drain_{name}_{batch}_{workers}",
            bench_drain.queue(f"{name}_{batch}_{workers}", Job),
            workers=workers,
            batch=batch,
            every=hours(1),
            run=handler,
            synchronous_commit=batch == 100,
        )
