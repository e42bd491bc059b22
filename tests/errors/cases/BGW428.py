from pgbgw import Extension, allow, catch_up, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", "@daily", overlap="allow", run=sql("SELECT 1"))
shop.cron_worker("b", "@daily", overlap=3, run=sql("SELECT 1"))
shop.cron_worker("c", "@daily", missed=catch_up(3), overlap="skip", run=sql("SELECT 1"))
shop.cron_worker("d", "@daily", overlap=allow(0), run=sql("SELECT 1"))
shop.cron_worker("e", "@daily", overlap=allow(101), run=sql("SELECT 1"))
shop.cron_worker("f", "@daily", overlap=allow("two"), run=sql("SELECT 1"))
