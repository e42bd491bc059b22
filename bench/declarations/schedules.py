"""A table of schedules, with room for as many runs at a time as pg_cron is given."""

from pgbgw import Extension, hours

bench_schedules = Extension("bench_schedules", database="postgres", comment="Schedules that a benchmark runs.")
bench_schedules.schedule_table("jobs", runs=8, keep=hours(24))
