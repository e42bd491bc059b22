"""Default of a setting is outside its limits."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
batch = shop.int_setting("batch", 0, min=1, max=1000)
