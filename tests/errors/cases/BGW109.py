"""Name made from a declared name is too long."""

from pgbgw import Extension, Payload

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


shop.queue("mails_that_wait_for_the_nightly_run_of_delivery", Mail)
