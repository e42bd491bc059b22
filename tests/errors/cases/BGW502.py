"""Payload field is a column that queues have."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Order(Payload):
    id: int


orders = shop.queue("orders", Order)
