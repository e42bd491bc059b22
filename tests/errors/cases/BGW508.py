"""Number of crashes is out of range."""

from pgbgw import Extension, Payload


class Order(Payload):
    number: int


shop = Extension("shop", database="shopdb")
orders = shop.queue("orders", Order, crashes=1)
