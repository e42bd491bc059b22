"""batch=True outside a queue worker."""

from pgbgw import Extension, call, seconds

shop = Extension("shop", database="shopdb")
shop.interval_worker("tidy", every=seconds(60), run=call("public.tidy", batch=True))
