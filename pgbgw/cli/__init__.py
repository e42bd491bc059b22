"""The command line: one module a verb."""

from pgbgw.cli.app import main

__all__ = ["main"]
