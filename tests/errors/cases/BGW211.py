"""SQL type can't be read."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
shop.dynamic_worker("task", args={"amount": "numeric(10,"}, run=call("public.task", "amount"))
