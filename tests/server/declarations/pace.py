"""Workers that run by the calendar, each with a policy of its own."""

from pgbgw import Extension, call, catch_up, days, hours, milliseconds, minutes, seconds, sql

pace = Extension("pace", database="postgres")

pace.cron_worker("beat", every=seconds(2), since="2026-01-01T00:00:01Z", restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('beat')"))  # fmt: skip
pace.cron_worker("slow", every=minutes(7), time_zone="Asia/Kathmandu", restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('slow')"))  # fmt: skip

# not while it is tested
NEVER = "0 0 29 2 mon#5"

pace.cron_worker("flaky", NEVER, retries=2, backoff=milliseconds(200), run=call("public.flaky"), restart=seconds(1))
pace.cron_worker("patient", NEVER, retries=1, backoff=minutes(10), run=call("public.flaky"), restart=seconds(1))
pace.cron_worker("outside", NEVER, retries=1, backoff=milliseconds(200), run=sql("CALL public.flaky_outside()"),
                 transaction=False, restart=seconds(1))  # fmt: skip
pace.cron_worker("dense", every=seconds(2), retries=5, backoff=minutes(1), run=call("public.dense"), restart=seconds(1))
pace.cron_worker("over", every=seconds(2), not_after="2026-01-01T00:00:01Z", restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('over')"))  # fmt: skip
pace.cron_worker("ahead", every=seconds(2), not_before="2126-01-01T00:00:00Z", restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('ahead')"))  # fmt: skip
pace.cron_worker("spread", every=days(1), jitter=hours(1), restart=seconds(1),
                 run=sql("INSERT INTO public.noted (by) VALUES ('spread')"))  # fmt: skip
pace.cron_worker("shaky", every=seconds(4), jitter=seconds(3), restart=seconds(1), missed="skip",
                 run=sql("INSERT INTO public.noted (by) VALUES ('shaky')"))  # fmt: skip
pace.cron_worker("waits", every=seconds(2), missed=catch_up(1000), run=call("public.busy"), restart=seconds(1))
pace.cron_worker("skips", every=seconds(2), overlap="skip", run=call("public.busy"), restart=seconds(1))
pace.cron_worker("daily", every=days(1), overlap="skip", retries=1, backoff=milliseconds(200), run=call("public.busy"),
                 restart=seconds(1))  # fmt: skip
