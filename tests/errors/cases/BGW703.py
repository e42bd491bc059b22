"""Dynamic workers may find no slot."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", run=call("public.task"), limit=20)
