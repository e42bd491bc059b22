"""One worker of each kind and option, for the server tests."""

from typing import Annotated

from pgbgw import (
    NEVER,
    Boolean,
    Counter,
    Extension,
    Gauge,
    Json,
    Payload,
    SharedStats,
    Text,
    Timestamp,
    call,
    hours,
    milliseconds,
    seconds,
    sql,
)

kinds = Extension("kinds", version="1.0", database="postgres", comment="Every kind of worker.")

every = kinds.int_setting("every", 3600, min=1, max=7200, unit="s")
ticking = kinds.bool_setting("ticking", True)
held = kinds.bool_setting("held", False)
greeting = kinds.string_setting("greeting", "hello ??/ \"you\" \\ 'é'")
factor = kinds.real_setting("factor", 1.5, min=0, max=10)
processes = kinds.int_setting("processes", 2, min=1, max=4, context="postmaster")
launches = kinds.int_setting("launches", 2, min=1, max=4, context="postmaster")
role = kinds.string_setting("role", "worker_role", context="postmaster")
home = kinds.string_setting("home", "later_made", context="postmaster")


class Ticks(SharedStats):
    ticks = Counter("Rounds done.")
    hot = Counter("The same, as an atomic.", hot=True)
    failures = Counter("Rounds that failed.")
    vacuums = Counter("Statements outside a transaction block.")
    given_up = Counter("Letters given up after the last attempt.")
    alive = Gauge("Takers that are alive.")
    last = Timestamp("When the last round ended.")
    lit = Boolean("Set by the first round.")
    status = Text(24, "What was done last.")


class Letter(Payload):
    subject: str
    size: Annotated[int, "integer"]
    extra: Json | None


stats = kinds.shared_stats("ticks", Ticks)
letters = kinds.queue("letters", Letter, retries=1, backoff=milliseconds(200))
loans = kinds.queue("loans", Letter, retries=1, backoff=milliseconds(200), lease=seconds(60), history=hours(1))

kinds.queue_worker(
    "taker",
    letters,
    workers=processes,
    batch=10,
    every=every,
    restart=seconds(1),
    timeout=milliseconds(500),
    alive=stats.alive,
    on_failed=stats.given_up.add(1),
    run=sql(
        """INSERT INTO public.taken (id, line, taker)
        VALUES (:id, :greeting || ' ' || :subject || ' ' || (:size * :factor)::text || ' ' || :attempt,
                pg_catalog.pg_backend_pid() + pg_catalog.length(public.linger(:extra)))"""
    ),
)
kinds.cron_worker("rota", "0 3 * * *", time_zone="Europe/Paris", run=sql("SELECT 1"))
kinds.cron_worker("sweep", "30 4 * * sun", run=sql("VACUUM pg_class"), transaction=False, timeout=seconds(60))
kinds.schedule_table("plans", runs=2, restart=seconds(1))
kinds.interval_worker(
    "tick",
    every=every,
    when=ticking,
    unless=held,
    restart=seconds(1),
    run=call("public.tick", "greeting", "main_argument"),
    main_argument=-7,
    on_done=(stats.ticks.add(2), stats.hot.add(2), stats.lit.set(True)),
    on_failed=stats.failures.add(1),
    on_round=(stats.last.now(), stats.status.report()),
)
kinds.interval_worker(
    "vacuum",
    every=every,
    restart=seconds(1),
    run=sql("VACUUM (ANALYZE) public.taken"),
    transaction=False,
    on_done=stats.vacuums.add(1),
)
kinds.interval_worker("once", every=seconds(3600), restart=NEVER, run=sql("SELECT 1"))
kinds.interval_worker("as_role", every=every, role=role, restart=seconds(1), run=sql("SELECT public.note_user()"))
kinds.interval_worker(
    "elsewhere", every=seconds(1), database=home, restart=seconds(1), run=sql("SELECT public.note_user()")
)
kinds.interval_worker(
    "reader", every=milliseconds(100), start="consistent", restart=seconds(1), run=sql("SELECT count(*) FROM pg_class")
)
kinds.dynamic_worker(
    "fixed",
    args={"a": "integer", "b": "text", "c": "numeric(10,2)", "d": "uuid", "e": "timestamptz", "f": "boolean"},
    limit=launches,
    run=sql("INSERT INTO public.launched VALUES (:a, :b, :c, :d, :e, :f, current_user)"),
)
kinds.dynamic_worker("array", args={"numbers": "integer[]"}, run=call("public.note_numbers", "numbers"))
kinds.dynamic_worker("span", args={"days": "daterange"}, run=sql("INSERT INTO public.spans VALUES (:days)"))
kinds.dynamic_worker("quiet", args={"a": "integer"}, notify=False, run=call("public.note_number", "a"))
kinds.dynamic_worker(
    "procedure", args={"n": "integer", "word": "text"}, transaction=False, run=sql("CALL public.steps(:n, :word)")
)
kinds.c_worker("sampler", source="sampler.c", function="sample", every=every, start="postmaster", restart=seconds(1))
kinds.c_worker("counter", source="sampler.c", function="sample_sql", every=every, sql=True, restart=seconds(1))
