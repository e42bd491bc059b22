"""As many workers as there are slots."""

from pgbgw import Extension, minutes, sql

shop = Extension("shop", database="shopdb")
for number in range(8):
    shop.interval_worker(f"beat{number}", every=minutes(1), run=sql("SELECT 1"))
