"""What a Python program does with queues and schedules; see docs/client.md and docs/schedules.md."""

from pgbgw.client import operations, schedules
from pgbgw.client.catalog import verify
from pgbgw.client.connect import Database, NamedQueue, NamedSchedule, connect
from pgbgw.client.consume import Consumed, Consumer
from pgbgw.client.copy import copy_rows
from pgbgw.client.errors import ClientError, GiveUp, Mismatch, NotAConnection, QueueMissing, ScheduleMissing
from pgbgw.client.handle import Handle, handle_of
from pgbgw.client.jobs import Job
from pgbgw.client.running import AnyAsync, AnySync, copy_in, run
from pgbgw.client.schedules import ScheduleHandle, ScheduleRun, ScheduleStatus
from pgbgw.client.stream import Form, Status, stream
from pgbgw.client.stream_async import stream_async
from pgbgw.client.unwrap import is_asynchronous

__all__ = [
    "AnyAsync",
    "AnySync",
    "ClientError",
    "Consumed",
    "Consumer",
    "Database",
    "Form",
    "GiveUp",
    "Handle",
    "Job",
    "Mismatch",
    "NamedQueue",
    "NamedSchedule",
    "NotAConnection",
    "QueueMissing",
    "ScheduleHandle",
    "ScheduleMissing",
    "ScheduleRun",
    "ScheduleStatus",
    "Status",
    "connect",
    "copy_in",
    "copy_rows",
    "handle_of",
    "is_asynchronous",
    "operations",
    "run",
    "schedules",
    "stream",
    "stream_async",
    "verify",
]
