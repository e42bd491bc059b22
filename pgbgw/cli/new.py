"""``pgbgw new``: a small declaration that works, to start from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from pgbgw.build import TreeRefused
from pgbgw.check import check_file
from pgbgw.cli import options, terminal
from pgbgw.diagnostics import Severity

__all__ = ["new"]

_DECLARATION = '''\
"""The background workers of {name}: each job in the queue is handed to a function in SQL."""

from pgbgw import Counter, Extension, Payload, SharedStats, Timestamp, call, seconds

{name} = Extension("{name}", version="1.0", comment="Does jobs in the background.")

database = {name}.string_setting("database", "postgres", context="postmaster", comment="Database that is served.")
batch = {name}.int_setting("batch_size", 100, min=1, max=10000, comment="Jobs in one transaction, at most.")
paused = {name}.bool_setting("paused", False, comment="Lets the workers pause while on.")


class Job(Payload):
    task: str


class JobStats(SharedStats):
    done = Counter("Jobs done.")
    failed = Counter("Jobs given up after the last attempt.")
    last_run = Timestamp("When the last batch ended.")


stats = {name}.shared_stats("job", JobStats)
jobs = {name}.queue("jobs", Job, retries=5, backoff=seconds(10))

{name}.queue_worker(
    "worker",
    jobs,
    workers=2,
    database=database,
    batch=batch,
    unless=paused,
    run=call("public.{name}_do", "id", "task"),
    on_done=stats.done.add(1),
    on_failed=stats.failed.add(1),
    on_round=stats.last_run.now(),
)
'''

_SETUP = """\
-- What the declaration beside this file expects. pgbgw run runs it before the workers start, and again when it changed:
-- write it so that it can be repeated.

CREATE TABLE IF NOT EXISTS public.{name}_log (
    id bigint,
    task text,
    done_at timestamp with time zone NOT NULL DEFAULT now()
);

-- The handler: called once for each job. An error makes the job wait, and come back later.
CREATE OR REPLACE FUNCTION public.{name}_do(id bigint, task text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.{name}_log (id, task) VALUES ({name}_do.id, {name}_do.task);
END
$$;
"""


@click.command(
    short_help="Write a small declaration to start from.",
    epilog=options.examples(
        "pgbgw new shop",
        "pgbgw new shop workers/",
    ),
)
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
def new(name: str, directory: Path) -> None:
    """Write NAME.py, a queue and its worker, and NAME.sql, its handler, to DIRECTORY (by default the current one).

    Nothing that exists is overwritten.
    """
    texts = {f"{name}.py": _DECLARATION.format(name=name), f"{name}.sql": _SETUP.format(name=name)}
    _refuse_bad_name(name, texts[f"{name}.py"])
    taken = [str(directory / each) for each in texts if (directory / each).exists()]
    if taken:
        raise click.UsageError(
            f"{' and '.join(taken)} exist{'s' if len(taken) == 1 else ''} already; choose another NAME or DIRECTORY"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for each, text in texts.items():
            # "x": somebody may have made the file since we looked.
            with (directory / each).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise TreeRefused(
            f'could not write to "{directory}"', detail=f"{error}.", hint="Choose a folder that you may write."
        ) from error
    on = terminal.console()
    on.print(f"wrote {directory / f'{name}.py'} and {directory / f'{name}.sql'}")
    on.print(f"see it work: {terminal.program()} run {directory / f'{name}.py'}")


def _refuse_bad_name(name: str, declaration: str) -> None:
    """The rules for names are those of ``check``; only what is no file name can't be asked there."""
    if not name.isidentifier():
        raise click.UsageError(f'"{name}" can\'t name an extension: use letters, digits and underscores')
    with tempfile.TemporaryDirectory(prefix="pgbgw-new-") as folder:
        path = Path(folder, f"{name}.py")
        path.write_text(declaration, encoding="utf-8")
        found = [each for each in check_file(path)[1] if each.severity is Severity.ERROR]
    if found:
        reason = f"{found[0].message}. {found[0].hint or ''}".strip()
        raise click.UsageError(f'"{name}" can\'t name an extension: {reason}')
