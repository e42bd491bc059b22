"""A C file that lacks the function."""

from pgbgw import Extension

shop = Extension("shop")
shop.c_worker("sampled", source="sampler.c")
