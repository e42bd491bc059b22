"""Queues whose jobs sessions take; one of them has a worker as well."""

from pgbgw import Extension, Payload, days, hours, milliseconds, minutes, seconds, sql

lend = Extension("lend", database="postgres")


class Note(Payload):
    note: str
    extra: bytes | None


mail = lend.queue(
    "mail", Note, lease=minutes(10), retries=2, backoff=milliseconds(100), unique=True, history=hours(36),
    producers="clerk", consumers="carrier", operators="boss",
)  # fmt: skip
mixed = lend.queue("mixed", Note, lease=seconds(60), backoff=milliseconds(100))
own = lend.queue("own", Note, retries=1, backoff=milliseconds(50), history=days(2))

lend.queue_worker("helper", mixed, run=sql("INSERT INTO public.noted (job, by) VALUES (:id, 'helper')"))
lend.queue_worker("alone", own, run=sql("INSERT INTO public.noted (job, by) VALUES (:id, 'alone')"))
