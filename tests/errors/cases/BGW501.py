"""Payload is not a Payload class with fields."""

from pgbgw import Extension

shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", dict)
