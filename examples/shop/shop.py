"""A shop that sends mails: workers in the server write them down, a program outside sends them."""

from pgbgw import Extension, Payload, call, seconds

shop = Extension("shop", database="shopdb", comment="Orders and mails of the shop.")


class Order(Payload):
    customer: str
    amount: int


class Mail(Payload):
    address: str
    body: str


orders = shop.queue("orders", Order, retries=2, backoff=seconds(60))
mails = shop.queue("mails", Mail, retries=2, backoff=seconds(60), lease=seconds(30), unique=True)

shop.queue_worker("book", orders, run=call("public.book_order", "id", "customer", "amount"))
