"""A queue and a counter of another extension, imported from a module beside the declaration."""

import other_extension as other

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.queue_worker(
    "deliver", other.mail, run=call("public.deliver", "address"), on_done=other.stats.sent.add(1), alive=other.stats.alive
)
