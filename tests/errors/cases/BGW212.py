"""Argument is not used."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", args={"a": "integer", "b": "integer"}, run=call("public.task", "a"))
