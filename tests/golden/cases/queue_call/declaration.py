"""A queue whose jobs go to a function, which the worker calls by its address."""

from pgbgw import Extension, Json, Payload, call, minutes, seconds

mailer = Extension("mailer", version="2.1", database="maildb", comment="Sends mail.")


class Mail(Payload):
    address: str
    headers: Json | None


outbox = mailer.queue("outbox", Mail, retries=3, backoff=seconds(5), backoff_limit=minutes(10))
mailer.queue_worker("send", outbox, run=call("public.send_mail", "id", "address", "headers", "attempt"))
