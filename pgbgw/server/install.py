"""Installing a compiled tree: staged by ``make install``, then put into place file by file, or not at all.

Each file is copied beside its destination and renamed over it, so that a server that starts meanwhile sees the old file
or the new one. The control file, which is what CREATE EXTENSION looks for, comes last.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pgbgw.build.pgconfig import Pg
from pgbgw.build.pgxs import Artifact, run_make
from pgbgw.server import preload
from pgbgw.server.errors import InstallError

__all__ = ["Installation", "install", "install_into", "remaining_steps"]


@dataclass(frozen=True, slots=True)
class Installation:
    """Where an extension was installed: absolute paths, in the order in which they were put into place."""

    extension: str
    version: str
    pg: Pg
    files: tuple[Path, ...]


def install(artifact: Artifact, pg: Pg, *, destdir: Path | None = None) -> Installation:
    """Install into the server's own folders, below ``destdir`` if one is given (for packagers).

    Raises:
        InstallError: make failed, the artifact is for another major version, or a folder can't be written; nothing
            was changed, and the hint gives the command to type.
    """
    root = Path(os.sep) if destdir is None else destdir.absolute()
    return _install(artifact, pg, lambda staged: root / staged)


def install_into(artifact: Artifact, pg: Pg, directory: Path) -> Installation:
    """Install below a folder of ours, as ``lib`` and ``share/extension``, for ``extension_control_path`` of 18.

    Raises:
        InstallError: as for ``install``.
    """

    def place(staged: Path) -> Path:
        for source, ours in ((pg.pkglibdir, "lib"), (pg.sharedir, "share")):
            below = source.relative_to(source.anchor)
            if staged.is_relative_to(below):
                return directory / ours / staged.relative_to(below)
        return directory / staged.name

    return _install(artifact, pg, place)


def remaining_steps(
    extension: str,
    *,
    preloaded: str | None = None,
    database: str = "postgres",
    restart: str = "pg_ctl restart -D DATADIR",
) -> list[str]:
    """What a person still has to type on a server of their own after ``install``, one command a step.

    ``preloaded`` is the value that ``SHOW shared_preload_libraries`` gives there, which is kept; None when we can't
    ask, and then the person is told to look before they set it.

    Raises:
        ServerError: that value is no list that the server accepts.
    """
    steps = [f"psql -d {shlex.quote(database)} -c {_shell_word(f'CREATE EXTENSION {_identifier(extension)};')}"]
    if preloaded is None:
        statement = preload.alter_system(["...", extension])
        look = f"psql -c {_shell_word('SHOW shared_preload_libraries;')}"
        return [look, f"psql -c {_shell_word(statement)}  # ... stands for what is there already", restart, *steps]
    wanted = preload.with_library(preloaded, extension)
    if wanted == preload.parse(preloaded):
        return steps
    return [f"psql -c {_shell_word(preload.alter_system(wanted))}", restart, *steps]


def _shell_word(statement: str) -> str:
    """A statement as one word of a shell: in double quotes, where those of SQL stay readable, if nothing forbids it."""
    return shlex.quote(statement) if set(statement) & set('"$`\\!') else f'"{statement}"'


def _identifier(name: str) -> str:
    plain = name.isascii() and name.islower() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'


def _install(artifact: Artifact, pg: Pg, place: Callable[[Path], Path]) -> Installation:
    if artifact.pg.major != pg.major:
        raise InstallError(
            f'extension "{artifact.extension}" was built for PostgreSQL {artifact.pg.major}',
            detail=f'"{pg.pg_config}" belongs to PostgreSQL {pg.major}, which would refuse to load the library.',
            hint=f"Build it again with --pg-config {shlex.quote(str(pg.pg_config))}.",
        )
    with tempfile.TemporaryDirectory(prefix="pgbgw-install-") as staging:
        status, log = run_make(artifact.directory, pg, "install", f"DESTDIR={staging}")
        if status != 0:
            raise InstallError("make install failed", detail=f"Its log:\n{log}", hint="Build the tree again.")
        staged = sorted((path for path in Path(staging).rglob("*") if path.is_file()), key=_rank)
        moves = [(path, place(path.relative_to(staging))) for path in staged]
        _put_in_place(artifact, pg, moves)
    return Installation(artifact.extension, artifact.version, pg, tuple(target for _, target in moves))


def _rank(path: Path) -> tuple[int, str]:
    """Libraries first, the control file last: nothing names a file that is not there yet."""
    order = {".so": 0, ".dylib": 0, ".control": 2}
    return order.get(path.suffix, 1), str(path)


def _put_in_place(artifact: Artifact, pg: Pg, moves: list[tuple[Path, Path]]) -> None:
    with ExitStack() as undo:
        try:
            # All copies are made before the first rename: a full disk or a read-only folder shows up here.
            copies = [(_copy_beside(source, target, undo), target) for source, target in moves]
            for copy, target in copies:
                _replace(copy, target, undo)
        except OSError as error:
            undo.close()
            raise _refused(artifact, pg, error, moves) from error
        undo.pop_all()
    for _, target in moves:
        _backup(target).unlink(missing_ok=True)


def _copy_beside(source: Path, target: Path, undo: ExitStack) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    undo.callback(copy.unlink, missing_ok=True)
    shutil.copyfile(source, copy)
    copy.chmod(0o755 if source.suffix in (".so", ".dylib") else 0o644)
    return copy


def _backup(target: Path) -> Path:
    return target.with_name(f".{target.name}.before-pgbgw")


def _replace(copy: Path, target: Path, undo: ExitStack) -> None:
    backup = _backup(target)
    backup.unlink(missing_ok=True)
    if target.exists():
        shutil.copy2(target, backup)
        undo.callback(os.replace, backup, target)
    else:
        undo.callback(target.unlink, missing_ok=True)
    os.replace(copy, target)


def _refused(artifact: Artifact, pg: Pg, error: OSError, moves: list[tuple[Path, Path]]) -> InstallError:
    folder = next((target.parent for _, target in moves if not os.access(target.parent, os.W_OK)), None)
    where = f'"{folder}"' if folder else "the server's folders"
    if not isinstance(error, PermissionError):
        return InstallError(
            f'could not install extension "{artifact.extension}" into {where}',
            detail=f"{error}. Nothing was changed.",
            hint="Remove the cause and install again.",
        )
    command = f"sudo make -C {shlex.quote(str(artifact.directory))} PG_CONFIG={shlex.quote(str(pg.pg_config))} install"
    return InstallError(
        f"permission denied to write to {where}",
        detail=f'Extension "{artifact.extension}" goes into the folders of {pg.version}. Nothing was changed.',
        hint=f"Type: {command}",
    )
