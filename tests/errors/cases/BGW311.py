"""Limits of a setting let in values that make no sense."""

from pgbgw import Extension, Payload, call

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


mail = shop.queue("mail", Mail)
size = shop.int_setting("size", 100)
shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), batch=size)
