"""Limit of a dynamic worker is out of range."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", run=call("public.task"), limit=0)
