"""Names of arguments without their types."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", args=["label", "ref"], run=call("public.task", "label", "ref"))
