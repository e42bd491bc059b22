"""Clusters of our own: their life, what they survive, and that nothing is written outside their folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgbgw.build import Pg, ToolMissing, build
from pgbgw.faults.waiting import eventually
from pgbgw.server import (
    Cluster,
    InstallError,
    ServerError,
    ServerUser,
    StartError,
    create_project,
    open_project,
    private_server,
    server_user,
    throwaway_cluster,
)
from tests.server.tiny_extension import tiny_tree

NO_SYNC = ("--no-sync",)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can pass through, which pytest's own are not when we are root."""
    path = Path(tempfile.mkdtemp(prefix="pgbgw-test-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def shared(pg: Pg) -> Iterator[Cluster]:
    """One cluster for all tests that leave it as it was, of a server in its own place."""
    path = Path(tempfile.mkdtemp(prefix="pgbgw-test-", dir="/tmp"))
    path.chmod(0o711)
    made = Cluster.create(path / "c", pg, initdb_options=NO_SYNC)
    yield made
    made.remove()
    path.rmdir()


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """A stopped cluster with no settings but ours."""
    yield shared
    shared.stop("immediate")
    shared.set(dict.fromkeys(shared.settings))
    shared.log_path.unlink(missing_ok=True)


def ask(cluster: Cluster, query: str, dbname: str = "postgres") -> str:
    with psycopg.connect(cluster.conninfo(dbname), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def listing(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_life(cluster: Cluster) -> None:
    assert cluster.status().state == "stopped"
    cluster.start()
    first = cluster.status()
    assert first.state == "running"
    cluster.start()
    assert cluster.status() == first
    assert ask(cluster, "SHOW listen_addresses") == ""
    assert ask(cluster, "SELECT upper('é')") == "É"
    assert ask(cluster, "SHOW server_encoding") == "UTF8"
    cluster.restart()
    assert cluster.status().running
    assert cluster.status().pid != first.pid
    cluster.stop()
    cluster.stop()
    assert cluster.status().pid is None


def test_a_cluster_is_found_again(cluster: Cluster) -> None:
    cluster.start()
    again = Cluster.open(cluster.directory, cluster.pg)
    assert again.status() == cluster.status()
    assert ask(again, "SELECT 1") == "1"


def test_the_terminal_does_not_reach_the_server(cluster: Cluster) -> None:
    """Ctrl-C goes to the session of the terminal, so the server must have one of its own."""
    cluster.start()
    pid = cluster.status().pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)


def test_settings(cluster: Cluster) -> None:
    odd = "it's \\ a\ttab\nand a line"
    cluster.set({"my.odd": odd, "work_mem": "5MB", "log_statement": "ddl"})
    cluster.start()
    assert ask(cluster, "SHOW my.odd") == odd
    assert ask(cluster, "SHOW work_mem") == "5MB"
    cluster.set({"work_mem": "6MB", "log_statement": None})
    cluster.reload()
    eventually(lambda: ask(cluster, "SHOW work_mem") == "6MB", what="the new setting")
    assert ask(cluster, "SHOW log_statement") == "none"
    assert cluster.settings["my.odd"] == odd


def test_preload_keeps_what_stands(cluster: Cluster) -> None:
    cluster.set({"shared_preload_libraries": "plpgsql"})
    cluster.preload("dict_snowball")
    cluster.preload("dict_snowball")
    cluster.start()
    assert ask(cluster, "SHOW shared_preload_libraries") == "plpgsql, dict_snowball"


def test_the_log_is_read_on_from_where_it_was_left(cluster: Cluster) -> None:
    assert cluster.log_lines().lines == ()
    cluster.start()
    seen = cluster.log_lines()
    assert any("ready to accept connections" in line for line in seen.lines)
    ask(cluster, "DO $$BEGIN RAISE LOG 'a line of the test'; END$$")
    later = eventually(lambda: [line for line in cluster.log_lines(seen.offset).lines if "a line of the test" in line])
    assert " client backend LOG:  a line of the test" in later[0]
    with cluster.log_path.open("a") as log:
        log.write("half a li")
    half = cluster.log_lines(seen.offset)
    assert not any("half" in line for line in half.lines)
    assert half.offset == cluster.log_path.stat().st_size - len("half a li")
    assert cluster.log_lines(10**9).lines[0] == seen.lines[0]


def test_psql(cluster: Cluster) -> None:
    cluster.start()
    try:
        command = cluster.psql_command()
    except ToolMissing:
        pytest.skip("this server comes without psql")
    ran = subprocess.run([*command, "-Atc", "SELECT current_user"], capture_output=True, text=True, check=True)
    assert ran.stdout == "postgres\n"


def test_a_server_that_does_not_come_up_says_why(cluster: Cluster) -> None:
    cluster.preload("no_such_library")
    with pytest.raises(StartError, match="did not start") as raised:
        cluster.start()
    assert 'could not access file "no_such_library"' in str(raised.value.detail)
    assert str(cluster.log_path) in str(raised.value.hint)
    assert raised.value.log
    assert cluster.status().state == "stopped"


def test_a_killed_server_starts_again(cluster: Cluster) -> None:
    cluster.start()
    pid = cluster.status().pid
    assert pid is not None
    os.kill(pid, 9)
    eventually(lambda: not cluster.status().running, what="the end of the postmaster")
    assert (cluster.data / "postmaster.pid").exists()
    cluster.start()
    assert ask(cluster, "SELECT 1") == "1"


def as_user(user: ServerUser, *command: str) -> subprocess.Popen[bytes]:
    if not user.switch:
        return subprocess.Popen(command, cwd="/")
    return subprocess.Popen(command, cwd="/", user=user.uid, group=user.gid, extra_groups=[])


def test_a_pid_that_another_process_got_is_no_server(cluster: Cluster) -> None:
    """As after a reboot: the same user's process has the number, which PostgreSQL itself takes for a server."""
    cluster.start()
    lines = (cluster.data / "postmaster.pid").read_text().splitlines()
    cluster.stop()
    with as_user(cluster.user, "sleep", "60") as other:
        stale = "\n".join([str(other.pid), *lines[1:]]) + "\n"
        (cluster.data / "postmaster.pid").write_text(stale)
        (cluster.socket_dir / ".s.PGSQL.5432.lock").write_text(stale)
        assert cluster.status().state == "stopped"
        cluster.start()
        assert cluster.status().pid not in (None, other.pid)
        other.kill()


def test_an_interrupted_initdb_leaves_nothing_in_the_way(pg: Pg, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ServerUser.run

    def interrupted(
        self: ServerUser, command: list[str | Path], *, cwd: Path | None = None, timeout: float | None = None
    ) -> object:
        ran = real(self, command, cwd=cwd, timeout=timeout)
        if "-D" in command:
            raise KeyboardInterrupt
        return ran

    with monkeypatch.context() as patch:
        patch.setattr(ServerUser, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Cluster.create(folder / "c", pg, initdb_options=NO_SYNC)
    assert not any(path.name.startswith("data") for path in (folder / "c").iterdir())
    # What a kill -9 leaves is not cleaned up by anybody, until the next attempt.
    (folder / "c" / "data.new").mkdir()
    (folder / "c" / "data.new" / "PG_VERSION").write_text("1")
    made = Cluster.create(folder / "c", pg, initdb_options=NO_SYNC)
    made.start()
    made.remove()


def test_initdb_says_why_it_failed(pg: Pg, folder: Path) -> None:
    with pytest.raises(ServerError, match="initdb failed") as raised:
        Cluster.create(folder / "c", pg, initdb_options=["--no-such-option"])
    assert "--no-such-option" in str(raised.value.detail)
    assert not (folder / "c" / "data").exists()


def test_a_cluster_is_not_made_twice(cluster: Cluster) -> None:
    with pytest.raises(ServerError, match="there is a cluster"):
        Cluster.create(cluster.directory, cluster.pg)


def test_odd_folders(pg: Pg, folder: Path) -> None:
    """Spaces, quotes and commas; and so long that the socket has to live elsewhere."""
    for name in ('it\'s my, "odd" one', "x" * 110):
        made = Cluster.create(folder / name, pg, initdb_options=NO_SYNC)
        made.start()
        assert ask(made, "SELECT 1") == "1"
        assert made.socket_dir.stat().st_mode & 0o077 == 0
        made.remove()
        assert not made.socket_dir.exists()
    with pytest.raises(ServerError, match="cannot live in"):
        Cluster.create(folder / "a:b", pg)


def test_a_socket_folder_that_is_open_to_others_is_not_used(cluster: Cluster) -> None:
    cluster.socket_dir.mkdir(exist_ok=True)
    cluster.socket_dir.chmod(0o777)
    with pytest.raises(ServerError, match="is not a private folder"):
        cluster.start()
    cluster.socket_dir.rmdir()


def test_a_moved_cluster_finds_itself(cluster: Cluster, folder: Path) -> None:
    cluster.directory.rename(folder / "moved")
    try:
        moved = Cluster.open(folder / "moved", cluster.pg)
        moved.start()
        assert ask(moved, "SHOW data_directory") == str(folder / "moved" / "data")
        moved.stop()
    finally:
        (folder / "moved").rename(cluster.directory)


def test_another_major_version_is_refused(cluster: Cluster) -> None:
    (cluster.data / "PG_VERSION").write_text("9\n")
    try:
        with pytest.raises(ServerError, match="was made by PostgreSQL 9"):
            Cluster.open(cluster.directory, cluster.pg)
    finally:
        (cluster.data / "PG_VERSION").write_text(f"{cluster.pg.major}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_folder_that_the_user_cannot_reach(pg: Pg, folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(ServerError, match="cannot reach"):
        Cluster.create(folder / "c", pg)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_extension_is_installed_and_its_worker_runs(pg: Pg, tmp_path: Path) -> None:
    servers = (pg.pkglibdir, pg.sharedir / "extension")
    before = [listing(place) for place in servers]
    artifact = build(tiny_tree(), pg, tmp_path / "out")
    with throwaway_cluster(pg) as cluster:
        done = cluster.install(artifact)
        assert len(done.files) == 3
        assert all(path.is_relative_to(cluster.directory.parent) for path in done.files)
        ask(cluster, "CREATE EXTENSION tiny")
        assert ask(cluster, "SELECT tiny_answer()") == "42"
        cluster.preload("tiny")
        cluster.restart()
        ready = eventually(lambda: [line for line in cluster.log_lines().lines if "tiny worker is ready" in line])
        assert " tiny worker LOG:  " in ready[0]
        assert ask(cluster, "SELECT tiny_answer()") == "42"
    assert not cluster.directory.parent.exists()
    assert [listing(place) for place in servers] == before


def test_an_older_server_needs_a_copy(pg: Pg, cluster: Cluster, tmp_path: Path) -> None:
    artifact = build(tiny_tree(), pg, tmp_path / "out")
    if pg.major >= 18:
        cluster.install(artifact)
        return
    with pytest.raises(InstallError, match="in its own folders only"):
        cluster.install(artifact)


def test_a_private_server_is_the_same_elsewhere(pg: Pg, folder: Path) -> None:
    copy = private_server(pg, folder / "server")
    assert (copy.version, copy.origin) == (pg.version, "private")
    for path in (copy.bindir, copy.pkglibdir, copy.sharedir, copy.pgxs):
        assert path.is_relative_to(folder)
    assert (copy.includedir_server / "postgres.h").is_file()
    with throwaway_cluster(copy) as cluster:
        assert ask(cluster, "SELECT setting FROM pg_config() WHERE name = 'PKGLIBDIR'") == str(copy.pkglibdir)


class TestProject:
    """The project's own cluster, always on the embedded server."""

    @pytest.fixture
    def root(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A project in a folder that nobody else may enter, as root's home is."""
        monkeypatch.setenv("PGBGW_HOME", str(folder / "home"))
        project = folder / "private" / "project"
        project.mkdir(parents=True)
        project.parent.chmod(0o700)
        yield project
        found = open_project(project)
        if found is not None:
            found.remove()

    def test_made_once_and_found_again(self, root: Path) -> None:
        assert open_project(root) is None
        made = create_project(root, settings={"fsync": "off"}, initdb_options=NO_SYNC)
        made.start()
        found = open_project(root)
        assert found is not None
        assert found.status() == made.status()
        assert ask(found, "SHOW fsync") == "off"
        assert (root / ".pgbgw" / ".gitignore").read_text() == "*\n"

    def test_a_cluster_that_is_gone_is_none(self, root: Path) -> None:
        create_project(root, initdb_options=NO_SYNC).remove()
        assert open_project(root) is None

    def test_a_damaged_record_is_an_error(self, root: Path) -> None:
        create_project(root, initdb_options=NO_SYNC)
        record = root / ".pgbgw" / "cluster.json"
        whole = record.read_text()
        record.write_text(whole[:20])
        with pytest.raises(ServerError, match="could not read"):
            open_project(root)
        record.write_text(whole)

    def test_a_server_that_is_gone_is_found_anew(self, root: Path) -> None:
        create_project(root, initdb_options=NO_SYNC)
        record = root / ".pgbgw" / "cluster.json"
        known = json.loads(record.read_text())
        record.write_text(json.dumps({**known, "pg_config": "/nowhere/bin/pg_config"}))
        found = open_project(root)
        assert found is not None
        assert found.pg.major == 18

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a copy of the server")
    def test_root_gets_a_copy_of_a_server_that_the_user_cannot_reach(
        self, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheel = private_server(create_project(root, initdb_options=NO_SYNC).pg, root / "venv")
        monkeypatch.setattr("pgbgw.server.embedded.embedded_pg_config", lambda: wheel.pg_config)
        second = root.parent / "second"
        second.mkdir()
        made = create_project(second, initdb_options=NO_SYNC)
        assert made.pg.bindir.is_relative_to(folder / "home" / "servers")
        made.start()
        assert ask(made, "SELECT 1") == "1"
        assert not made.data.is_relative_to(root.parent)
        found = open_project(second)
        assert found is not None
        assert found.pg == made.pg
        assert create_project_server(root.parent / "third") == made.pg
        made.remove()

    def test_everything_is_inside_the_project_for_an_ordinary_user(self, root: Path) -> None:
        made = create_project(root, initdb_options=NO_SYNC)
        if server_user().switch:
            assert not made.directory.is_relative_to(root)
        else:
            assert made.directory == root / ".pgbgw"


def create_project_server(root: Path) -> Pg:
    """The server that a new project gets; its cluster is removed at once."""
    root.mkdir()
    made = create_project(root, initdb_options=NO_SYNC)
    made.remove()
    return made.pg
