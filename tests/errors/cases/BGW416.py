from pgbgw import Extension, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("late", "0 25 * * *", run=sql("SELECT 1"))
shop.cron_worker("short", "0 2 * *", run=sql("SELECT 1"))
shop.cron_worker("never", schedule="0 0 30 2 *", run=sql("SELECT 1"))
shop.cron_worker("step", "5/15 * * * *", run=sql("SELECT 1"))
shop.cron_worker("nothing", None, run=sql("SELECT 1"))
