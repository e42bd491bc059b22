"""Workers that run by the calendar: by fixed times, by wildcards, by intervals, outside a transaction, beside each other."""

from pgbgw import Counter, Extension, SharedStats, Text, Timestamp, allow, call, catch_up, minutes, seconds, sql

rota = Extension("rota", database="postgres", role="clerk", operators=("support", "Night shift"))


class Runs(SharedStats):
    reports = Counter("Reports that were written.")
    last = Timestamp("When the last one was.")
    said = Text(100, "What became of it.")


stats = rota.shared_stats("runs", Runs)

rota.cron_worker(
    "report", "30 2 * * mon-fri", time_zone="Europe/Paris", missed=catch_up(3), not_before="2026-01-01T00:00:00Z", not_after="2030-12-31T23:59:59Z",
    run=call("public.report"), timeout=seconds(60), on_done=stats.reports.add(1), on_round=(stats.last.now(), stats.said.report()),
)  # fmt: skip
rota.cron_worker(
    "refresh", "*/15 * * * *", missed="skip", run=sql("REFRESH MATERIALIZED VIEW public.totals"), gap="skip", repeated="both",
    jitter=seconds(30), overlap="skip",
)  # fmt: skip
rota.cron_worker("vacuum", "0 4 * * sunL", run=sql("VACUUM public.events"), transaction=False, retries=3, backoff=minutes(1))
rota.cron_worker("export", "*/5 * * * *", overlap=allow(3), run=call("public.export"))
rota.cron_worker("beat", every=minutes(7), since="2026-01-01T01:00:00+01:00", run=sql("INSERT INTO public.beats DEFAULT VALUES"))
