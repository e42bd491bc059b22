"""Title is too long."""

from pgbgw import Extension, seconds, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("beat", every=seconds(9), run=sql("SELECT 1"), title="the worker that beats " * 5)
