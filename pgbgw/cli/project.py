"""What ``pgbgw run`` remembers of a project, in ``.pgbgw/project.json``: the extensions that its cluster has."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pgbgw.cli import terminal
from pgbgw.observe import Subject
from pgbgw.server import Cluster, ServerError, open_project, project_folder

__all__ = ["Done", "Project", "Record", "alone", "the_cluster"]


@dataclass(frozen=True, slots=True)
class Done:
    """What has been run in a database, as digests: the setup script, and the script that CREATE EXTENSION ran."""

    setup: str | None = None
    script: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """An extension of the project: its names, its processes, and what was done in which database.

    ``serves`` are the databases of the latest run; ``databases`` has those of all runs, whose extensions are kept.
    """

    declaration: str
    slots: int
    subject: Subject
    databases: Mapping[str, Done] = field(default_factory=dict)
    serves: tuple[str, ...] = ()

    def done(self, database: str) -> Done:
        """What was done in a database."""
        return self.databases.get(database, Done())

    def with_done(self, database: str, done: Done) -> Record:
        """The record with what was done in a database replaced."""
        return replace(self, databases={**self.databases, database: done})


class Project:
    """The file itself: read whole, written whole after each change, so that an interrupted run is known for one."""

    def __init__(self, root: Path) -> None:
        self.path = project_folder(root) / "project.json"
        self.records: dict[str, Record] = self._read()

    def keep(self, record: Record) -> Record:
        """Remember a record in place of an earlier one of its extension; the latest stands last.

        Raises:
            ServerError: the file can't be written.
        """
        self.records.pop(record.subject.extension, None)
        self.records[record.subject.extension] = record
        staging = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        values = {name: _to_json(each) for name, each in self.records.items()}
        try:
            staging.write_text(json.dumps({"extensions": values}, indent=1) + "\n", encoding="utf-8")
            os.replace(staging, self.path)
        except OSError as error:
            raise ServerError(f'could not write "{self.path}"', detail=f"{error}.") from error
        finally:
            staging.unlink(missing_ok=True)
        return record

    @property
    def latest(self) -> Record | None:
        """The extension that was run last."""
        return next(reversed(self.records.values()), None)

    def _read(self) -> dict[str, Record]:
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))["extensions"]
            return {name: _from_json(value) for name, value in known.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServerError(
                f'could not read "{self.path}"',
                detail=f"It is not as pgbgw run writes it: {type(error).__name__}, {error}.",
                hint="Delete it; pgbgw run writes it anew.",
            ) from error


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One pgbgw run at a time builds and prepares; another waits and says so. The lock ends with its process.

    Raises:
        ServerError: the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "run.lock").open("w")
    except OSError as error:
        raise ServerError(
            f'could not write to "{folder}"', detail=f"{error}.", hint="Change to a folder that you may write."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            terminal.note("another pgbgw run is at work here; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def the_cluster(*, running: bool) -> Cluster:
    """The cluster of the project in the current folder.

    Raises:
        ServerError: there is none, or it does not run where it should.
    """
    cluster = open_project(Path.cwd())
    if cluster is None:
        raise ServerError(
            "this folder has no cluster",
            detail=f'There is no "{project_folder(Path.cwd())}" that pgbgw run has made.',
            hint="Change to the project's folder, or type: pgbgw run FILE",
        )
    if running and cluster.status().state != "running":
        raise ServerError(
            "the project's cluster does not run",
            detail=f'It is {cluster.status().state}; its data is in "{cluster.directory}".',
            hint="Type: pgbgw run FILE --detach",
        )
    return cluster


def _to_json(record: Record) -> dict[str, Any]:
    return {
        "declaration": record.declaration,
        "slots": record.slots,
        "databases": {name: asdict(done) for name, done in record.databases.items()},
        "serves": list(record.serves),
        "subject": record.subject.to_json(),
    }


def _from_json(value: Mapping[str, Any]) -> Record:
    return Record(
        declaration=str(value["declaration"]),
        slots=int(value["slots"]),
        subject=Subject.from_json(value["subject"]),
        databases={str(name): Done(**done) for name, done in value["databases"].items()},
        serves=tuple(str(name) for name in value.get("serves", value["databases"])),
    )
