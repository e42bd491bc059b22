"""The verbs that work on queues, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgbgw.build.pgconfig import Pg
from tests.server.posts import FOLDER, clear, post_server
from tests.server.running import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running(pg: Pg) -> Iterator[Server]:
    with post_server(pg) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    clear(running)


def pgbgw(server: Server, *arguments: str, given: str = "", code: int = 0, cwd: Path = ROOT) -> tuple[str, str]:
    """Run a verb on the server; what it said on standard output and standard error."""
    ran = subprocess.run(
        [sys.executable, "-m", "pgbgw", *arguments, "--dsn", server.cluster.conninfo("postgres")],
        input=given, capture_output=True, text=True, cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == code, ran.stderr
    return ran.stdout, ran.stderr


def result(server: Server, *arguments: str, given: str = "") -> Any:
    """The same with --json."""
    return json.loads(pgbgw(server, *arguments, "--json", given=given)[0])


def test_enqueue(server: Server, tmp_path: Path) -> None:
    assert result(
        server, "enqueue", "mail", '{"address": "a"}', '{"address": "b", "body": [1]}', "--priority", "2"
    ) == {"ids": [row[0] for row in server.rows("SELECT id FROM post.mail ORDER BY id")]}
    assert server.rows("SELECT address, body, priority FROM post.mail ORDER BY id") == [("a", None, 2), ("b", [1], 2)]
    (key,) = result(server, "enqueue", "mail", '{"address": "c"}', "--key", "k", "--at", "2100-01-01T00:00Z")["ids"]
    assert server.rows("SELECT id, unique_key FROM post.mail_later") == [(key, "k")]
    assert pgbgw(server, "enqueue", "mail", '{"address": "c"}', "--key", "k")[0] == "the key is taken\n"
    source = tmp_path / "jobs.ndjson"
    source.write_text("".join(f'{{"address": "{n}"}}\n' for n in range(1500)))
    assert result(server, "enqueue", "post.mail", "--from", str(source)) == {"jobs": 1500}
    assert pgbgw(server, "enqueue", "mail", "--from", "-", given='{"address": "x"}\n\n')[0] == "1 jobs\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["enqueue", "mail"], 2, "give jobs as JSON objects"),
        (["enqueue", "mail", "[1]"], 2, "not a JSON object: [1]"),
        (["enqueue", "mail", "{"], 2, "not JSON: {"),
        (["enqueue", "mail", '{"address": "a"}', "--at", "2100-01-01"], 2, "has no time zone"),
        (["enqueue", "mail", '{"adress": "a"}'], 2, "unknown adress; its fields are address, body"),
        (["enqueue", "mails", '{"address": "a"}'], 4, 'there is no queue "mails" in database "postgres"'),
        (["enqueue", "anything", '{"number": "x"}'], 2, "missing big"),
        (["jobs", "show", "mail", "7"], 4, "there is no job 7"),
        (["jobs", "retry", "mail"], 2, "give ids of jobs, or --all"),
        (["jobs", "export", "mail", "--to", "jobs.xls"], 2, "ends in none of"),
        (["consume", "mail", "nowhere:f"], 2, "the handler can't be imported"),
        (["consume", "mail", "json:dump_it"], 2, "module json has no dump_it"),
        (["consume", "inside", "json:dumps"], 4, "can't be claimed by programs"),
    ],
)
def test_what_is_refused(server: Server, arguments: list[str], code: int, told: str) -> None:
    out, err = pgbgw(server, *arguments, code=code)
    assert told in err
    assert out == ""
    assert server.value("SELECT count(*) FROM post.mail") == 0


def test_a_file_with_a_bad_line_puts_in_nothing(server: Server) -> None:
    _, err = pgbgw(server, "enqueue", "mail", "--from", "-", given='{"address": "a"}\nnonsense\n', code=2)
    assert "line 2 of <stdin>" in err
    assert server.value("SELECT count(*) FROM post.mail") == 0


def test_jobs(server: Server) -> None:
    one, two = result(server, "enqueue", "mail", '{"address": "a"}', '{"address": "b"}')["ids"]
    server.rows(
        "SELECT post.mail_fail(array_agg(id), array_agg(token), ARRAY['no', 'no'], ARRAY['23503', '23503'],"
        " ARRAY[E'first\\nsecond', NULL], false) FROM post.mail_claim(2)"
    )
    (three,) = result(server, "enqueue", "mail", '{"address": "c", "body": {"x": "é"}}')["ids"]
    assert [job["status"] for job in result(server, "jobs", "list", "mail")] == ["failed", "failed", "ready"]
    assert [job["id"] for job in result(server, "jobs", "list", "mail", "--status", "ready")] == [three]
    listed = pgbgw(server, "jobs", "list", "mail", "--limit", "2")
    headings = "id address status priority attempts failed_at error sqlstate"
    assert listed[0].splitlines()[0].split() == headings.split()
    assert "the first 2" in listed[1]
    shown = pgbgw(server, "jobs", "show", "mail", str(one))[0]
    assert "error: no\nsqlstate: 23503\ncontext:\nfirst\nsecond\n" in shown
    assert result(server, "jobs", "show", "mail", str(three))["body"] == {"x": "é"}
    assert result(server, "jobs", "counts", "mail") == {"ready": 1, "later": 0, "running": 0, "failed": 2}
    assert result(server, "jobs", "retry", "mail", str(one)) == {"retried": 1}
    assert result(server, "jobs", "cancel", "mail", str(one), "999999") == {"cancelled": 1}
    assert pgbgw(server, "jobs", "purge", "mail", "--days", "0")[0] == "1 purged\n"
    assert pgbgw(server, "jobs", "pause", "mail")[0] == "paused\n"
    assert pgbgw(server, "jobs", "pause", "mail")[0] == "it was paused already\n"
    assert result(server, "jobs", "resume", "mail") == {"resumed": True}
    assert [job["id"] for job in result(server, "jobs", "list", "mail")] == [three]
    assert two


def test_consume(server: Server, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(
        "def deliver(mail):\n    print(mail['address'] if isinstance(mail, dict) else mail.address, flush=True)\n"
        "def refuse(mail):\n    raise ValueError('no')\n"
    )
    (tmp_path / "mails.py").write_text((FOLDER / "post.py").read_text())
    pgbgw(server, "enqueue", "mail", '{"address": "a"}', '{"address": "b"}')
    out, err = pgbgw(server, "consume", "mails:mail", "handlers:deliver", "--until-empty", cwd=tmp_path)
    assert out == "a\nb\n2 done, 0 failed, 0 released, 0 lost\n"
    assert 'consuming queue "mail"; Ctrl-C ends it' in err
    pgbgw(server, "enqueue", "mail", '{"address": "c"}')
    out, _ = pgbgw(server, "consume", "mail", "handlers:deliver", "--until-empty", "--processes", "2", cwd=tmp_path)
    assert out == "c\n1 done, 0 failed, 0 released, 0 lost\n"
    pgbgw(server, "enqueue", "mail", '{"address": "d"}')
    out, _ = pgbgw(server, "consume", "mail", "handlers:refuse", "--until-empty", "--json", cwd=tmp_path)
    assert json.loads(out)["failed"] >= 1
