"""What a Python program does with a queue; see docs/client.md."""

from pgbgw.client import operations
from pgbgw.client.catalog import verify
from pgbgw.client.connect import Database, NamedQueue, connect
from pgbgw.client.consume import Consumed, Consumer
from pgbgw.client.copy import copy_rows
from pgbgw.client.errors import ClientError, GiveUp, Mismatch, NotAConnection, QueueMissing
from pgbgw.client.handle import Handle, handle_of
from pgbgw.client.jobs import Job
from pgbgw.client.running import AnyAsync, AnySync, copy_in, run
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
    "NotAConnection",
    "QueueMissing",
    "Status",
    "connect",
    "copy_in",
    "copy_rows",
    "handle_of",
    "is_asynchronous",
    "operations",
    "run",
    "stream",
    "stream_async",
    "verify",
]
