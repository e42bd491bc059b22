"""Queues whose jobs sessions take, beside one of a worker, and one for both."""

from pgbgw import Extension, Payload, call, days, minutes, seconds

post = Extension("post", database="postdb", role="post_owner")


class Letter(Payload):
    address: str
    weight: int | None


letters = post.queue(
    "letters", Letter, lease=seconds(60), consumers="post_carrier", unique=True, retries=2, history=days(7)
)
parcels = post.queue("parcels", Letter, lease=minutes(10), producers="post_clerk", operators=("post_clerk", "post_boss"))
stamps = post.queue("stamps", Letter)

post.queue_worker("weigh", parcels, run=call("public.weigh", "id", "weight"))
post.queue_worker("print", stamps, workers=2, run=call("public.print_stamp", "id"))
