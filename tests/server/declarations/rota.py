"""Workers that run by the calendar, some of them each second."""

from pgbgw import Counter, Extension, SharedStats, Text, call, catch_up, seconds, sql

rota = Extension("rota", database="postgres", operators="rota_ops")


class Runs(SharedStats):
    done = Counter("Runs that were done.")
    failed = Counter("Runs that failed.")
    said = Text(200, "What became of the last one.")


stats = rota.shared_stats("runs", Runs)

rota.cron_worker("often", "* * * * * *", run=sql("INSERT INTO public.noted (by) VALUES ('often')"), restart=seconds(1))
rota.cron_worker(
    "nightly", "30 2 * * *", time_zone="Europe/Paris", run=call("public.nightly"), restart=seconds(1),
    on_done=stats.done.add(1), on_failed=stats.failed.add(1), on_round=stats.said.report(),
)  # fmt: skip
rota.cron_worker("last", "*/10 * * * *", missed=catch_up(3), restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('last')"))  # fmt: skip
rota.cron_worker("skip", "0 * * * *", missed="skip", restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('skip')"))  # fmt: skip
rota.cron_worker("vacuum", "0 4 * * *", run=sql("VACUUM public.noted"), transaction=False, restart=seconds(1))
