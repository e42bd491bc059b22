from pgbgw import Extension, catch_up, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", "@daily", gap="before", run=sql("SELECT 1"))
shop.cron_worker("b", "@daily", repeated="twice", run=sql("SELECT 1"))
shop.cron_worker("c", "@daily", missed="all", run=sql("SELECT 1"))
shop.cron_worker("d", "@daily", missed=catch_up(0), run=sql("SELECT 1"))
