"""Start of a worker does not exist."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), start="always")
