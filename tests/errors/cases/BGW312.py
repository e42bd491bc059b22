"""Setting is not used."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
paused = shop.bool_setting("paused", False)
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"))
