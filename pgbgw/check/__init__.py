"""Checking: every rule over a whole declaration, and the value that says they all passed."""

from pgbgw.check.checker import Checked, check, check_file
from pgbgw.check.target import Target

__all__ = ["Checked", "Target", "check", "check_file"]
