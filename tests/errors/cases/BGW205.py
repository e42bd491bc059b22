"""Parameter has no name."""

from pgbgw import Extension, Payload, sql

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


mail = shop.queue("mail", Mail)
shop.queue_worker("deliver", mail, run=sql("SELECT public.deliver($1)"))
