"""Declaration raised an exception."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("beat", every=second(60), run=sql("SELECT 1"))
