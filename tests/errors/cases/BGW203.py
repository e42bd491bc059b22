"""SQL controls transactions."""

from pgbgw import Extension, hours, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("tidy", every=hours(1), run=sql("COMMIT"))
