"""Name is a reserved word of SQL."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Order(Payload):
    order: int


orders = shop.queue("orders", Order)
