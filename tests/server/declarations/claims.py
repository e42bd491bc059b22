"""Queues whose workers look by themselves only once in an hour, or often: what they find shows how they were told."""

from typing import Annotated

from pgbgw import Extension, Payload, call, hours, milliseconds

claims = Extension("claims", version="1.0", database="postgres")

every = claims.int_setting("every", 3_600_000, min=1, unit="ms", comment="How often the workers look by themselves.")
paused = claims.bool_setting("paused", False, comment="Holds the workers of the queue told back.")


class Note(Payload):
    note: Annotated[str, "text"] | None


told = claims.queue("told", Note, retries=1, backoff=milliseconds(50), backoff_limit=milliseconds(50))
claims.queue_worker("pair", told, workers=2, every=every, unless=paused, run=call("public.note", "id", "note"))

single = claims.queue(
    "single", Note, retries=2, backoff=milliseconds(50), backoff_limit=milliseconds(50),
    producers="claims_app", operators=("claims_ops",),
)  # fmt: skip
claims.queue_worker("one", single, every=every, run=call("public.note", "id", "note"))

whole = claims.queue("whole", Note, retries=0)
claims.queue_worker(
    "arrays", whole, batch=50, every=hours(1), run=call("public.note_all", "id", "note", "attempt", batch=True)
)

slow = claims.queue("slow", Note, retries=0)
claims.queue_worker("slow", slow, batch_time=milliseconds(100), every=hours(1), run=call("public.note", "id", "note"))

quick = claims.queue("quick", Note, retries=0)
claims.queue_worker("quick", quick, every=hours(1), synchronous_commit=False, run=call("public.note", "id", "note"))

once = claims.queue("once", Note, retries=1, backoff=milliseconds(50), backoff_limit=milliseconds(50), unique=True)
claims.queue_worker("keyed", once, every=hours(1), unless=paused, run=call("public.note", "id", "note"))
