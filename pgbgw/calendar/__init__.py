"""When schedules are due: cron expressions by the clocks of a time zone, and what they mean in plain English."""

from pgbgw._core import Cron, CronError
from pgbgw.calendar.schedule import Gap, Repeated, Schedule
from pgbgw.calendar.sentence import sentence
from pgbgw.calendar.zone import Zone, ZoneMissing

__all__ = ["Cron", "CronError", "Gap", "Repeated", "Schedule", "Zone", "ZoneMissing", "sentence"]
