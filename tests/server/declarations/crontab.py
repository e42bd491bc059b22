"""Schedules of three roles; no more runs at a time than fit into three processes."""

from pgbgw import Extension, days

crontab = Extension("crontab", database="postgres")
jobs = crontab.schedule_table("jobs", runs=3, keep=days(3), schedulers=("alice", "bob", "carol"))
