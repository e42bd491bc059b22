"""``pgbgw jobs export`` against a real server: what is written, and that nothing half-written is left behind."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pgbgw.build.pgconfig import Pg
from pgbgw.faults.waiting import eventually
from tests.server.posts import clear, conninfo, declared, post_server
from tests.server.running import Server
from tests.server.test_cli_queues import ROOT, pgbgw, result
from tests.server.test_consume import everything


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


def fill(server: Server, count: int) -> None:
    server.rows(
        'INSERT INTO post.mail (address, body) SELECT \'a,"\' || n, \'{"n": [1, "\\\\ é"]}\''
        f" FROM generate_series(1, {count}) AS n"
    )


def test_csv(server: Server, tmp_path: Path) -> None:
    fill(server, 2500)
    target = tmp_path / "jobs.csv"
    target.write_text("before")
    target.chmod(0o640)
    told = {"exported": 2500, "file": str(target), "format": "csv"}
    assert result(server, "jobs", "export", "mail", "--to", str(target)) == told
    with target.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (len(rows), rows[0]["address"], rows[0]["status"]) == (2500, 'a,"1', "ready")
    assert json.loads(rows[0]["body"]) == {"n": [1, "\\ é"]}
    assert target.stat().st_mode & 0o777 == 0o640
    assert pgbgw(server, "jobs", "export", "mail", "--status", "failed", "--format", "csv")[0].startswith("id,address")
    assert list(tmp_path.iterdir()) == [target]


def test_ndjson(server: Server, tmp_path: Path) -> None:
    fill(server, 2500)
    lines = pgbgw(server, "jobs", "export", "mail", "--status", "ready")[0].splitlines()
    assert len(lines) == 2500
    job = json.loads(lines[-1])
    assert (job["address"], job["body"], job["run_at"]) == ('a,"2500', {"n": [1, "\\ é"]}, None)
    target = tmp_path / "jobs.txt"
    link = tmp_path / "link.ndjson"
    link.symlink_to(target)
    assert pgbgw(server, "jobs", "export", "mail", "--to", str(link))[0] == "2500 exported\n"
    assert target.read_text().splitlines() == lines
    assert link.is_symlink()


def test_parquet(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    target = tmp_path / "jobs.parquet"
    assert pgbgw(server, "jobs", "export", "mail", "--to", str(target))[0] == "0 exported\n"
    assert "address" in parquet.read_table(target).column_names
    fill(server, 60_000)
    assert pgbgw(server, "jobs", "export", "mail", "--to", str(target))[0] == "60000 exported\n"
    table = parquet.read_table(target)
    assert (table.num_rows, parquet.ParquetFile(target).num_row_groups) == (60_000, 2)
    assert table.column("id").to_pylist() == sorted(table.column("id").to_pylist())
    assert table.column("created_at").type.tz == "UTC"


def test_values_of_every_type_and_settings_of_the_role(server: Server, tmp_path: Path) -> None:
    server.rows("ALTER ROLE CURRENT_USER SET datestyle = 'German'")
    server.rows("ALTER ROLE CURRENT_USER SET timezone = 'Asia/Tokyo'")
    try:
        with server.connect() as connection:
            declared.anything.enqueue(connection, everything())
            later = datetime(2030, 1, 1, tzinfo=UTC)
            declared.anything.enqueue(connection, everything(), run_at=later)
            connection.execute("UPDATE post.anything_later SET run_at = 'infinity'")
        for name in ("jobs.csv", "jobs.ndjson", "jobs.parquet"):
            assert pgbgw(server, "jobs", "export", "anything", "--to", str(tmp_path / name))[0] == "2 exported\n"
    finally:
        server.rows("ALTER ROLE CURRENT_USER RESET ALL")
        server.rows("DELETE FROM post.anything_later")
    with (tmp_path / "jobs.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["at"], first["day"], first["span"]) == ("2024-02-29 23:59:59.999999+00", "0001-01-01", "P-3DT5S")
    assert (first["exact"], first["raw"][:8], second["run_at"]) == ("1234567890.0123456789", r"\x000102", "infinity")
    first, second = (json.loads(line) for line in (tmp_path / "jobs.ndjson").read_text().splitlines())
    assert (first["at"], first["more"], second["run_at"]) == ("2024-02-29T23:59:59.999999+00:00", [1, -2], "infinity")
    assert '"exact":1234567890.0123456789' in (tmp_path / "jobs.ndjson").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--to", "nowhere/jobs.csv"], "can't write"),
        (["--to", "/dev/null", "--format", "csv"], "not a file: /dev/null"),
        (["--to", "jobs.xls"], "ends in none of"),
        (["--format", "parquet"], "parquet goes into a file"),
        (["--json"], "--json goes with --to"),
    ],
)
def test_what_is_refused(server: Server, arguments: list[str], told: str) -> None:
    assert told in pgbgw(server, "jobs", "export", "mail", *arguments, code=2)[1]


@contextlib.contextmanager
def exporting(server: Server, target: Path) -> Iterator[subprocess.Popen[str]]:
    """An export that has begun and can't go on, since the table is locked."""
    with server.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE post.mail IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen(
            [sys.executable, "-m", "pgbgw", "jobs", "export", "mail", "--to", str(target), "--dsn", conninfo(server)],
            text=True, cwd=ROOT, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%'"
                eventually(lambda: server.rows(waits), 30, "a COPY that waits")
                assert len(list(target.parent.iterdir())) == 2
                yield process
            finally:
                process.kill()


@pytest.mark.parametrize("what", [signal.SIGINT, signal.SIGTERM, "the server"])
def test_nothing_is_left_of_what_did_not_end(server: Server, tmp_path: Path, what: Any) -> None:
    target = tmp_path / "jobs.csv"
    target.write_text("before")
    with exporting(server, target) as process:
        if what == "the server":
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'"
            assert server.value(ended)
        else:
            process.send_signal(what)
        _, err = process.communicate(timeout=30)
    if what == "the server":
        assert (process.returncode, "Terminating connection due to administrator command" in err) == (4, True)
    else:
        assert (process.returncode, "interrupted" in err) == (130, True)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "before"


def test_a_terminal_shows_how_far_it_is(server: Server, tmp_path: Path) -> None:
    fill(server, 2000)
    reader, writer = pty.openpty()
    with open(reader, "rb", buffering=0) as shown:
        ran = subprocess.run(
            [sys.executable, "-m", "pgbgw", "jobs", "export", "mail", "--to", str(tmp_path / "jobs.csv"), "--dsn",
             conninfo(server)],
            cwd=ROOT, stderr=writer, stdout=subprocess.PIPE, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(writer)
        told = b""
        # the other end of a terminal says so when nobody is left
        with contextlib.suppress(OSError):
            while piece := shown.read(4096):
                told += piece
    assert ran.returncode == 0
    assert b"jobs" in told
    assert b"%" in told


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_on_a_terminal_nothing_of_it_is_a_command(server: Server, form: str) -> None:
    server.rows("INSERT INTO post.mail (address) VALUES (%s)", ["é\x1b[2J\x9b31m\u202e"])
    reader, writer = pty.openpty()
    with open(reader, "rb", buffering=0) as shown:
        subprocess.run(
            [sys.executable, "-m", "pgbgw", "jobs", "export", "mail", "--format", form, "--dsn", conninfo(server)],
            cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=True,
        )  # fmt: skip
        os.close(writer)
        told = b""
        with contextlib.suppress(OSError):
            while piece := shown.read(4096):
                told += piece
    assert r"[2J\x9b31m\u202e" in told.decode()
    assert "é" in told.decode()
    assert b"\x1b" not in told
    assert "\x9b31m" in pgbgw(server, "jobs", "export", "mail", "--format", form)[0]
