"""``python -m pgbgw.diagnostics`` prints docs/diagnostics.md."""

from __future__ import annotations

import sys

from pgbgw.diagnostics.codes import reference

if __name__ == "__main__":
    sys.stdout.write(reference())
