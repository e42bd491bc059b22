"""Producers of a queue are no names of roles."""

from pgbgw import Extension, Payload


class Order(Payload):
    number: int


shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", Order, producers=5)
