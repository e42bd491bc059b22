"""History of a queue can't be used."""

from pgbgw import Extension, Payload, minutes


class Order(Payload):
    number: int


shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", Order, lease=minutes(1), history=7)
returns = shop.queue("returns", Order, lease=minutes(1), history=minutes(5))
