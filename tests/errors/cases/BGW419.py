from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", "*/7 * * * *", every=minutes(7), run=sql("SELECT 1"))
shop.cron_worker("b", run=sql("SELECT 1"))
shop.cron_worker("c", "@daily", since="2026-01-01T00:00:00Z", run=sql("SELECT 1"))
shop.cron_worker("d", every=minutes(7), gap="skip", repeated="both", run=sql("SELECT 1"))
