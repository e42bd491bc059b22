"""The type of an argument as Python has it."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", args={"label": str, "amount": dict}, run=call("public.task", "label", "amount"))
