"""pgbgw: PostgreSQL background workers, written in Python and shipped as C.

The names below are the whole declaration surface; see docs/ for what each option does.
"""

from typing import TYPE_CHECKING

from pgbgw.declare.durations import NEVER, Duration, days, hours, milliseconds, minutes, seconds
from pgbgw.declare.extension import Extension
from pgbgw.declare.queues import Json, Payload, Queue
from pgbgw.declare.schedules import allow, catch_up
from pgbgw.declare.settings import EnumOption
from pgbgw.declare.shared import Boolean, Counter, Float, Gauge, Integer, SharedStats, Text, Timestamp
from pgbgw.declare.sql import call, sql
from pgbgw.diagnostics import DeclarationError

if TYPE_CHECKING:
    from pgbgw.client import Database

__all__ = [
    "NEVER",
    "Boolean",
    "Counter",
    "DeclarationError",
    "Duration",
    "EnumOption",
    "Extension",
    "Float",
    "Gauge",
    "Integer",
    "Json",
    "Payload",
    "Queue",
    "SharedStats",
    "Text",
    "Timestamp",
    "allow",
    "call",
    "catch_up",
    "connect",
    "days",
    "hours",
    "milliseconds",
    "minutes",
    "seconds",
    "sql",
]


def connect(conninfo: str = "") -> "Database":
    """Use the queues and schedules of a database without their declaration; see ``pgbgw.client.connect``."""
    from pgbgw.client import connect as client_connect

    return client_connect(conninfo)
