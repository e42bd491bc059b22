"""Setting that names a database is empty by default."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
dbname = shop.string_setting("dbname", "", context="postmaster")
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), database=dbname)
