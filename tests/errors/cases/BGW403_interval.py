from pgbgw import Extension, milliseconds, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", every=milliseconds(500), run=sql("SELECT 1"))
shop.cron_worker("b", every=60, run=sql("SELECT 1"))
shop.cron_worker("c", "@daily", jitter=30, run=sql("SELECT 1"))
