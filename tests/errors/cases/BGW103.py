"""Name can't be the name of an SQL object."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


shop.queue("jobs", Mail, table="")
