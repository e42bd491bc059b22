"""Context of a setting does not exist."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
batch = shop.int_setting("batch", 100, context="reload")
