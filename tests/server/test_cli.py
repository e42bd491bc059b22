"""The command line with servers: the project's own cluster from first run to stop, building, installing, loading."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pgbgw.build import Pg
from pgbgw.cli.app import cli
from pgbgw.cli.project import alone
from pgbgw.faults.waiting import eventually
from pgbgw.server import Cluster, open_project, throwaway_cluster
from pgbgw.server.load import connect

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my_worker.py"

BROKEN_C = """\
from pgbgw import Extension, seconds

shop = Extension("shop")
shop.c_worker("sampler", source="sampler.c", every=seconds(1))
"""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the server's user can pass through, with a fresh declaration in it; its cluster goes with it."""
    path = Path(tempfile.mkdtemp(prefix="pgbgw-test-", dir="/tmp"))
    path.chmod(0o711)
    monkeypatch.chdir(path)
    monkeypatch.setenv("PGBGW_HOME", str(path / "home"))
    assert pgbgw("new", "shop").exit_code == 0
    yield path
    cluster = open_project(path)
    if cluster is not None:
        cluster.stop("immediate")
    shutil.rmtree(path)


def pgbgw(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def run(*arguments: str) -> Result:
    return pgbgw("run", "shop.py", "--detach", *arguments)


def status() -> Any:
    return json.loads(pgbgw("status", "--json").stdout)


def cluster_of(project: Path) -> Cluster:
    cluster = open_project(project)
    assert cluster is not None
    return cluster


def execute(project: Path, statement: str, database: str = "postgres") -> Any:
    with connect(cluster_of(project).conninfo(database)) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_run_connect_status_stop_and_run_again(project: Path) -> None:
    first = run()
    assert first.exit_code == 0, first.stderr
    assert 'extension "shop" 1.0 created in database "postgres"' in first.stdout
    assert "or go on with: python -m pgbgw connect, python -m pgbgw status, python -m pgbgw stop" in first.stdout
    execute(project, "INSERT INTO shop.jobs (task) SELECT 'x' FROM generate_series(1, 1000)")
    eventually(lambda: execute(project, "SELECT count(*) FROM shop_log") == (1000,))

    shown = pgbgw("connect", "--show")
    assert shown.stdout == f"{cluster_of(project).conninfo('postgres')}\n"
    assert "--show goes without --command" in pgbgw("connect", "--show", "-c", "SELECT 1").stderr

    found = status()
    assert found["cluster"]["state"] == "running"
    (extension,) = found["extensions"]
    assert [each["state"] in ("idle", "working") for each in extension["processes"]] == [True, True]
    counts = {"name": "jobs", "ready": 0, "later": 0, "failed": 0, "running": None, "paused": False, "estimated": []}
    assert extension["queues"] == [counts]
    assert "shop worker" in pgbgw("status").stdout

    # a large table whose jobs are all done is still large, and the server's statistics come late
    execute(project, "INSERT INTO shop.jobs (task) SELECT 'x' FROM generate_series(1, 20000)")
    eventually(lambda: execute(project, "SELECT count(*) FROM shop_log") == (21000,))
    assert status()["extensions"][0]["queues"] == [counts]
    execute(project, "SELECT shop.jobs_pause()")
    execute(project, "INSERT INTO shop.jobs (task) SELECT 'x' FROM generate_series(1, 10500)")
    (queue,) = status()["extensions"][0]["queues"]
    assert (queue["ready"] >= 10000, queue["estimated"], queue["paused"]) == (True, ["ready"], True)
    assert "about 1" in pgbgw("status").stdout
    execute(project, "SELECT shop.jobs_resume()")
    eventually(lambda: execute(project, "SELECT count(*) FROM shop_log") == (31500,))

    command = [sys.executable, "-m", "pgbgw", "connect", "-c", "SELECT 6 * 7 AS answer"]
    said = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (said.returncode, "42" in said.stdout) == (0, True), said.stderr

    assert "the cluster is stopped" in pgbgw("stop").stdout
    assert pgbgw("stop").exit_code == 0
    assert status()["cluster"]["state"] == "stopped"
    assert pgbgw("connect").exit_code == 4

    again = run()
    assert again.exit_code == 0, again.stderr
    assert "was there already" in again.stdout
    assert "running shop.sql" not in again.stderr
    assert execute(project, "SELECT count(*) FROM shop_log") == (31500,)


def test_a_changed_declaration_never_loses_jobs_unasked(project: Path) -> None:
    edit(project / "shop.sql", "BEGIN\n", "BEGIN\n    RAISE EXCEPTION 'not today';\n")
    assert run().exit_code == 0
    execute(project, "INSERT INTO shop.jobs (task) VALUES ('x')")
    eventually(lambda: execute(project, "SELECT count(*) FROM shop.jobs_later") == (1,))
    edit(project / "shop.py", "task: str", "task: str\n    note: str | None")
    pid = status()["cluster"]["pid"]
    refused = run()
    assert refused.exit_code == 4
    assert "its queues hold jobs" in refused.stderr
    assert "shop.jobs_later (1)" in refused.stderr
    assert (status()["cluster"]["pid"], status()["cluster"]["state"]) == (pid, "running")
    reset = run("--reset")
    assert reset.exit_code == 0, reset.stderr
    assert execute(project, "SELECT count(note) FROM shop.jobs_later") == (0,)


def extension_oid(project: Path) -> Any:
    return execute(project, "SELECT oid FROM pg_extension WHERE extname = 'shop'")


@pytest.mark.parametrize("forget", ["other database", "record"])
def test_an_extension_that_did_not_change_is_kept(project: Path, forget: str) -> None:
    assert run().exit_code == 0
    first = extension_oid(project)
    if forget == "record":
        (project / ".pgbgw" / "project.json").unlink()
    else:
        assert run("--database", "other").exit_code == 0
        assert [each["database"] for each in status()["extensions"]] == ["other"]
    again = run()
    assert again.exit_code == 0, again.stderr
    assert "was there already" in again.stdout
    assert extension_oid(project) == first
    assert [each["database"] for each in status()["extensions"]] == ["postgres"]


def test_a_failing_preparation_puts_the_server_back(project: Path) -> None:
    assert run().exit_code == 0
    (project / "shop.sql").write_text("SELECT 1 / 0;\n")
    failed = run()
    assert failed.exit_code == 4
    assert "starting the server as it was before" in failed.stderr
    (extension,) = status()["extensions"]
    assert eventually(lambda: [each["pid"] for each in status()["extensions"][0]["processes"] if each["pid"]])
    assert extension["preloaded"]


def test_a_detached_server_whose_workers_fail_stays_to_be_mended(project: Path) -> None:
    edit(project / "shop.py", "    database=database,", "    database=database,\n    role=role,")
    setting = 'role = shop.string_setting("role", "ghost", context="postmaster", comment="Role.")\nstats ='
    edit(project / "shop.py", "stats =", setting)
    result = run("--timeout", "1")
    assert result.exit_code == 4
    assert "the server runs on" in result.stderr
    assert 'python -m pgbgw connect -c "CREATE ROLE ghost LOGIN;"' in result.stderr
    assert status()["cluster"]["state"] == "running"
    execute(project, "CREATE ROLE ghost LOGIN SUPERUSER")
    mended = run()
    assert mended.exit_code == 0, mended.stderr


def test_two_runs_at_once_wait_for_each_other(project: Path) -> None:
    command = [sys.executable, "-m", "pgbgw", "run", "shop.py", "--detach"]
    with alone(project / ".pgbgw"):
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stderr is not None
        assert "another pgbgw run is at work here; waiting" in process.stderr.readline()
        assert not (project / ".pgbgw" / "build").exists()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_a_database_that_is_gone_is_told_and_made_again(project: Path) -> None:
    assert run("--database", "other").exit_code == 0
    execute(project, "DROP DATABASE other WITH (FORCE)")
    (gone,) = status()["extensions"]
    assert gone["error"] == 'database "other" does not exist; python -m pgbgw run shop.py makes it'
    shown = pgbgw("status")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("cluster: running")
    assert gone["error"] in shown.stdout
    with connect(cluster_of(project).conninfo("template1")) as connection:
        connection.execute("DROP DATABASE postgres WITH (FORCE)")
    again = run()
    assert again.exit_code == 0, again.stderr
    (back,) = status()["extensions"]
    assert (back["database"], back["error"], back["version"]) == ("postgres", None, "1.0")


def test_a_field_of_a_state_does_not_hide_its_name(project: Path) -> None:
    edit(project / "shop.py", "    done = Counter", '    name = Counter("Named like its state.")\n    done = Counter')
    assert run().exit_code == 0
    (state,) = status()["extensions"][0]["states"]
    assert (state["name"], state["values"]["name"]) == ("job", 0)


def test_what_run_prints_goes_through_a_shell(project: Path) -> None:
    result = run("--database", 'a "$b" `c`')
    assert result.exit_code == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if "connect with: " in line)
    psql, dsn = shlex.split(line.partition("connect with: ")[2])
    assert (psql, dsn) == ("psql", cluster_of(project).conninfo('a "$b" `c`'))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's cluster lives elsewhere")
def test_a_deleted_record_does_not_lose_the_cluster_of_root(project: Path) -> None:
    assert run().exit_code == 0
    pid, first = status()["cluster"]["pid"], extension_oid(project)
    shutil.rmtree(project / ".pgbgw")
    assert status()["cluster"]["pid"] == pid
    again = run()
    assert again.exit_code == 0, again.stderr
    assert extension_oid(project) == first


def test_an_empty_queue_lets_a_changed_declaration_through(project: Path) -> None:
    assert run().exit_code == 0
    edit(project / "shop.py", "task: str", "task: str\n    note: str | None")
    changed = run()
    assert changed.exit_code == 0, changed.stderr
    assert "1.0 created in database" in changed.stdout


def test_a_setup_that_fails_names_its_line_and_can_be_repeated(project: Path) -> None:
    good = (project / "shop.sql").read_text()
    (project / "shop.sql").write_text("CREATE TABLE public.first_half ();\n\nSELECT 1 / 0;\n")
    result = run()
    assert result.exit_code == 4
    assert "error: the setup script" in result.stderr
    assert "shop.sql:3: ERROR:  division by zero" in result.stderr
    assert "Traceback" not in result.stderr
    (project / "shop.sql").write_text(good + "CREATE TABLE public.first_half ();\n")
    assert run().exit_code == 0


def test_the_database_that_a_setting_names_is_made(project: Path) -> None:
    result = run("--database", "It's mine")
    assert result.exit_code == 0, result.stderr
    assert status()["extensions"][0]["database"] == "It's mine"
    assert execute(project, "SHOW shop.database") == ("It's mine",)


def test_a_database_that_the_declaration_fixes_can_not_be_chosen(project: Path) -> None:
    edit(project / "shop.py", "    database=database,", '    database="fixed",')
    result = run("--database", "other")
    assert result.exit_code == 2
    assert '"fixed"' in result.stderr
    assert open_project(project) is None


def test_more_processes_than_a_server_has_by_default(project: Path) -> None:
    edit(project / "shop.py", "workers=2", "workers=12")
    result = run()
    assert result.exit_code == 0, result.stderr
    assert len(status()["extensions"][0]["processes"]) == 12


def test_faults_and_c_that_does_not_compile_touch_no_cluster(project: Path) -> None:
    (project / "shop.py").write_text(BROKEN_C)
    (project / "sampler.c").write_text('#include "postgres.h"\n\nvoid sampler(void) { undeclared = 1; }\n')
    result = run()
    assert result.exit_code == 1, result.stderr
    assert "error[C]: 'undeclared' undeclared" in result.stderr
    assert "error: the C of extension" in result.stderr
    (project / "shop.py").write_text("from pgbgw import nothing\n")
    assert run().exit_code == 1
    assert open_project(project) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_log_stops_the_server(project: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pgbgw", "run", "shop.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever started the tests in the background may have had SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        shown = list(itertools.takewhile(lambda line: "in another terminal" not in line, lines))
        assert any(line.startswith("the server runs; connect with: psql ") for line in shown)
        assert cluster_of(project).status().state == "running"
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors.endswith("stopping the server\n")
    assert "waits for extension" not in "".join([*shown, rest])
    assert cluster_of(project).status().state == "stopped"


def test_what_build_leaves_is_installed_without_python(project: Path, pg: Pg) -> None:
    built = pgbgw("build", EXAMPLE, "--pg-config", pg.pg_config, "--out", "out", "--json")
    assert built.exit_code == 0, built.stderr
    assert json.loads(built.stdout)["library"] == str(project / "out" / "my_worker.so")
    make = ["make", "-C", "out", f"PG_CONFIG={pg.pg_config}", f"DESTDIR={project / 'dest'}", "install"]
    done = subprocess.run(make, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert " -c " not in done.stdout.replace("install -c", "")
    assert {path.suffix for path in (project / "dest").rglob("my_worker*")} == {".so", ".sql", ".control"}


def test_install_and_load_on_a_server_of_somebody_else(project: Path, pg: Pg) -> None:
    with throwaway_cluster(pg, start=False) as cluster:
        cluster.start()
        dsn = cluster.conninfo()
        first = pgbgw("load", dsn, EXAMPLE)
        assert first.exit_code == 4
        assert "pgbgw install" in first.stderr
        own = cluster.pg
        if own.origin == "private":
            installed = pgbgw("install", EXAMPLE, "--pg-config", own.pg_config)
            assert installed.exit_code == 0, installed.stderr
            assert "what remains to be done:" in installed.stdout
            assert "CREATE EXTENSION my_worker;" in installed.stdout
        else:
            built = pgbgw("build", EXAMPLE, "--pg-config", pg.pg_config, "--out", "out")
            assert built.exit_code == 0, built.stderr
            make = ["make", "-C", "out", f"PG_CONFIG={pg.pg_config}", f"DESTDIR={project / 'dest'}", "install"]
            subprocess.run(make, capture_output=True, check=True)
            for path in (project / "dest").rglob("my_worker*"):
                folder = "lib" if path.suffix == ".so" else "share/extension"
                if path.is_file():
                    shutil.copy(path, cluster.extension_dir() / folder)
        second = pgbgw("load", dsn, EXAMPLE)
        assert second.exit_code == 4
        assert "ALTER SYSTEM SET shared_preload_libraries = 'my_worker';" in second.stderr
        cluster.preload("my_worker")
        cluster.restart()
        third = pgbgw("load", dsn, EXAMPLE)
        assert third.exit_code == 0, third.stderr
        assert 'worker "my_custom_worker" runs, process ' in third.stdout
        seen = json.loads(pgbgw("status", EXAMPLE, "--dsn", dsn, "--json").stdout)
        assert seen["cluster"] is None
        assert seen["extensions"][0]["processes"][0]["title"] == "my_custom_worker"
