"""Worker runs SQL without a database."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop")
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
