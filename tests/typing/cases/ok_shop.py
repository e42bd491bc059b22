"""The declaration that the documentation begins with."""

from pgbgw import Counter, Extension, Payload, SharedStats, Text, Timestamp, call, seconds, sql

shop = Extension("shop", version="1.0", database="shopdb", comment="Jobs of the shop.")

batch = shop.int_setting("batch_size", 100, min=1, max=5000, comment="Mails per round.")
paused = shop.bool_setting("paused", False, comment="Stops delivery while on.")


class MailStats(SharedStats):
    sent = Counter("Mails handed to the outbox.")
    failed = Counter("Mails given up after the last retry.")
    last_run = Timestamp("When the last batch ended.")
    status = Text(256, "What the worker did last.")


class Mail(Payload):
    address: str
    body: str


stats = shop.shared_stats("mail", MailStats)
mail = shop.queue("mail", Mail, retries=5, backoff=seconds(10))
first = Mail(address="a@b", body="x")

shop.interval_worker("tidy", every=seconds(600), run=sql("VACUUM public.outbox"), transaction=False)
shop.queue_worker(
    "deliver", mail, workers=2, batch=batch, unless=paused,
    run=sql("INSERT INTO public.outbox (address, body) VALUES (:address, :body)"),
    on_done=stats.sent.add(1), on_failed=stats.failed.add(1),
    on_round=(stats.last_run.now(), stats.status.report()),
)
shop.dynamic_worker(
    "rebuild", args={"relation": "regclass"}, limit=4, run=sql("SELECT public.rebuild_one(:relation)"),
)
shop.dynamic_worker("rebuild_called", args={"relation": "regclass"}, run=call("public.rebuild_one", "relation"))
