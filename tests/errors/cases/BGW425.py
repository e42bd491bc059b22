from datetime import datetime

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")

shop.cron_worker("a", every=minutes(7), since="2026-01-01T00:00:00", run=sql("SELECT 1"))
shop.cron_worker("b", every=minutes(7), since="soon", run=sql("SELECT 1"))
shop.cron_worker("c", every=minutes(7), since=datetime(2026, 1, 1), run=sql("SELECT 1"))
shop.cron_worker("d", every=minutes(7), since=5, run=sql("SELECT 1"))
shop.cron_worker("e", "@daily", not_before="tomorrow", run=sql("SELECT 1"))
shop.cron_worker("f", "@daily", not_before="2026-02-01T00:00Z", not_after="2026-01-01T00:00Z", run=sql("SELECT 1"))
