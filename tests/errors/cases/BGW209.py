"""Call() outside a transaction."""

from pgbgw import Extension, call, hours

shop = Extension("shop", database="shopdb")
shop.interval_worker("tidy", every=hours(1), run=call("public.tidy"), transaction=False)
