"""Where a cluster's Unix socket lives: a folder closed to others, with a path short enough for the kernel."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

from pgbgw.server.errors import ServerError
from pgbgw.server.users import ServerUser

__all__ = ["SOCKET_PORT", "prepare_socket_folder", "socket_folder"]

# Only names the socket file: every cluster has a folder of its own, so ports never clash.
SOCKET_PORT = 5432

# sun_path of sockaddr_un without its closing zero byte: unix(7) on Linux, unix(4) on macOS and the BSDs.
_LONGEST = 107 if sys.platform == "linux" else 103


def socket_folder(directory: Path, user: ServerUser) -> Path:
    """The folder ``s`` of a cluster, or one of the same meaning below /tmp where that path will not do.

    It may be too long, or have a comma, which libpq takes for the end of a host's name.
    """
    inside = directory / "s"
    if len(os.fsencode(inside / f".s.PGSQL.{SOCKET_PORT}")) <= _LONGEST and "," not in str(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path("/tmp", f"pgbgw-{user.uid}-{digest}")


def prepare_socket_folder(folder: Path, user: ServerUser) -> None:
    """Make the folder if it is missing (/tmp is emptied at boot) and make sure that it is ours alone.

    Raises:
        ServerError: somebody else made it first, or opened it up.
    """
    try:
        folder.mkdir(mode=0o700)
        user.own(folder)
    except FileExistsError:
        pass
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user.uid or status.st_mode & 0o077:
        raise ServerError(
            f'"{folder}" is not a private folder of user "{user.name}"',
            detail="The server's socket goes there, and whoever reaches the socket is superuser.",
            hint="Find out who made it, and remove it.",
        )
