"""Text can't be held by C."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
loud = shop.bool_setting("loud", True, comment="Be loud.\0")
