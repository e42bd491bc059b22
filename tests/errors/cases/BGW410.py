"""Queue worker has no queue."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.queue_worker("deliver", "mail", run=call("public.deliver"))
