"""pgbgw: PostgreSQL background workers, written in Python and shipped as C.

The names below are the whole declaration surface; see docs/ for what each option does.
"""

from pgbgw.declare.durations import NEVER, Duration, days, hours, milliseconds, minutes, seconds
from pgbgw.declare.extension import Extension
from pgbgw.declare.queues import Json, Payload, Queue
from pgbgw.declare.settings import EnumOption
from pgbgw.declare.shared import Boolean, Counter, Float, Gauge, Integer, SharedStats, Text, Timestamp
from pgbgw.declare.sql import call, sql
from pgbgw.diagnostics import DeclarationError

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
    "call",
    "days",
    "hours",
    "milliseconds",
    "minutes",
    "seconds",
    "sql",
]
