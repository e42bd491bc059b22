"""Main argument is not a 32-bit integer."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), main_argument=2**40)
