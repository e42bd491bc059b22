"""The command line without a server: what is printed where, and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pgbgw.build import CompileError, CompilerMessage, StageError, ToolMissing, TreeRefused
from pgbgw.cli.app import MISSING, SERVER, USAGE, cli
from pgbgw.cli.logs import WorkerLines
from pgbgw.cli.project import Done, Project, Record
from pgbgw.cli.terminal import json_text, note, printable, table, warning
from pgbgw.observe import QueueNames, StateNames, Subject, TableNames
from pgbgw.origin import Origin
from pgbgw.server import ServerError
from pgbgw.server.load import LoadError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my_worker.py"
VERBS = ["new", "check", "show", "build", "install", "load", "run", "connect", "status", "stop", "explain"]

FAULTY = """\
from pgbgw import Extension, seconds, sql

shop = Extension("shop", database="shopdb")
shop.interval_worker("tidy", every=seconds(1), run=sql("DELETE FORM public.outbox"))
shop.interval_worker("9s", every=seconds(1), run=sql("SELECT 1"))
"""
WARNED = """\
from pgbgw import Extension, seconds, sql

shop = Extension("shop", database="shopdb")
unused = shop.int_setting("unused", 1, min=1, max=2, comment="Nobody reads it.")
shop.interval_worker("tidy", every=seconds(1), run=sql("DELETE FROM public.outbox"))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGBGW_HOME", str(tmp_path / "home"))
    return tmp_path


def pgbgw(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_help_lists_every_verb_in_the_order_of_work() -> None:
    result = pgbgw("--help")
    assert result.exit_code == 0
    places = [result.stdout.index(f"\n  {verb} ") for verb in VERBS]
    assert places == sorted(places)
    assert "Exit codes:" in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_teaches_by_example(verb: str) -> None:
    result = pgbgw(verb, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n    pgbgw {verb}" in result.stdout.replace("sudo ", "")


def test_version() -> None:
    assert pgbgw("--version").stdout.startswith("pgbgw 0")


def test_an_unknown_verb_is_a_fault_of_the_command_line() -> None:
    assert pgbgw("frobnicate").exit_code == USAGE


def test_check_says_what_is_declared() -> None:
    result = pgbgw("check", EXAMPLE)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert 'no faults; extension "my_worker" has 2 workers, 1 queue, 1 shared state, 4 settings' in result.stdout


def test_check_prints_all_faults_on_standard_error(folder: Path) -> None:
    (folder / "shop.py").write_text(FAULTY)
    result = pgbgw("check", "shop.py")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error[BGW201]" in result.stderr
    assert "--> shop.py:4:" in result.stderr
    assert "--> shop.py:5:" in result.stderr
    assert result.stderr.endswith("shop.py: 2 errors\n")
    assert "\x1b" not in result.stderr


def test_check_of_a_missing_file_is_a_diagnostic() -> None:
    result = pgbgw("check", "nowhere.py")
    assert result.exit_code == 1
    assert "error[BGW001]" in result.stderr


def test_warnings_count_under_strict_only(folder: Path) -> None:
    (folder / "shop.py").write_text(WARNED)
    lenient, strict = pgbgw("check", "shop.py"), pgbgw("check", "shop.py", "--strict")
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "warning[BGW" in lenient.stderr
    assert "shop.py: 1 warning; extension" in lenient.stdout


def test_check_for_scripts(folder: Path) -> None:
    (folder / "shop.py").write_text(FAULTY)
    result = pgbgw("check", "shop.py", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["ok"], found["errors"], found["warnings"]) == (False, 2, 0)
    assert found["diagnostics"][0]["code"] == "BGW201"
    assert found["diagnostics"][0]["line"] == 4


def test_majors_out_of_range_are_refused() -> None:
    assert pgbgw("check", EXAMPLE, "--major", "14").exit_code == USAGE


def test_more_slots_let_more_processes_pass(folder: Path) -> None:
    more = WARNED + "".join(
        f'shop.interval_worker("w{n}", every=seconds(1), run=sql("DELETE FROM public.outbox"))\n' for n in range(9)
    )
    (folder / "shop.py").write_text(more)
    assert "BGW701" in pgbgw("check", "shop.py").stderr
    assert "BGW701" not in pgbgw("check", "shop.py", "--max-worker-processes", "16").stderr


def test_show_prints_each_form() -> None:
    text = pgbgw("show", EXAMPLE, "--c").stdout
    names = pgbgw("show", EXAMPLE, "--list").stdout.splitlines()
    for name in names:
        assert (f"/* ==== {name} ==== */" in text) == name.endswith((".c", ".h"))
        assert pgbgw("show", EXAMPLE, "--file", name).exit_code == 0
    assert "CREATE FUNCTION public.launch_dynamic_worker" in pgbgw("show", EXAMPLE, "--sql").stdout
    assert "shared_preload_libraries" in pgbgw("show", EXAMPLE, "--conf").stdout
    assert pgbgw("show", EXAMPLE, "--ir").stdout.startswith("module: ModuleIR")


@pytest.mark.parametrize("arguments", [(), ("--c", "--file", "Makefile"), ("--file", "nothing.c")])
def test_show_asks_for_one_form(arguments: tuple[str, ...]) -> None:
    result = pgbgw("show", EXAMPLE, *arguments)
    assert result.exit_code == USAGE
    assert result.stdout == ""


def test_show_gives_the_same_bytes_everywhere(folder: Path) -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-m", "pgbgw", "show", str(EXAMPLE), "--c"],
            cwd=where,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "LC_ALL": locale},
            capture_output=True,
            check=True,
        ).stdout
        for where, seed, locale in ((folder, "1", "C"), (ROOT / "examples", "2", "C.UTF-8"))
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000


def test_new_writes_a_declaration_without_faults() -> None:
    assert pgbgw("new", "shop", "sub/folder").exit_code == 0
    result = pgbgw("check", "sub/folder/shop.py", "--strict")
    assert result.exit_code == 0, result.stderr


def test_new_overwrites_nothing(folder: Path) -> None:
    (folder / "shop.sql").write_text("mine")
    result = pgbgw("new", "shop")
    assert result.exit_code == USAGE
    assert "Error: shop.sql exists already" in result.stderr
    assert [path.name for path in folder.iterdir()] == ["shop.sql"]
    assert (folder / "shop.sql").read_text() == "mine"


def test_new_counts_what_exists(folder: Path) -> None:
    assert pgbgw("new", "shop").exit_code == 0
    assert "shop.py and shop.sql exist already" in pgbgw("new", "shop").stderr


@pytest.mark.parametrize("name", ["Shop", "1st", "a-b", "../x", "class", "x" * 70, "pg_shop"])
def test_new_refuses_a_name_that_check_would_refuse(name: str, folder: Path) -> None:
    result = pgbgw("new", name)
    assert result.exit_code == USAGE
    assert "can't name an extension" in result.stderr
    assert list(folder.iterdir()) == []


def test_explain() -> None:
    result = pgbgw("explain", "bgw201")
    assert result.exit_code == 0
    assert result.stdout.startswith("error[BGW201]: SQL does not parse\n")
    assert len(pgbgw("explain").stdout.splitlines()) > 50


def test_explain_suggests_what_may_have_been_meant() -> None:
    result = pgbgw("explain", "BGW2011")
    assert result.exit_code == USAGE
    assert "did you mean" in result.stderr
    assert "BGW201" in result.stderr


@pytest.mark.parametrize("verb", ["build", "install"])
def test_a_server_that_is_not_there_is_something_missing(verb: str) -> None:
    result = pgbgw(verb, EXAMPLE, "--pg-config", "/nonexistent/pg_config")
    assert result.exit_code == MISSING
    assert result.stderr.startswith('error: pg_config "/nonexistent/pg_config" does not exist\n  = hint: ')


def test_verbs_of_the_project_without_one() -> None:
    assert pgbgw("stop").exit_code == 0
    assert json.loads(pgbgw("status", "--json").stdout)["cluster"]["state"] == "none"
    result = pgbgw("connect")
    assert result.exit_code == SERVER
    assert "pgbgw run FILE" in result.stderr


def test_load_takes_the_only_declaration_or_asks(folder: Path) -> None:
    assert "no declaration is in the current folder" in pgbgw("load", "dbname=x").stderr
    for name in ("a.py", "b.py"):
        (folder / name).write_text(FAULTY)
    (folder / "other.py").write_text("import os\n")
    result = pgbgw("load", "dbname=x")
    assert result.exit_code == USAGE
    assert "2 declarations: a.py, b.py" in result.stderr
    assert "DSN comes first" in pgbgw("load", "a.py").stderr


def test_load_tells_why_it_can_not_connect() -> None:
    result = pgbgw("load", "host=/nonexistent dbname=x", EXAMPLE)
    assert result.exit_code == SERVER
    assert "error: could not connect to the server\n  = detail: " in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CompileError("x", messages=(), log="", detail="y"), 1),
        (TreeRefused("x"), USAGE),
        (ToolMissing("x"), MISSING),
        (ServerError("x"), SERVER),
        (LoadError("slots", "x"), SERVER),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pgbgw.cli.stop.open_project", fail)
    result = pgbgw("stop")
    assert result.exit_code == code
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_parts_of_an_error_stand_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StageError("it [bold]broke", detail="First.\nSecond.", hint="Mend it.")

    monkeypatch.setattr("pgbgw.cli.stop.open_project", fail)
    expected = "error: it [bold]broke\n  = detail: First.\n      Second.\n  = hint: Mend it.\n"
    assert pgbgw("stop").stderr == expected


def test_a_compiler_message_is_shown_at_the_declared_value(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / "shop.py"
    path.write_text("first\nsecond value\n")
    message = CompilerMessage("w.c", 7, 3, "expected ';'", Origin(str(path), 2, 8, 2, 13), "    7 | int x\n      | ^")

    def fail(*_: object) -> None:
        raise CompileError("the C does not compile", messages=(message,), log="", detail="d")

    monkeypatch.setattr("pgbgw.cli.stop.open_project", fail)
    shown = pgbgw("stop").stderr
    assert "error[C]: expected ';'" in shown
    assert "--> shop.py:2:8" in shown
    assert "2 | second value" in shown
    assert "w.c:7:3" in shown
    assert "    7 | int x" in shown
    assert "error: the C does not compile\n" in shown


SUBJECT = Subject(
    "shop", "1.0", "shop.workers", ("task",), ("mail worker",), (QueueNames("q", "a", "b"),),
    (StateNames("s", "shop.s"),), ("shop.x",), "shop.schedule_status",
    (TableNames("jobs", "shop.jobs", "shop.jobs_runs"),),
)  # fmt: skip


def test_what_run_remembers_is_read_back(folder: Path) -> None:
    (folder / ".pgbgw").mkdir()
    project = Project(folder)
    assert project.latest is None
    record = Record("shop.py", 3, SUBJECT, serves=("db",)).with_done("db", Done(setup="1", script="2"))
    project.keep(record)
    assert Project(folder).latest == record
    assert Project(folder).latest is not None
    assert [path.name for path in (folder / ".pgbgw").iterdir()] == ["project.json"]


def test_what_an_earlier_version_remembered_has_no_schedules() -> None:
    written = {name: value for name, value in SUBJECT.to_json().items() if name not in ("schedules", "tables")}
    assert Subject.from_json(written) == replace(SUBJECT, schedules=None, tables=())


def test_what_a_terminal_would_take_for_a_command_is_spelt() -> None:
    assert printable("día\x1b[2J\x07\x9b\u202e\n") == "día\\x1b[2J\\x07\\x9b\\u202e\\n"
    assert printable("one\n\ttwo\r", lines=True) == "one\n\ttwo\\r"


def test_tables_and_notes_spell_it(capsys: pytest.CaptureFixture[str]) -> None:
    table(["a\x1b[2J"], [["b\x1b]0;c\x07\u202e"], ["d\x9b31m"]])
    note("e\x1b[2J")
    warning("f\x1b[2J")
    found = capsys.readouterr()
    assert found.out.split() == [r"a\x1b[2J", r"b\x1b]0;c\x07\u202e", r"d\x9b31m"]
    assert found.err == "e\\x1b[2J\nwarning: f\\x1b[2J\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("arguments", [["schedule", "@daily"], ["schedule", "@daily", "--json"], ["explain"], ["-h"]])
def test_a_full_disk_is_told(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "pgbgw", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert ran.returncode == USAGE
    assert ran.stderr.splitlines()[-1] == "error: could not write the output: No space left on device"
    assert "Traceback" not in ran.stderr


def test_json_is_json_and_spells_it_too() -> None:
    value = {"é\x1b\x7f": ["\x9b\u202e\U000e0041\ud800\n", float("nan"), float("inf"), (-float("inf"), 1.5)]}
    text = json_text(value)
    assert all(each.isprintable() or each == "\n" for each in text)
    assert "é" in text
    text_of_numbers = ["NaN", "Infinity", ["-Infinity", 1.5]]
    assert json.loads(text, parse_constant=pytest.fail) == {
        "é\x1b\x7f": ["\x9b\u202e\U000e0041\ud800\n", *text_of_numbers]
    }


def test_a_spoilt_record_is_told(folder: Path) -> None:
    (folder / ".pgbgw").mkdir()
    (folder / ".pgbgw" / "project.json").write_text("[]")
    with pytest.raises(ServerError, match="could not read") as caught:
        Project(folder)
    assert "Delete it" in (caught.value.hint or "")


def test_log_lines_of_workers_are_picked_with_what_belongs_to_them() -> None:
    when = "2026-01-01 00:00:00.000 UTC"
    lines = [
        (f"{when} [1] postmaster LOG:  database system is ready", False),
        (f'{when} [2] mail worker LOG:  worker "mail worker" started', True),
        (f"{when} [2] mail worker ERROR:  it broke", True),
        ("\tthe second line of it", True),
        (f"{when} [3] client backend ERROR:  mail worker", False),
        ("\tthe second line of that", False),
        (f'{when} [1] postmaster LOG:  background worker "mail worker 2" (PID 9) exited with exit code 1', True),
        (f"{when} [4] checkpointer PANIC:  no space", True),
    ]
    wanted = WorkerLines([SUBJECT])
    assert [wanted.concerns(line) for line, _ in lines] == [expected for _, expected in lines]
