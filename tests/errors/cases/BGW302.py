"""Flag of a setting does not exist."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
roads = shop.string_setting("roads", "", flags=["list_quote"])
