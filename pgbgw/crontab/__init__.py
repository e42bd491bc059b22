"""Schedules of others, taken over: lines of crontab(5) and the jobs of pg_cron, as rows or as workers of ours."""

from pgbgw.crontab.entries import Entry, Refusal, Taken, taken
from pgbgw.crontab.lines import Unreadable, read_crontab, system_zone
from pgbgw.crontab.pgcron import read_jobs
from pgbgw.crontab.scripts import declarable, declaration, script, statements

__all__ = [
    "Entry",
    "Refusal",
    "Taken",
    "Unreadable",
    "declarable",
    "declaration",
    "read_crontab",
    "read_jobs",
    "script",
    "statements",
    "system_zone",
    "taken",
]
