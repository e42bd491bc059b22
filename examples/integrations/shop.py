"""A shop whose orders are rows of its own; what it has to send is a job, put in with the order."""

from pgbgw import Extension, Payload, seconds

shop = Extension("shop", database="shopdb", comment="Mails of the shop.")


class Mail(Payload):
    address: str
    body: str


mail = shop.queue("mail", Mail, lease=seconds(60), retries=2, unique=True)
