"""Name of a C function is a word of C."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
shop.c_worker("sampler", source="sampler.c", function="register")
