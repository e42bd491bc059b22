"""Queue has consumers and no leases."""

from pgbgw import Extension, Payload


class Order(Payload):
    number: int


shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", Order, consumers="app")
