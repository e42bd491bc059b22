"""A queue whose jobs sessions take."""

from pgbgw import Extension, Json, Payload, minutes

bench_leases = Extension("bench_leases", database="postgres", comment="A queue whose jobs a benchmark takes.")


class Job(Payload):
    payload: Json


queue = bench_leases.queue("job", Job, lease=minutes(10))
