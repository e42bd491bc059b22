"""Arguments do not fit into bgw_extra."""

from pgbgw import Extension, call

shop = Extension("shop", database="shopdb")
names = [f"part{n}" for n in range(7)]
shop.dynamic_worker("task", args=dict.fromkeys(names, "uuid"), run=call("public.task", *names))
