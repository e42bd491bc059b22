"""Workers that run by the calendar: by fixed times, by wildcards, outside a transaction."""

from pgbgw import Counter, Extension, SharedStats, Text, Timestamp, call, catch_up, seconds, sql

rota = Extension("rota", database="postgres", role="clerk")


class Runs(SharedStats):
    reports = Counter("Reports that were written.")
    last = Timestamp("When the last one was.")
    said = Text(100, "What became of it.")


stats = rota.shared_stats("runs", Runs)

rota.cron_worker(
    "report", "30 2 * * mon-fri", time_zone="Europe/Paris", missed=catch_up(3), run=call("public.report"),
    timeout=seconds(60), on_done=stats.reports.add(1), on_round=(stats.last.now(), stats.said.report()),
)  # fmt: skip
rota.cron_worker(
    "refresh", "*/15 * * * *", missed="skip", run=sql("REFRESH MATERIALIZED VIEW public.totals"), gap="skip", repeated="both"
)  # fmt: skip
rota.cron_worker("vacuum", "0 4 * * sunL", run=sql("VACUUM public.events"), transaction=False)
