"""Two objects of one name in the extension's schema."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


mail = shop.queue("mail", Mail)
later = shop.queue("mail_later", Mail)  # the queue "mail" has a table of that name
