"""Schedules as rows: two tables of them, one with a switch, in a schema of another name."""

from pgbgw import Extension, days, hours

crontab = Extension("crontab", database="postgres", schema="cron", role="scheduler")

active = crontab.bool_setting("active", True, comment="Whether runs are begun.")

jobs = crontab.schedule_table("jobs", runs=3, keep=days(3), schedulers=("alice", "Bob"), when=active)
reports = crontab.schedule_table("reports", keep=hours(1), title="reports of the shop")
