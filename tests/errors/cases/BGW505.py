"""Payload field has no PostgreSQL type."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Order(Payload):
    items: list


orders = shop.queue("orders", Order)
