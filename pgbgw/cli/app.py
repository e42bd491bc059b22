"""The command ``pgbgw``: its verbs, its exit codes, and what becomes of errors."""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
from typing import Any

import click
import psycopg

from pgbgw.build import BuildError, CompileError, StageError, TreeRefused
from pgbgw.cli import terminal
from pgbgw.client import ClientError
from pgbgw.server import ServerError
from pgbgw.server.load import refused

__all__ = ["FAULTS", "INTERRUPTED", "MISSING", "OK", "SERVER", "USAGE", "cli", "main"]

OK = 0
FAULTS = 1
USAGE = 2
MISSING = 3
SERVER = 4
INTERRUPTED = 130

# What standard output fails with when its disk is full, or broken; a pipe that nobody reads is for click.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# In the order in which people meet them; each is the command of the same name in the module of that name, where an
# underscore stands for a hyphen.
_VERBS = ("new", "check", "show", "build", "test", "install", "load", "run", "connect", "status", "stop",
          "enqueue", "jobs", "consume", "schedules", "schedule", "import-crontab", "explain")  # fmt: skip


class _Verbs(click.Group):
    """Imports a verb only when it is called or listed, and turns expected errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"pgbgw.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StageError as error:
            terminal.error(error)
            ctx.exit(_exit_code(error))
        except ClientError as error:
            terminal.error(error)
            ctx.exit(SERVER)
        except psycopg.Error as error:
            terminal.error(refused(error, "the server refused"))
            ctx.exit(SERVER)
        except (KeyboardInterrupt, click.Abort):
            terminal.note("interrupted")
            ctx.exit(INTERRUPTED)


def _exit_code(error: StageError) -> int:
    match error:
        case CompileError():
            return FAULTS
        case TreeRefused():
            return USAGE
        case ServerError():
            return SERVER
        case BuildError():
            return MISSING
    return SERVER


_EPILOG = """\b
Begin:
  pgbgw new shop          write shop.py and shop.sql
  pgbgw check shop.py     find every fault in the declaration
  pgbgw run shop.py       see it work on a PostgreSQL of its own

\b
Ship:
  pgbgw test shop.py --pg-config /usr/lib/postgresql/18/bin/pg_config
  pgbgw build shop.py --pg-config /usr/lib/postgresql/18/bin/pg_config
  pgbgw install shop.py --pg-config /usr/lib/postgresql/18/bin/pg_config
  pgbgw load postgresql://localhost/shopdb shop.py

\b
Use:
  pgbgw enqueue mail '{"address": "a@example.org", "body": "hello"}'
  pgbgw jobs list mail --status failed
  pgbgw consume shop:mail handlers:deliver
  pgbgw schedules run report --wait
  pgbgw schedule "30 2 * * *" --time-zone Europe/Paris
  pgbgw import-crontab --from postgresql://localhost/postgres

\b
Exit codes:
  0    done
  1    the declaration has faults, its C does not compile, a check of pgbgw test or a run
       failed, or not every schedule could be taken over
  2    the command line is wrong, or names what can't be used
  3    something is not installed: a server, its headers, a compiler, make
  4    a server refused or failed, or workers do not run
  130  interrupted
"""


@click.group(
    cls=_Verbs, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="pgbgw", message="pgbgw %(version)s")
def cli() -> None:
    """PostgreSQL background workers, declared in Python and shipped as C."""


def main() -> None:
    """What the console script calls; exits with one of the codes above."""
    terminal.spell_what_cannot_be_written()
    try:
        cli(prog_name="pgbgw")
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        with contextlib.suppress(OSError):
            terminal.refusal(f"could not write the output: {error.strerror}", None, None)
        terminal.drop_output()
        sys.exit(USAGE)
