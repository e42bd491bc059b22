"""Workers that run by the calendar, on a server whose clock the tests set."""

from pgbgw import Extension, catch_up, seconds, sql

nights = Extension("nights", database="postgres")

PARIS = "Europe/Paris"
ALL = catch_up(1000)
NOTE = "INSERT INTO public.noted (by) VALUES ('{}')"

nights.cron_worker(
    "fixed", "30 2 * * *", time_zone=PARIS, missed=ALL, run=sql(NOTE.format("fixed")), restart=seconds(1)
)
nights.cron_worker("leaving", "30 2 * * *", time_zone=PARIS, gap="skip", missed=ALL, run=sql(NOTE.format("leaving")),
                   restart=seconds(1))  # fmt: skip
nights.cron_worker("both", "30 2 * * *", time_zone=PARIS, repeated="both", missed=ALL, run=sql(NOTE.format("both")),
                   restart=seconds(1))  # fmt: skip
nights.cron_worker("quarters", "*/15 * * * *", time_zone=PARIS, missed=ALL, run=sql(NOTE.format("quarters")),
                   restart=seconds(1))  # fmt: skip
nights.cron_worker("several", "*/10 2 * * *", time_zone=PARIS, missed=ALL, run=sql(NOTE.format("several")),
                   restart=seconds(1))  # fmt: skip
nights.cron_worker("once", "0 * * * *", run=sql(NOTE.format("once")), restart=seconds(1))
nights.cron_worker("skip", "0 * * * *", missed="skip", run=sql(NOTE.format("skip")), restart=seconds(1))
nights.cron_worker("three", "0 * * * *", missed=catch_up(3), run=sql(NOTE.format("three")), restart=seconds(1))
nights.cron_worker("often", "* * * * * *", run=sql(NOTE.format("often")), restart=seconds(1))
