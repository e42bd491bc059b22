"""Running the server's programs as somebody whom PostgreSQL accepts: it refuses to run as root.

Started as root we change to an existing unprivileged user in the child process only, and create no user. Ownership is
given away, and permissions are set, in folders of our own and nowhere else.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgbgw.server.errors import ServerError

__all__ = ["ServerUser", "owner_of", "server_user"]

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who runs a server: ``switch`` says whether that is somebody else than we are (only root can)."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(
        self, command: Sequence[str | Path], *, cwd: Path | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user and wait for it; its output is captured, standard error within it.

        Without ``cwd`` it runs in the root folder: ours may be closed to this user.

        Raises:
            ServerError: the program can't be executed by this user.
        """
        try:
            return subprocess.run(
                command,
                cwd=cwd or os.sep,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                umask=0o077,
                user=self.uid if self.switch else None,
                group=self.gid if self.switch else None,
                extra_groups=[] if self.switch else None,
            )
        except OSError as error:
            raise ServerError(
                f'user "{self.name}" could not run "{command[0]}"',
                detail=f"{error}.",
                hint="Every folder above the program must be searchable, and the program executable, by that user.",
            ) from error

    def own(self, path: Path) -> None:
        """Give a folder of ours to this user, closed to everybody else (initdb asks for 0700)."""
        path.chmod(0o700)
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def can_run(self, program: Path) -> bool:
        """Whether this user reaches and starts a program of the server."""
        try:
            return self.run([program, "--version"], timeout=60).returncode == 0
        except ServerError:
            return False

    def can_search(self, folder: Path) -> bool:
        """Whether this user may pass through a folder and all folders above it."""
        if not self.switch:
            return os.access(folder, os.X_OK)
        return all(self._searchable(above) for above in (folder, *folder.parents))

    def _searchable(self, folder: Path) -> bool:
        status = folder.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return bool(status.st_mode >> shift & 1)

    def _environment(self) -> dict[str, str]:
        """Nothing that would lead the server's programs to another cluster (PGDATA, PGHOST) or language."""
        kept = {name: os.environ[name] for name in ("PATH", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
        return {"PATH": os.defpath, **kept, "HOME": os.sep, "LC_ALL": "C"}


def server_user() -> ServerUser:
    """We ourselves; as root ``postgres`` if there is one, else ``nobody``.

    Raises:
        ServerError: we are root and there is neither.
    """
    if os.geteuid() != 0:
        uid = os.geteuid()
        return ServerUser(_name_of(uid), uid, os.getegid(), switch=False)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise ServerError(
        "PostgreSQL does not run as root, and there is no unprivileged user to run it as",
        detail='Neither "postgres" nor "nobody" exists.',
        hint="Create one (useradd --system postgres), or start pgbgw as an ordinary user.",
    )


def owner_of(data: Path) -> ServerUser:
    """Who runs the server of an existing data directory: its owner, whom only root can stand in for.

    Raises:
        ServerError: it belongs to somebody else and we are not root.
    """
    try:
        status = data.stat()
    except OSError as error:
        raise ServerError(f'could not look at "{data}"', detail=f"{error}.") from error
    if status.st_uid == os.geteuid():
        return ServerUser(_name_of(status.st_uid), status.st_uid, status.st_gid, switch=False)
    if os.geteuid() == 0:
        return ServerUser(_name_of(status.st_uid), status.st_uid, status.st_gid, switch=True)
    owner = _name_of(status.st_uid)
    raise ServerError(
        f'the cluster in "{data.parent}" belongs to user "{owner}"',
        detail="A server runs as the owner of its data.",
        hint=f'Start pgbgw as "{owner}" or as root, or delete the project\'s folder .pgbgw to begin anew.',
    )


def _name_of(uid: int) -> str:
    """The user's name, or the number: containers run with user ids that no name belongs to."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
