"""Statement makes no sense in a worker."""

from pgbgw import Extension, hours, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("hear", every=hours(1), run=sql("LISTEN news"))
