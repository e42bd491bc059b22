"""Looking at a running extension through SQL."""

from pgbgw.observe.snapshot import Process, QueueCounts, SettingValue, Snapshot, StateRow, observe, processes
from pgbgw.observe.subject import QueueNames, StateNames, Subject, TableNames
from pgbgw.observe.tables import RowFailure, RowNext, TableSummary

__all__ = [
    "Process",
    "QueueCounts",
    "QueueNames",
    "RowFailure",
    "RowNext",
    "SettingValue",
    "Snapshot",
    "StateNames",
    "StateRow",
    "Subject",
    "TableNames",
    "TableSummary",
    "observe",
    "processes",
]
