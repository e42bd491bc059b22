"""Setting is read once at server start, and could change later."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
dbname = shop.string_setting("dbname", "shopdb")
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), database=dbname)
