"""Numbers that are text or a truth value."""

from pgbgw import Extension, Payload, call

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str


mail = shop.queue("mail", Mail, retries="2")
shop.queue_worker("deliver", mail, workers=True, run=call("public.deliver", "address"))
