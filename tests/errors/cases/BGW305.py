"""Options of an enum setting are wrong."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
mode = shop.enum_setting("mode", "fast", options=["fast", "FAST"])
