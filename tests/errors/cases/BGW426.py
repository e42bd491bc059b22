"""Extension has operators and no schedules."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb", operators="support")
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
