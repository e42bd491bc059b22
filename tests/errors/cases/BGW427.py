from pgbgw import Extension, hours, seconds, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", "@daily", retries=-1, run=sql("SELECT 1"))
shop.cron_worker("b", "@daily", retries=True, run=sql("SELECT 1"))
shop.cron_worker("c", "@daily", backoff=seconds(0), run=sql("SELECT 1"))
shop.cron_worker("d", "@daily", backoff_limit=60, run=sql("SELECT 1"))
shop.cron_worker("e", "@daily", backoff=hours(2), run=sql("SELECT 1"))
