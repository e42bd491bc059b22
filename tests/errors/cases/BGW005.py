"""Declaration has several extensions."""

from pgbgw import Extension

shop = Extension("shop")
stock = Extension("stock")
