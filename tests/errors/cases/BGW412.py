"""Source of a C worker can't be used."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
shop.c_worker("sampler", source="no_such_file.c")
