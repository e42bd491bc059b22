"""Option has a value of the wrong type."""

from pgbgw import Counter, Extension, Gauge, SharedStats, Text, minutes, sql

shop = Extension("shop", database="shopdb")


class MailStats(SharedStats):
    sent = Counter("Mails handed over.")
    alive = Gauge("Processes that are alive.")
    status = Text(64, "What the worker did last.")


stats = shop.shared_stats("mail", MailStats)
shop.interval_worker("beat", every=minutes(1), run=sql("SELECT 1"), alive=stats.sent)
