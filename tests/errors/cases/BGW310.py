"""Setting used as a duration has no unit of time."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
pause = shop.int_setting("pause", 10, min=1)
shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
