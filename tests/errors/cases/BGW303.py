"""Default of a setting has the wrong type."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
batch = shop.int_setting("batch", "100")
