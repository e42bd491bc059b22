"""Workers whose runs may be under way beside each other."""

from pgbgw import Extension, allow, call, catch_up, milliseconds, seconds, sql

beside = Extension("beside", database="postgres")

# not while it is tested
NEVER = "0 0 29 2 mon#5"

beside.cron_worker("before", NEVER, run=sql("SELECT 1"), restart=seconds(1))
beside.cron_worker("export", NEVER, overlap=allow(3), missed=catch_up(1000), run=call("public.export"),
                   retries=1, backoff=milliseconds(200), restart=seconds(1))  # fmt: skip
beside.cron_worker("once", NEVER, overlap=allow(2), run=sql("SELECT 1"), restart=seconds(1))
beside.cron_worker("tidy", NEVER, overlap=allow(2), run=sql("CALL public.tidy()"), transaction=False,
                   restart=seconds(1))  # fmt: skip
