"""The SQL names by which an extension is looked at: few enough to be kept in a file, once the declaration is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pgbgw.ir.model import ModuleIR

__all__ = ["QueueNames", "StateNames", "Subject", "TableNames"]


@dataclass(frozen=True, slots=True)
class QueueNames:
    """A queue; the function that counts its jobs, the table of paused queues and the view of jobs, quoted and with
    their schema. What earlier versions have written has no view.
    """

    name: str
    counts: str
    paused: str
    view: str = ""


@dataclass(frozen=True, slots=True)
class StateNames:
    """A shared state and the view that shows it, quoted and with its schema."""

    name: str
    view: str


@dataclass(frozen=True, slots=True)
class TableNames:
    """A table of schedules, its rows and its runs; these are quoted and with their schema."""

    name: str
    rows: str
    runs: str
    local_time: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What ``observe`` looks at; ``processes`` is the function that lists processes, quoted and with its schema.

    ``dynamic`` names the workers that are there when they are wanted: sessions launch them, or the scheduler of a table
    of schedules. ``titles`` is what each worker is called in ``pg_stat_activity.backend_type`` and in the server's log.
    ``schedules`` is the view of schedules of workers, if it has any; ``tables`` are those whose rows are schedules.
    """

    extension: str
    version: str
    processes: str
    dynamic: tuple[str, ...]
    titles: tuple[str, ...]
    queues: tuple[QueueNames, ...]
    states: tuple[StateNames, ...]
    settings: tuple[str, ...]
    schedules: str | None = None
    tables: tuple[TableNames, ...] = ()

    @classmethod
    def of(cls, module: ModuleIR) -> Subject:
        """The names in a lowered declaration."""
        return cls(
            extension=module.name,
            version=module.version,
            processes=module.processes.name,
            dynamic=tuple(worker.name for worker in module.workers if worker.launched),
            titles=tuple(worker.title for worker in module.workers),
            queues=tuple(
                QueueNames(queue.name, queue.counts, module.paused_queues, queue.view) for queue in module.queues
            ),
            states=tuple(StateNames(state.name, state.view) for state in module.shared),
            settings=tuple(setting.name for setting in module.settings),
            schedules=module.schedules.view if module.schedules is not None else None,
            tables=tuple(
                TableNames(table.name, table.table, table.runs, module.local_time.name if module.local_time else "")
                for table in module.tables
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """For ``json.dumps``; ``from_json`` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Subject:
        """What ``to_json`` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(
            extension=str(value["extension"]),
            version=str(value["version"]),
            processes=str(value["processes"]),
            dynamic=tuple(value["dynamic"]),
            titles=tuple(value["titles"]),
            queues=tuple(QueueNames(**queue) for queue in value["queues"]),
            states=tuple(StateNames(**state) for state in value["states"]),
            settings=tuple(value["settings"]),
            # what earlier versions have written has none
            schedules=value.get("schedules"),
            tables=tuple(TableNames(**table) for table in value.get("tables", ())),
        )
