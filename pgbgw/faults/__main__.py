"""``python -m pgbgw.faults`` prints docs/what-happens-when.md."""

from __future__ import annotations

import sys

from pgbgw.faults import CHECKS
from pgbgw.faults.reference import reference

if __name__ == "__main__":
    assert CHECKS
    sys.stdout.write(reference())
