"""Looking at a running extension through SQL."""

from pgbgw.observe.snapshot import Process, QueueCounts, SettingValue, Snapshot, StateRow, observe, processes
from pgbgw.observe.subject import QueueNames, StateNames, Subject

__all__ = [
    "Process",
    "QueueCounts",
    "QueueNames",
    "SettingValue",
    "Snapshot",
    "StateNames",
    "StateRow",
    "Subject",
    "observe",
    "processes",
]
