"""A file with many faults, each of which is told."""

from pgbgw import Counter, Extension, Payload, SharedStats, call, seconds, sql

shop = Extension("shop", version="1/0")
batch = shop.int_setting("batch", 0, min=1, unit="mails")
batch_again = shop.int_setting("batch", 10, context="reload")
mode = shop.enum_setting("mode", "fast", options=("fast", "slow"))


class Stats(SharedStats):
    sent = Counter()


class Mail(Payload):
    address: str
    order: int
    xmin: int


stats = shop.shared_stats("mail", Stats, columns=("sent", "failed"))
mail = shop.queue("mail", Mail, retries=-1)
copy = shop.queue("mail_later", Mail)

shop.queue_worker(
    "deliver",
    mail,
    batch=batch,
    every=seconds(0),
    run=sql("""
        INSERT INTO public.outbox (address, mode)
        VALUES (:adress, :mode)
    """),
    on_done=stats.sent.add(-1),
)
shop.interval_worker("tidy", every=seconds(60), run=sql("VACUUM public.outbox"), start="consistent")
shop.dynamic_worker("task", args={"user": "integer", "rest": "int eger"}, run=call("public.task", "user"))
