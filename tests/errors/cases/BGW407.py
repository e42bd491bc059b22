"""Value is not an action."""

from pgbgw import Counter, Extension, Gauge, Payload, SharedStats, Text, call

shop = Extension("shop", database="shopdb")


class Mail(Payload):
    address: str
    body: str


class MailStats(SharedStats):
    sent = Counter("Mails handed over.")
    alive = Gauge("Processes that are alive.")
    status = Text(64, "What the worker did last.")


stats = shop.shared_stats("mail", MailStats)
mail = shop.queue("mail", Mail)
shop.queue_worker("deliver", mail, run=call("public.deliver", "address"), on_done=stats.sent)
