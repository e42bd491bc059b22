"""No template and no stage knows the example: with every name of it replaced, it runs all the same."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.codegen.emit import emit
from pgbgw.faults.waiting import eventually
from pgbgw.ir.model import ModuleIR
from tests.server.running import EXAMPLES, Server, module_of, serving

# Every name of the example by the name that it gets here; longer ones stand before those that are part of them.
NAMES = {
    "my_custom_worker": "parcel robot",
    "my_worker_status": "depot_board",
    "my_worker": "depot",
    "my_queue": "parcels",
    "process_item": "pack_parcel",
    "items_processed": "packed",
    "processed_at": "packed_at",
    "processed": "packed_parcels",
    "launch_dynamic_worker": "call_for_help",
    "run_task": "help_out",
    "tasks_run": "help_given",
    "task_id": "shelf",
    "run_by": "helper",
    "task": "hand",
    "worker_count": "crew",
    "WorkerStats": "DepotFigures",
    "shutdown_requested": "gates_shut",
    "last_run": "last_tour",
    "payload": "contents",
    "max_items": "tour_size",
    "naptime": "tea_break",
    "enabled": "open_today",
    '"database"': '"served_base"',
    "get_worker_stats": "get_figures_stats",
    '"worker"': '"figures"',
    '"main"': '"packer"',
    '"status"': '"last_word"',
    "status = Text": "last_word = Text",
    "stats.status": "stats.last_word",
}  # fmt: skip

# What the emitted files must not hold. Words that an extension of any name has in its files are not among them.
ORIGINALS = (
    "my_worker", "MyWorker", "my_custom_worker", "my_queue", "process_item", "items_processed", "launch_dynamic_worker",
    "run_task", "task_id", "worker_count", "last_run", "payload", "max_items", "naptime", "enabled",
    "get_worker_stats", "worker_task", "worker_main", "WorkerState",
)  # fmt: skip

# Words of C comments and of PostgreSQL that these happen to be as well.
GENERAL = {"payload": re.compile(r"id, the payload, priority|payload column"), "enabled": re.compile(r"pg_\w*enabled")}


def renamed(text: str) -> str:
    for original, name in NAMES.items():
        text = re.sub(
            rf"(?<![A-Za-z]){re.escape(original)}" if original[0].isalpha() else re.escape(original), name, text
        )
    return text


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The renamed declaration, in a file, and the renamed SQL of its user."""
    folder = tmp_path_factory.mktemp("renamed")
    declaration = folder / "depot.py"
    declaration.write_text(renamed((EXAMPLES / "my_worker.py").read_text()))
    return declaration, renamed((EXAMPLES / "my_worker.sql").read_text())


def module(example: tuple[Path, str]) -> ModuleIR:
    return module_of(example[0])


def test_no_name_is_left(example: tuple[Path, str]) -> None:
    """Names of files count; so do the words of comments and messages."""
    for text in (example[0].read_text(), example[1]):
        assert [name for name in ORIGINALS if name in text.replace("MyWorker", "")] == []
    files = emit(module(example)).files
    left = [
        (name, path)
        for path, text in files.items()
        for name in ORIGINALS
        if name in path or name in (GENERAL[name].sub("", text) if name in GENERAL else text)
    ]
    assert left == []
    assert any("depot" in path for path in files)


def test_that_the_original_has_these_names() -> None:
    """A name that the example no longer has would be missed here, and so would a misspelt one."""
    files = emit(module_of(EXAMPLES / "my_worker.py")).files
    everything = "\n".join([*files, *files.values()])
    assert [name for name in ORIGINALS if name not in everything and name != "WorkerState"] == []


def test_it_runs(pg: Pg, example: tuple[Path, str]) -> None:
    """Jobs, a failed job, the status, a dynamic worker, standing still and going on: all by the new names."""
    with serving(pg, module(example), example[1]) as server:
        eventually(lambda: server.pid("parcel robot"), within=20, what="the worker")
        _jobs(server)
        _failed_job(server)
        _launch(server)
        _stand_still(server)


def _jobs(server: Server) -> None:
    server.rows("INSERT INTO parcels (contents) SELECT jsonb_build_object('n', g) FROM generate_series(1, 250) AS g")
    eventually(lambda: server.value("SELECT packed FROM depot_board") == 250, what="250 jobs, counted")
    assert server.value("SELECT count(*) FROM packed_parcels") == 250
    assert server.value("SELECT count(*) FROM parcels_jobs") == 0
    tour, word = server.rows("SELECT last_tour, last_word FROM get_figures_stats()")[0]
    assert tour is not None
    assert re.fullmatch(r"\d+ done, 0 failed", word)


def _failed_job(server: Server) -> None:
    server.rows("ALTER TABLE packed_parcels ADD CONSTRAINT sound CHECK (contents <> '\"broken\"')")
    server.rows("INSERT INTO parcels (contents) VALUES ('\"broken\"'), ('\"whole\"')")
    eventually(lambda: server.rows("SELECT status, attempts FROM parcels_jobs") == [("failed", 3)], within=20)
    assert server.value("SELECT sqlstate FROM parcels_failed") == "23514"
    assert server.value("SELECT count(*) FROM packed_parcels") == 251


def _launch(server: Server) -> None:
    pid = server.value("SELECT call_for_help(42)")
    eventually(lambda: server.rows("SELECT shelf, helper FROM help_given") == [(42, pid)], what="the dynamic worker")


def _stand_still(server: Server) -> None:
    server.rows("SELECT depot_request_shutdown()")
    eventually(lambda: server.value("SELECT state FROM depot_workers() WHERE worker = 'packer'") == "paused")
    server.rows("INSERT INTO parcels (contents) VALUES ('{}')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        server.rows("SELECT call_for_help(1)")
    assert server.value("SELECT count(*) FROM parcels") == 1
    server.rows("SELECT depot_resume()")
    eventually(lambda: server.value("SELECT count(*) FROM packed_parcels") == 252, what="the job that waited")
