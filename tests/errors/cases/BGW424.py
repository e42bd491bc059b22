"""Value belongs to another extension."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
stock = Extension("stock")
pause = stock.int_setting("pause", 10, min=1, unit="s")
shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
