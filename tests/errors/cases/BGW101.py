"""Name is not a plain identifier."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
shop.bool_setting("send-mail", True)
