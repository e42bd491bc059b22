"""Option makes no sense for a dynamic worker."""

from pgbgw import Extension, call, seconds

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", run=call("public.task"), restart=seconds(10))
