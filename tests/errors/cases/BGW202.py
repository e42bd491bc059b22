"""SQL is not exactly one statement."""

from pgbgw import Extension, hours, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("tidy", every=hours(1), run=sql("DELETE FROM public.a; DELETE FROM public.b"))
