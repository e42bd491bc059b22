"""The fault suite: an extension on a throw-away cluster, every fault that it claims to survive, and what came of it."""

from pgbgw.faults.check import CHECKS, Check
from pgbgw.faults.stage import Stage, staged
from pgbgw.faults.suite import Row, chosen, run_checks

__all__ = ["CHECKS", "Check", "Row", "Stage", "chosen", "run_checks", "staged"]
