"""``python -m pgbgw`` is the command ``pgbgw``."""

from __future__ import annotations

from pgbgw.cli import main

if __name__ == "__main__":
    main()
