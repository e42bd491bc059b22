"""Queues that programs fill, read and consume: a payload of bytes, and one of JSON."""

from pgbgw import Extension, Json, Payload, minutes

bench_client = Extension("bench_client", database="postgres", comment="Queues that a benchmark of the client uses.")


class Plain(Payload):
    payload: bytes


class Parsed(Payload):
    payload: Json


plain = bench_client.queue("plain", Plain, lease=minutes(10))
parsed = bench_client.queue("parsed", Parsed, lease=minutes(10))
