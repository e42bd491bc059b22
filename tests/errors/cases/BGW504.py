"""Back-off can't be used."""

from pgbgw import Extension, Payload, hours

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


orders = shop.queue("orders", Mail, backoff=hours(2), backoff_limit=hours(1))
