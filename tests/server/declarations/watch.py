"""Another extension whose schedules have names that the rota's have as well, in a schema that is not its own."""

from pgbgw import Extension, call, sql

watch = Extension("watch", database="postgres", schema="public", operators=("rota_ops",))
watch.cron_worker("nightly", "0 3 * * *", run=call("public.nightly"), time_zone="America/New_York")
watch.cron_worker("check", "* * * * *", run=sql("SELECT 1"))
