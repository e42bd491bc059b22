"""More workers than the server has slots."""

from pgbgw import Extension, Payload, call

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


mail = shop.queue("mail", Mail)
shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), workers=9)
