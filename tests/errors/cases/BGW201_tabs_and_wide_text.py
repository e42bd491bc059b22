"""A tab and wide characters before the fault."""

from pgbgw import Extension, seconds, sql

shop = Extension("shop", database="shopdb")
if shop:
	shop.interval_worker("beat", every=seconds(60), run=sql("SELECT '日本', 1 FORM public.beats"))
