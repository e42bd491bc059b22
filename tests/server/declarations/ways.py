"""Two queues of one kind: a test keeps the second from being claimed directly, and compares what becomes of jobs."""

from pgbgw import Extension, Payload, call, milliseconds

ways = Extension("ways", version="1.0", database="postgres")


class Note(Payload):
    note: str


for name in ("direct", "portable"):
    ways.queue_worker(
        f"take_{name}",
        ways.queue(name, Note, retries=1, backoff=milliseconds(20), backoff_limit=milliseconds(20)),
        workers=2,
        batch=7,
        every=milliseconds(150),
        run=call("public.note", "id", "note"),
    )
