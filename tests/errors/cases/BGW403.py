"""Duration can't be used."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("beat", every=60, run=sql("SELECT 1"))
