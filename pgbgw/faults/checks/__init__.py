"""The checks, a module for each family; the order of these imports is the order in which they run."""

# isort: off
from pgbgw.faults.checks import items
from pgbgw.faults.checks import signals
from pgbgw.faults.checks import crashes
from pgbgw.faults.checks import shutdown
from pgbgw.faults.checks import databases
from pgbgw.faults.checks import extension
from pgbgw.faults.checks import hostile
from pgbgw.faults.checks import sessions
from pgbgw.faults.checks import resources
from pgbgw.faults.checks import slots
from pgbgw.faults.checks import launches
from pgbgw.faults.checks import enqueueing
from pgbgw.faults.checks import claims
from pgbgw.faults.checks import leases
from pgbgw.faults.checks import producers
from pgbgw.faults.checks import endurance
from pgbgw.faults.checks import copies
from pgbgw.faults.checks import schedules
from pgbgw.faults.checks import tables
from pgbgw.faults.checks import security
from pgbgw.faults.checks import injection

__all__ = [
    "claims",
    "copies",
    "crashes",
    "databases",
    "endurance",
    "enqueueing",
    "extension",
    "hostile",
    "injection",
    "items",
    "launches",
    "leases",
    "producers",
    "resources",
    "schedules",
    "security",
    "sessions",
    "shutdown",
    "signals",
    "slots",
    "tables",
]
