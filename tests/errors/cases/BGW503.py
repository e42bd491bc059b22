"""Number of retries is out of range."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


orders = shop.queue("orders", Mail, retries=-1)
