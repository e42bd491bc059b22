"""Lease of a queue can't be used."""

from pgbgw import Extension, Payload, seconds


class Order(Payload):
    number: int


shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", Order, lease=60)
returns = shop.queue("returns", Order, lease=seconds(0))
