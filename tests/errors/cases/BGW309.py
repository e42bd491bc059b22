"""Setting could change on reload, and needs a restart."""

from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")
pause = shop.int_setting("pause", 10, min=1, unit="s", context="postmaster")
shop.interval_worker("beat", every=pause, run=sql("SELECT 1"))
