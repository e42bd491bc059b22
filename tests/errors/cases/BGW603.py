"""Shared state has no such field."""

from pgbgw import Counter, Extension, Gauge, SharedStats, Text

shop = Extension("shop", database="shopdb")


class MailStats(SharedStats):
    sent = Counter("Mails handed over.")
    alive = Gauge("Processes that are alive.")
    status = Text(64, "What the worker did last.")


more = shop.shared_stats("more", MailStats, columns=["send"])
