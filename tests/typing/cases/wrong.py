"""Faults that a type checker finds while the declaration is written."""

from pgbgw import Boolean, Counter, Extension, Gauge, Payload, SharedStats, Text, Timestamp, call, seconds, sql

shop = Extension("shop", database="shopdb")
shop.int_setting("a", "100")  # error: arg-type
shop.int_setting("b", 1, unit="seconds")  # error: arg-type
shop.int_setting("c", 1, minimum=1)  # error: call-arg
shop.bool_setting("d", True, context="reload")  # error: arg-type
shop.bool_setting("e", True, flags=["list_quote"])  # error: list-item
shop.enum_setting("f", "x")  # error: call-arg
paused = shop.bool_setting("paused", False)
pause = shop.int_setting("pause", 10, min=1, unit="s")


class Stats(SharedStats):
    sent = Counter()
    alive = Gauge()
    off = Boolean()
    last = Timestamp()
    note = Text("64")  # error: arg-type


class Mail(Payload):
    address: str
    body: str | None


stats = shop.shared_stats("mail", Stats)
mail = shop.queue("mail", Mail)
Mail(adress="a", body="b")  # error: call-arg
Mail(address=3, body="b")  # error: arg-type
Mail(address="a")  # error: call-arg
shop.queue("letters", Stats)  # error: type-var
shop.shared_stats("letters", Mail)  # error: type-var
shop.queue("letters", Mail, backoff=10)  # error: arg-type
stats.send.add(1)  # error: attr-defined
stats.sent.set(1)  # error: attr-defined
stats.sent.add("1")  # error: arg-type
stats.last.add(1)  # error: attr-defined
stats.off.set("on")  # error: arg-type
shop.shutdown(flag=stats.sent)  # error: arg-type
shop.queue_worker("a", mail, run="SELECT 1")  # error: arg-type
shop.queue_worker("b", "mail", run=sql("SELECT 1"))  # error: arg-type
shop.queue_worker("c", mail, run=sql("SELECT 1"), bach=3)  # error: call-arg
shop.queue_worker("d", mail, run=sql("SELECT 1"), on_done=stats.sent)  # error: arg-type
shop.queue_worker("e", mail, run=sql("SELECT 1"), when=pause)  # error: arg-type
shop.queue_worker("f", mail, run=sql("SELECT 1"), batch=paused)  # error: arg-type
shop.queue_worker("g", mail, run=sql("SELECT 1"), alive=stats.sent)  # error: arg-type
shop.queue_worker("h", mail, run=sql("SELECT 1"), transaction=False)  # error: call-arg
shop.interval_worker("i", every=60, run=sql("SELECT 1"))  # error: arg-type
shop.interval_worker("j", run=sql("SELECT 1"))  # error: call-arg
shop.interval_worker("k", every=seconds("60"), run=sql("SELECT 1"))  # error: arg-type
shop.interval_worker("l", every=seconds(60), run=sql("SELECT 1"), start="always")  # error: arg-type
shop.interval_worker("m", every=seconds(60), run=sql("SELECT 1"), restart=10)  # error: arg-type
shop.interval_worker("n", every=seconds(60), run=sql("SELECT 1"), log_level="info")  # error: arg-type
shop.dynamic_worker("o", args=["integer"], run=call("public.f"))  # error: arg-type
shop.dynamic_worker("p", run=call("public.f", 3))  # error: arg-type
shop.c_worker("q")  # error: call-arg


class Letter(Payload):
    street: str


def deliver(letter: Letter) -> None: ...


def post(letter: Mail, stamp: int) -> None: ...


mail.consume("dbname=shopdb", deliver)  # error: arg-type
mail.consume("dbname=shopdb", post)  # error: arg-type
