"""Setting never reaches the worker."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
pause = shop.int_setting("pause", 10, min=1, unit="s", context="user")
shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
