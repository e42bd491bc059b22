"""``python -m tests.mutants [--write] [NAME...]``: run the fault suite on every mutant, and see each of them caught.

What the suite could not notice, such as a schedule that goes by other clocks, is for tests of ours.

The checks that should catch a mutant run first; where they do not, all others follow. With --write the table of
docs/mutants.md is written anew. The exit code is 1 if a mutant survived.
"""

from __future__ import annotations

import fnmatch
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pgbgw.build import BuildError, Pg, find_server
from pgbgw.build.pgconfig import embedded_pg_config
from pgbgw.faults import CHECKS, Check, Stage, chosen, run_checks, staged
from pgbgw.server import Cluster, ServerError
from pgbgw.server.setup import Setup, run_setup
from tests.mutants.mutant import Mutant, mutated
from tests.mutants.mutants import MUTANTS
from tests.server.conftest import server_15
from tests.server.running import EXAMPLES, module_of

_FOLDER = Path(__file__).parents[1] / "server" / "declarations"
_DECLARATIONS = {
    "my_worker": EXAMPLES / "my_worker.py",
    "kinds": _FOLDER / "kinds.py",
    "rota": _FOLDER / "rota.py",
    "crontab": _FOLDER / "crontab.py",
}
_PAGE = Path(__file__).parents[2] / "docs" / "mutants.md"
_PROCESSES = 2

# A mutant that keeps the suite busy for longer is told as not caught.
_SECONDS = 400

STAGE = "the stage"
"""What catches a mutant with which not even the first worker comes to work."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What caught a mutant, "" for nothing, and what that saw."""

    mutant: Mutant
    by: str
    seen: str
    seconds: float


def main(arguments: list[str]) -> int:
    """Run the mutants that are named, or all; with --one in this process, and print what came of it as JSON."""
    patterns = [each for each in arguments if not each.startswith("--")]
    wanted = [m for m in MUTANTS if not patterns or any(fnmatch.fnmatch(m.name, p) for p in patterns)]
    if "--one" in arguments:
        # a stage is cleared away on the way out, whoever ends this process
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
        print(json.dumps(_catch(wanted[0])))
        return 0
    found: dict[str, Caught] = {}
    with ThreadPoolExecutor(_PROCESSES) as pool:
        for future in as_completed([pool.submit(run, mutant) for mutant in wanted]):
            caught = future.result()
            found[caught.mutant.name] = caught
            word = f"caught by {caught.by}" if caught.by else "SURVIVED"
            print(f"{caught.mutant.name:32} {word} ({caught.seconds:.0f} s): {caught.seen[:160]}", flush=True)
    survivors = [name for name, caught in found.items() if not caught.by]
    print(
        f"{len(found)} mutants, {len(found) - len(survivors)} caught" + "".join(f"\nsurvived: {n}" for n in survivors)
    )
    if "--write" in arguments and not survivors:
        known = {**written(), **{name: caught.by for name, caught in found.items()}}
        _PAGE.write_text(page(known), encoding="utf-8")
    return 1 if survivors else 0


def written() -> dict[str, str]:
    """What the page says that each mutant was caught by: a run of some mutants keeps the rows of the others."""
    rows = re.findall(r"^\| ([a-z0-9_]+) \|.*\| `?([^|`]+)`? \|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def run(mutant: Mutant) -> Caught:
    """Put one mutant through the suite, in a process of its own since it changes what is emitted there."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.mutants", "--one", mutant.name]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = child.communicate(timeout=_SECONDS)
        by, seen = json.loads(said.splitlines()[-1]) if child.returncode == 0 else ("", said.strip())
    except subprocess.TimeoutExpired:
        by, seen = "", f"the suite did not end within {_SECONDS} s"
    finally:
        child.terminate()
        child.wait()
    return Caught(mutant, by, seen, time.monotonic() - began)


def _catch(mutant: Mutant) -> tuple[str, str]:
    declaration = _DECLARATIONS[mutant.declaration]
    script = Setup.of(declaration, None)

    def prepare(cluster: Cluster, database: str) -> None:
        assert script is not None
        run_setup(cluster, database, script)

    if mutant.tests:
        return _failing_test(mutant)
    with mutated(mutant):
        try:
            with staged(_server(mutant.major), module_of(declaration), prepare=prepare) as stage:
                return _first_failure(stage, _in_order(mutant))
        except BuildError as error:
            # a mutant that the compiler refuses proves nothing of the suite
            return "", f"does not compile: {error.detail or error}"
        except (AssertionError, ServerError, psycopg.Error) as error:
            return STAGE, " ".join(str(error).split())


class _Failures:
    """The first test that failed, and what it said."""

    found: tuple[str, str] = "", "every test passed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the one that the run ends with."""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            name = report.nodeid.partition("[")[0] if report.when == "call" else ""
            self.found = name, " ".join(str(crash.message if crash else report.longrepr).split())


def _failing_test(mutant: Mutant) -> tuple[str, str]:
    """The tests that are named for it, in this process, whose templates have the fault."""
    failures = _Failures()
    path, _, name = mutant.tests.partition("::")
    arguments = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "-k", f"{name} and pg{mutant.major}", path]
    # what is loaded already can't be prepared for better messages any more
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with mutated(mutant):
        ended = pytest.main(arguments, [failures])
    if ended == pytest.ExitCode.NO_TESTS_COLLECTED:
        return "", f"there is no test {mutant.tests}"
    return failures.found


def _first_failure(stage: Stage, checks: list[Check]) -> tuple[str, str]:
    for row in run_checks(stage, checks):
        if row.outcome == "failed":
            return row.check.name, row.seen
    return "", "every check passed"


def _in_order(mutant: Mutant) -> list[Check]:
    """Those that should catch it, then the others."""
    first = [check for pattern in mutant.caught_by for check in chosen([pattern])] if mutant.caught_by else []
    return list(dict.fromkeys([*first, *CHECKS.values()]))


def _server(major: int) -> Pg:
    return server_15() if major == 15 else find_server(str(embedded_pg_config()))


def page(caught: Mapping[str, str]) -> str:
    """docs/mutants.md, with what caught each mutant, by its name."""
    return "\n".join([*_head(), *_rows(caught), ""])


def _head() -> Iterator[str]:
    yield "# Mutants"
    yield ""
    yield "The fault suite proves something only if it can fail. `make mutants` breaks the templates on purpose, one"
    yield "fault at a time, runs the suite on what is emitted then, and fails if no check notices. What no check could"
    yield "notice, such as what a schedule makes of the server's clock, is for the tests that are named. Each was"
    yield "caught."
    yield "[What happens when](what-happens-when.md) describes the checks."
    yield ""
    yield "This page is written by `make mutants WRITE=1`; do not edit it."
    yield ""
    yield "| mutant | what is broken | caught by |"
    yield "|---|---|---|"


def _rows(caught: Mapping[str, str]) -> Iterator[str]:
    for mutant in MUTANTS:
        if by := caught.get(mutant.name):
            yield f"| {mutant.name} | {mutant.fault} | {by if by == STAGE else f'`{by}`'} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
