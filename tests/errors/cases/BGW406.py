"""Worker has nothing to run."""

from pgbgw import Extension, minutes

shop = Extension("shop", database="shopdb")
shop.interval_worker("beat", every=minutes(1), run="SELECT 1")
