"""Sources of two C workers clash."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
shop.c_worker("sampler", source="sampler.c")
shop.c_worker("counter", source="counter.c", function="sampler")
