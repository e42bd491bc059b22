"""Unique of a queue is not True or False."""

from pgbgw import Extension, Payload


class Order(Payload):
    number: int


shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", Order, unique="number")
