from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", "@daily", time_zone="Paris", run=sql("SELECT 1"))
shop.cron_worker("b", "@daily", time_zone="CEST", run=sql("SELECT 1"))
shop.cron_worker("c", "@daily", time_zone=2, run=sql("SELECT 1"))
