"""Unit of a setting does not exist."""

from pgbgw import Extension, seconds

shop = Extension("shop", database="shopdb")
pause = shop.int_setting("pause", 10, unit="seconds")
