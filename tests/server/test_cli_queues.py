"""The verbs that work on queues, against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
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


def pgbgw(server: Server, *arguments: str, given: str = "", code: int = 0, cwd: Path = ROOT,
          environment: Mapping[str, str] | None = None) -> tuple[str, str]:  # fmt: skip
    """Run a verb on the server; what it said on standard output and standard error."""
    ran = subprocess.run(
        [sys.executable, "-m", "pgbgw", *arguments, "--dsn", server.cluster.conninfo("postgres")],
        input=given, capture_output=True, cwd=cwd, encoding=(environment or {}).get("PYTHONIOENCODING", "utf-8"),
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (dict(environment) if environment else {}),
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
        (
            ["enqueue", "mail", '{"address": ["a"]}'],
            2,
            'field "address" is of type text and takes a string, not an array',
        ),
        (["enqueue", "mail", '{"address": true}'], 2, "takes a string, not true"),
        (["enqueue", "mail", '{"address": 7}'], 2, "takes a string, not the number 7"),
        (["enqueue", "mail", '{"address": {"a": 1}}'], 2, "takes a string, not an object"),
        (["enqueue", "mail", '{"address": "a\\u0000"}'], 2, r"can't have \u0000"),
        (["enqueue", "mail", '{"address": "a\\ud800"}'], 2, "can't have half a surrogate pair"),
        (["enqueue", "mail", '{"address": NaN}'], 2, "NaN is no number of JSON"),
        (["enqueue", "mail", '{"address": 1e400}'], 2, "1e400 is too large"),
        (["enqueue", "mail", '{"address": "a", "body": %s}' % ("[" * 5000 + "]" * 5000)], 2, "nested too deeply"),
        (["enqueue", "anything", '{"number": 1.5}'], 2, "takes an integer, not the number 1.5"),
        (["enqueue", "anything", '{"number": 1, "yes": 1}'], 2, "takes true or false, not the number 1"),
        (["enqueue", "anything", '{"more": [1, {}]}'], 2, "type bigint[] and takes an integer, not an object"),
        (["enqueue", "odd", '{"parts": {}}'], 2, "type jsonb[] and takes an array, not an object"),
        (["enqueue", "odd", '{"number": {}}'], 2, "type public.positive and takes no object"),
        (["enqueue", "mails", '{"address": "a"}'], 4, 'there is no queue "mails" in database "postgres"'),
        (["enqueue", "anything", '{"number": "x"}'], 2, "missing big"),
        (["jobs", "show", "mail", "7"], 4, "there is no job 7"),
        (["jobs", "retry", "mail"], 2, "give ids of jobs, or --all"),
        (["jobs", "export", "mail", "--to", "jobs.xls"], 2, "ends in none of"),
        (["consume", "mail", "nowhere:f"], 2, "the handler can't be imported"),
        (["consume", "mail", "json:dump_it"], 2, "module json has no dump_it"),
        (["consume", "mail", "json:JSONEncoder.encode_it"], 2, "module json has no JSONEncoder.encode_it"),
        (["consume", "mail", "json:dumps", "--lease", "inf"], 2, "inf is not in the range"),
        (["consume", "mail", "json:dumps", "--grace", "nan"], 2, "nan is not a number"),
        (["jobs", "purge", "mail", "--days", "nan"], 2, "nan is not a number"),
        (["jobs", "purge", "mail", "--days", "1e300"], 2, "is not in the range"),
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


def test_what_a_column_takes_may_be_its_own_text(server: Server) -> None:
    job = {"number": "1", "big": 2, "ratio": "NaN", "exact": "1e400", "yes": "off", "text": "", "raw": "\\x00",
           "at": "2000-01-01T00:00Z", "day": "today", "clock": "12:00", "span": "1 day",
           "key": "00000000-0000-0000-0000-000000000000", "data": [None, {"a": True}], "more": [1, None]}  # fmt: skip
    result(server, "enqueue", "anything", json.dumps(job))
    result(server, "enqueue", "anything", "--from", "-", given=json.dumps(job | {"more": "{3}", "data": "text"}))
    assert server.rows("SELECT big, ratio::text, yes, data, more FROM post.anything ORDER BY id") == [
        (2, "NaN", False, [None, {"a": True}], [1, None]),
        (2, "NaN", False, "text", [3]),
    ]


def test_a_file_with_a_value_of_another_type_puts_in_nothing(server: Server) -> None:
    _, err = pgbgw(server, "enqueue", "mail", "--from", "-", given='{"address": "a"}\n{"address": 1}\n', code=2)
    assert 'field "address" is of type text and takes a string, not the number 1: line 2 of <stdin>' in err
    assert server.value("SELECT count(*) FROM post.mail") == 0


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import json\njson.nothing\n", "handlers.py:2: AttributeError: module 'json' has no attribute 'nothing'"),
        ("\ndef deliver(:\n", "handlers.py:2: invalid syntax"),
        ("\nimport json\njson.loads('x')", "handlers.py:3: JSONDecodeError: Expecting value"),
        ("import nowhere", "handlers.py:1: No module named 'nowhere'"),
        ("import sys\nsys.exit(0)", "handlers.py:2: module handlers ends the program, with status 0"),
        ("raise ValueError('\\x1b[2J')", r"handlers.py:1: ValueError: \x1b[2J"),
    ],
)
def test_a_module_that_fails_when_it_is_imported_is_told_with_the_place(
    server: Server, tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "handlers.py").write_text(source)
    for what in (
        ("mail", "handlers:deliver"),
        ("handlers:mail", "json:dumps"),
        ("mail", "handlers:f", "--processes=2"),
    ):
        _, err = pgbgw(server, "consume", *what, code=2, cwd=tmp_path)
        assert "can't be imported: " in err
        assert told in err
        assert "Traceback" not in err


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
    assert "error: no\nsqlstate: 23503\ncontext:\n  first\n  second\n" in shown
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


def test_few_jobs_are_counted_and_many_about(server: Server) -> None:
    server.rows("INSERT INTO post.mail (address) SELECT n::text FROM generate_series(1, 30000) AS n")
    server.rows("ANALYZE post.mail")
    assert re.search(r"^ready +(about )?\d{5}$", pgbgw(server, "jobs", "counts", "mail")[0], re.MULTILINE)
    # what statistics would tell is far off
    server.rows("DELETE FROM post.mail WHERE address NOT IN ('1', '2', '3')")
    server.rows("SELECT pg_stat_reset_single_table_counters('post.mail'::regclass)")
    assert re.search(r"^ready +3$", pgbgw(server, "jobs", "counts", "mail")[0], re.MULTILINE)
    assert result(server, "jobs", "counts", "mail")["ready"] == 3


HOSTILE = "\x1b]0;gone\x07\x1b[2J\x9b31m\u202e"
SPELT = r"\x1b]0;gone\x07\x1b[2J\x9b31m\u202e"


def test_what_producers_wrote_is_no_command_to_a_terminal(server: Server) -> None:
    (one,) = result(server, "enqueue", "mail", json.dumps({"address": HOSTILE, "body": {HOSTILE: HOSTILE}}))["ids"]
    server.rows(
        "SELECT post.mail_fail(array_agg(id), array_agg(token), ARRAY[%s], ARRAY['23503'], ARRAY[%s], false)"
        " FROM post.mail_claim(1)", [HOSTILE, f"first\nsecond{HOSTILE}"]
    )  # fmt: skip
    for arguments in (["list", "mail"], ["show", "mail", str(one)], ["show", "mail", str(one), "--json"]):
        out, _ = pgbgw(server, "jobs", *arguments)
        assert all(each.isprintable() or each == "\n" for each in out)
    assert f"address: {SPELT}\n" in pgbgw(server, "jobs", "show", "mail", str(one))[0]
    assert result(server, "jobs", "show", "mail", str(one))["body"] == {HOSTILE: HOSTILE}


def test_values_that_python_has_no_object_for(server: Server) -> None:
    columns = "number, big, ratio, exact, yes, text, raw, at, day, clock, span, key, data"
    server.rows(
        f"INSERT INTO post.anything ({columns}) VALUES (1, 2, 'NaN', 'NaN', true, '', '\\x00', 'infinity',"
        " '0044-03-15 BC', '24:00', '1 day', '00000000-0000-0000-0000-000000000000', %s::jsonb)",
        ["[" * 1500 + "1" + "]" * 1500],
    )  # fmt: skip
    server.rows(
        f"INSERT INTO post.anything ({columns}) VALUES (1, 2, '-Infinity', '1', true, '', '', '2000-01-01',"
        " '2000-01-01', '12:00', '1 day', '00000000-0000-0000-0000-000000000000', '[1e400, 1.5]')"
    )  # fmt: skip
    found = json.loads(pgbgw(server, "jobs", "list", "anything", "--json")[0], parse_constant=pytest.fail)
    assert [job["ratio"] for job in found] == ["NaN", "-Infinity"]
    assert [found[0][name] for name in ("exact", "at", "day", "clock")] == [
        "NaN", "infinity", "0044-03-15 BC", "24:00:00"
    ]  # fmt: skip
    assert found[0]["data"].startswith("[[[")
    assert found[1]["data"][1] == 1.5
    listed = pgbgw(server, "jobs", "list", "anything")[0].splitlines()
    assert [name in listed[1] for name in ("NaN", "infinity", "0044-03-15 BC")] == [True] * 3
    assert "at: infinity\n" in pgbgw(server, "jobs", "show", "anything", str(found[0]["id"]))[0]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_of_another_encoding(server: Server, encoding: str) -> None:
    (one,) = result(server, "enqueue", "mail", '{"address": "żółw", "body": {"🐢": "ü"}}')["ids"]
    environment = {"PYTHONIOENCODING": encoding}
    for arguments in (["list", "mail"], ["show", "mail", str(one)]):
        told, _ = pgbgw(server, "jobs", *arguments, environment=environment)
        assert (r"\u017c" in told) == (encoding != "utf-8")
        found = json.loads(pgbgw(server, "jobs", *arguments, "--json", environment=environment)[0])
        job = found[0] if isinstance(found, list) else found
        assert (job["address"], job["body"]) == ("żółw", {"🐢": "ü"})


def test_a_job_has_a_line_on_a_narrow_terminal(server: Server) -> None:
    long = json.dumps({"address": f"{'a' * 30}@{'b' * 30}", "body": "word " * 30})
    result(server, "enqueue", "mail", long, long, "--at", "2100-01-01T00:00Z")
    server.rows("UPDATE post.mail_later SET error = %s, sqlstate = '23503'", ["it did not work " * 10])
    terminal = {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}
    out, err = pgbgw(server, "jobs", "list", "mail", environment=terminal)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["id", "address", "body", "status", "attempts", "when", "error"]
    assert re.search(r"aaaaaa… +\"?word w.*… +later +0 +in \d+ d +it did.*…$", lines[1])
    assert all(len(line) <= 80 for line in lines)
    assert "left out: sqlstate, priority; " in err


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
    (tmp_path / "methods.py").write_text(
        "class Post:\n    @staticmethod\n    def deliver(mail):\n        print(mail['address'])\n"
    )
    pgbgw(server, "enqueue", "mail", '{"address": "m"}')
    out, _ = pgbgw(server, "consume", "mail", "methods:Post.deliver", "--until-empty", cwd=tmp_path)
    assert out == "m\n1 done, 0 failed, 0 released, 0 lost\n"
    pgbgw(server, "enqueue", "mail", '{"address": "d"}')
    out, _ = pgbgw(server, "consume", "mail", "handlers:refuse", "--until-empty", "--json", cwd=tmp_path)
    assert json.loads(out)["failed"] >= 1
