"""Declaration is not Python."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
batch = shop.int_setting("batch", 100
