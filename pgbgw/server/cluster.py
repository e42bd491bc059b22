"""Clusters of our own: made, started, stopped and looked at through the server's programs.

A cluster lives in one folder::

    data/                     the data directory, 0700, owned by the user who runs the server
    log/server.log            what the server wrote to standard error
    s/                        its Unix socket, 0700; the only way in, since it listens on no address
    extension/lib, extension/share/extension      what is installed into it (18 and later)
    pgbgw.conf                our settings, included from postgresql.conf

Authentication is "trust": whoever passes the socket's folder is the owner of the cluster, or root. "peer" would ask for
an operating system user with the name of the role, which neither root nor an ordinary user has.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pgbgw.build.pgconfig import Pg
from pgbgw.build.pgxs import Artifact
from pgbgw.server import conf, preload
from pgbgw.server.errors import InstallError, ServerError, StartError
from pgbgw.server.install import Installation, install, install_into
from pgbgw.server.process import Status, clear_stale, read_status
from pgbgw.server.sockets import SOCKET_PORT, prepare_socket_folder, socket_folder
from pgbgw.server.users import ServerUser, owner_of, server_user

__all__ = ["Cluster", "LogLines", "Status"]

_SUPERUSER = "postgres"
_CONF = "pgbgw.conf"
_WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class LogLines:
    """Whole lines of a log, without their ends, and the byte offset from which to read on."""

    lines: tuple[str, ...]
    offset: int


class Cluster:
    """A data directory and the server on it; made by ``create`` or ``open``, with no state besides what is on disk."""

    def __init__(self, directory: Path, pg: Pg, user: ServerUser) -> None:
        self.directory = directory
        self.pg = pg
        self.user = user

    @classmethod
    def create(
        cls,
        directory: Path,
        pg: Pg,
        *,
        settings: Mapping[str, str] | None = None,
        initdb_options: Sequence[str] = (),
    ) -> Cluster:
        """Make a cluster in a folder of its own; what an interrupted attempt left there is removed first.

        Raises:
            ServerError: there is one already, the server's user can't reach the folder or the server, or initdb failed.
            ToolMissing: the server's programs are not installed.
        """
        directory = Path(os.path.realpath(directory))
        user = server_user()
        _make_folder(directory, user)
        if not user.can_run(pg.program("initdb")):
            raise ServerError(
                f'user "{user.name}" cannot run the server in "{pg.bindir}"',
                detail="PostgreSQL does not run as root, so as root the server runs as that user.",
                hint="Every folder above the server must be searchable by that user.",
            )
        cluster = cls(directory, pg, user)
        with cluster._locked():
            if cluster.data.exists():
                raise ServerError(
                    f'there is a cluster in "{directory}" already',
                    hint="Open it, or remove the folder once its server is stopped.",
                )
            _make_folder(cluster.extension_dir() / "lib", user)
            _make_folder(cluster.extension_dir() / "share" / "extension", user)
            cluster._initialise(initdb_options, settings or {})
        return cluster

    @classmethod
    def open(cls, directory: Path, pg: Pg) -> Cluster:
        """The cluster that ``create`` made in a folder.

        Raises:
            ServerError: there is none, it belongs to another user, or to another major version than ``pg`` has.
        """
        cluster = cls(Path(os.path.realpath(directory)), pg, owner_of(Path(directory) / "data"))
        made_by = (cluster.data / "PG_VERSION").read_text().strip()
        if made_by != str(pg.major):
            raise ServerError(
                f'the cluster in "{directory}" was made by PostgreSQL {made_by}',
                detail=f'"{pg.pg_config}" belongs to PostgreSQL {pg.major}, which does not read its data.',
                hint="Remove the folder to begin anew, or use the server that made it.",
            )
        return cluster

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log_path(self) -> Path:
        """Where the server's standard error goes; log_line_prefix is '%m [%p] %b ', %b the backend type."""
        return self.directory / "log" / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Folder of the Unix socket: inside the cluster, or a short one elsewhere where that path would be too long."""
        return socket_folder(self.directory, self.user)

    @property
    def settings(self) -> dict[str, str]:
        """What was set by ``create`` and ``set``."""
        return conf.read_settings(self.directory / _CONF)

    def extension_dir(self) -> Path:
        """Folder of ours, with ``lib`` and ``share/extension``, where 18 and later look for extensions."""
        return self.directory / "extension"

    def conninfo(self, dbname: str = "postgres") -> str:
        """Connection string for psycopg and libpq."""
        values = {"host": str(self.socket_dir), "port": str(SOCKET_PORT), "user": _SUPERUSER, "dbname": dbname}
        return " ".join(f"{name}={_conninfo_value(value)}" for name, value in values.items())

    def psql_command(self, dbname: str = "postgres") -> list[str]:
        """Command line of this server's psql on a database.

        Raises:
            ToolMissing: psql is not installed.
        """
        return [str(self.pg.program("psql")), "-X", "-d", self.conninfo(dbname)]

    def status(self) -> Status:
        """What the server is doing, from postmaster.pid and the process itself."""
        return read_status(self.data)

    def start(self, wait: bool = True) -> None:
        """Start the server, also past a pid file whose number another process has got; nothing happens if it runs.

        Raises:
            StartError: it did not come up; the detail has its own words.
        """
        with self._locked():
            if self.status().running:
                return
            clear_stale(self.data, self.socket_dir)
            prepare_socket_folder(self.socket_dir, self.user)
            self._write_conf(self.settings)
            since = self.log_lines(0).offset
            log = self.log_path.relative_to(self.directory)
            ran = self._pg_ctl("start", "-w" if wait else "-W", "-t", str(_WAIT_SECONDS), "-l", log)
            if ran is not None:
                raise self._start_error("start", ran, since)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server and wait until it is gone; nothing happens if it does not run.

        Raises:
            StartError: it did not stop within a minute.
        """
        with self._locked():
            if not self.status().running:
                return
            since = self.log_lines(0).offset
            ran = self._pg_ctl("stop", "-w", "-t", str(_WAIT_SECONDS), "-m", mode)
            if ran is not None and self.status().running:
                raise self._start_error("stop", ran, since)

    def restart(self) -> None:
        """Stop, fast, and start.

        Raises:
            StartError: as for ``stop`` and ``start``.
        """
        self.stop()
        self.start()

    def reload(self) -> None:
        """Make the server read its settings again; it does so a moment later.

        Raises:
            ServerError: it does not run.
        """
        said = self._pg_ctl("reload")
        if said is not None:
            raise ServerError(f'could not reload the server in "{self.directory}"', detail=said)

    def set(self, settings: Mapping[str, str | None]) -> None:
        """Change settings in the file; None removes one. Each takes effect on ``reload`` or ``restart``, as it asks."""
        merged = {**self.settings, **settings}
        self._write_conf({name: value for name, value in merged.items() if value is not None})

    def preload(self, library: str) -> None:
        """Add a library to shared_preload_libraries, keeping what stands there; it takes effect on ``restart``."""
        names = preload.with_library(self.settings.get("shared_preload_libraries", ""), library)
        self.set({"shared_preload_libraries": preload.render(names)})

    def install(self, artifact: Artifact) -> Installation:
        """Install into the cluster's own folder (18 and later), or into its private copy of an older server.

        Raises:
            InstallError: nothing was installed.
        """
        if self.pg.major >= 18:
            return install_into(artifact, self.pg, self.extension_dir())
        if self.pg.origin == "private":
            return install(artifact, self.pg)
        raise InstallError(
            f"PostgreSQL {self.pg.major} looks for extensions in its own folders only",
            detail="extension_control_path came with 18.",
            hint="Give the cluster a private copy of the server.",
        )

    def log_lines(self, since: int = 0) -> LogLines:
        """Whole lines logged from a byte offset on; from the start if the log has become shorter than that."""
        if not self.log_path.exists():
            return LogLines((), 0)
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            start = log.seek(since if since <= size else 0)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        return LogLines(tuple(whole.decode(errors="replace").splitlines()), start + len(whole))

    def remove(self) -> None:
        """Stop the server at once and delete the cluster with its folder.

        Raises:
            StartError: as for ``stop``.
        """
        self.stop("immediate")
        if not self.socket_dir.is_relative_to(self.directory):
            shutil.rmtree(self.socket_dir, ignore_errors=True)
        shutil.rmtree(self.directory)

    def _initialise(self, options: Sequence[str], settings: Mapping[str, str]) -> None:
        """initdb into a folder that gets its name only when it is complete."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        log = self.log_path.parent
        try:
            for folder in (fresh, log):
                folder.mkdir(exist_ok=True)
                self.user.own(folder)
            ran = self.user.run([self.pg.program("initdb"), "-D", fresh, *_initdb_options(self.pg), *options])
            if ran.returncode != 0:
                raise ServerError("initdb failed", detail=ran.stdout.strip(), hint=_disk_hint(ran.stdout))
            with (fresh / "postgresql.conf").open("a") as file:
                file.write(f"\ninclude '../{_CONF}'\n")
            self._write_conf(settings)
            fresh.rename(self.data)
        except BaseException:
            # Ctrl-C as well: the next attempt then starts from nothing.
            shutil.rmtree(fresh, ignore_errors=True)
            raise

    def _write_conf(self, settings: Mapping[str, str]) -> None:
        """Paths are written anew each time, so that a moved project finds itself."""
        ours = {
            "listen_addresses": "",
            "port": str(SOCKET_PORT),
            "unix_socket_directories": conf.path_list([self.socket_dir]),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_line_prefix": "%m [%p] %b ",
        }
        if self.pg.major >= 18:
            # The control path takes the folder above "extension"; neither list has a way to quote a separator.
            ours["extension_control_path"] = f"{self.extension_dir()}/share:$system"
            ours["dynamic_library_path"] = f"{self.extension_dir()}/lib:$libdir"
        conf.write_settings(self.directory / _CONF, {**settings, **ours})

    def _pg_ctl(self, verb: str, *options: str | Path) -> str | None:
        """Run pg_ctl; None if it succeeded, else what it said.

        It hands the paths to a shell within double quotes and no more, so they are relative ones without surprises.
        """
        command = [self.pg.program("pg_ctl"), verb, "-D", self.data.name, "-s", *options]
        ran = self.user.run(command, cwd=self.directory)
        return None if ran.returncode == 0 else ran.stdout.strip()

    def _start_error(self, verb: str, said: str, since: int) -> StartError:
        log = self.log_lines(since).lines
        grave = [line for line in log if any(f"{word}:  " in line for word in ("FATAL", "PANIC", "HINT", "DETAIL"))]
        return StartError(
            f'the server in "{self.directory}" did not {verb}',
            detail="\n".join(grave[-6:]) or said or None,
            hint=f'Its log is "{self.log_path}".',
            log=log,
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One of us at a time makes, starts or stops a cluster; the lock ends with the process that holds it."""
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make_folder(folder: Path, user: ServerUser) -> None:
    """Make a folder that the server's user may search, whatever the umask; an existing one is left as it is."""
    if ":" in str(folder):
        raise ServerError(
            f'a cluster cannot live in "{folder}"',
            detail="extension_control_path and dynamic_library_path take a colon for the end of a folder's name.",
            hint="Choose a path without a colon.",
        )
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    for above in reversed(missing):
        above.mkdir(exist_ok=True)
        above.chmod(0o755 if user.switch else 0o700)
    if not user.can_search(folder):
        raise ServerError(
            f'user "{user.name}", who runs the server, cannot reach "{folder}"',
            detail="PostgreSQL does not run as root, and a folder above is closed to that user.",
            hint="Choose a folder outside root's home, or start pgbgw as an ordinary user.",
        )


def _initdb_options(pg: Pg) -> list[str]:
    options = ["-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8", "--lc-messages=C"]
    if pg.major >= 17:
        return [*options, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return [*options, "--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]


def _disk_hint(said: str) -> str | None:
    return "Make room on the disk and try again." if "No space left" in said else None


def _conninfo_value(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
