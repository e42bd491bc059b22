"""Flag of a setting is not known to every major."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
loud = shop.bool_setting("loud", True, flags=["no_reset"])
