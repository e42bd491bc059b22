"""docs/what-happens-when.md, written from the checks themselves."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

from pgbgw.faults.check import CHECKS, Check

__all__ = ["reference"]

_HEAD = """\
# What happens when

Each fault below is caused on a real server by a check of the suite that `pgbgw test FILE` runs. To see one for your own
declaration, on the server that you have:

```sh
pgbgw test shop.py --only item.error --pg-config /usr/lib/postgresql/15/bin/pg_config
```

The project's own tests run every check on `examples/my_worker.py` and on a declaration with a worker of each kind. A
test has the name of its check (`tests/server/test_faults.py` and `tests/server/test_faults_kinds.py`), and some of
them on generated declarations (`tests/server/test_generated.py`). [Mutants](mutants.md) shows which check notices which
fault of the emitted C.

This page is written by `python -m pgbgw.faults`; do not edit it.
"""

_REST = """
## Beside the suite

| fault | what happens then | test |
|---|---|---|
| a standby is promoted while workers wait for it | They start with the promotion. | `tests/server/test_standby.py` |
| the primary is killed in the middle of runs by the calendar, and its standby is promoted \
| What was undone is begun again there and done once; outside a transaction it is lost. \
| `tests/server/test_standby.py` |
| the clock of the server is set forward and back, by an hour and by a day \
| No schedule is run twice; what lies between is missed, and made up for as declared. \
| `tests/server/test_schedule_clock.py` |
| the clocks of a time zone go forward, and back \
| Each schedule is due as it is declared. | `tests/server/test_schedule_clock.py` |
| the server is down while schedules are due \
| What was missed is made up for as declared. | `tests/server/test_schedule_clock.py` |
| an installation is interrupted | The files that were there are there again. | `tests/unit/test_install.py` |
"""


def reference() -> str:
    """The whole page."""
    return _HEAD + "".join(_families()) + _REST


def _families() -> Iterator[str]:
    for module, checks in itertools.groupby(CHECKS.values(), lambda check: check.run.__module__):
        title = (sys.modules[module].__doc__ or "").strip().partition(".\n")[0].rstrip(".")
        yield f"\n## {title}\n\n| fault | what happens then | check |\n|---|---|---|\n"
        yield from map(_row, checks)


def _row(check: Check) -> str:
    return f"| {_cell(check.fault)} | {_cell(check.answer)} | `{check.name}` |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
