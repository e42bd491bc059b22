"""SQL does not parse."""

from pgbgw import Extension, Payload, sql

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


mail = shop.queue("mail", Mail)
shop.queue_worker("deliver", mail, run=sql("INSERT INTO public.outbox (address) VLAUES (:address)"))
