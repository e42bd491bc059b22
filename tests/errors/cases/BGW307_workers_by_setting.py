"""A setting that sizes shared memory, one that is used in two ways, and one that a session could set."""

from pgbgw import Extension, Payload, call

shop = Extension("shop", database="shopdb")
count = shop.int_setting("count", 2, min=1, max=8)
pace = shop.int_setting("pace", 500, min=1, max=1000, unit="ms", context="user")


class Mail(Payload):
    address: str


mail = shop.queue("mail", Mail)
shop.queue_worker("deliver", mail, workers=count, batch=count, every=pace, run=call("public.deliver", "address"))
