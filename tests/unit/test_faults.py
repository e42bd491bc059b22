"""The fault suite without a server: the list of checks, the page about them, and the mutants that prove them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgbgw.faults import CHECKS, chosen
from pgbgw.faults.probe import EVERY, probed
from pgbgw.faults.reference import reference
from pgbgw.ir.model import CallIR, QueueBody, SqlBody, StatementIR
from tests.mutants.mutants import MUTANTS
from tests.server.running import EXAMPLES, module_of

ROOT = Path(__file__).parents[2]


def test_the_page_is_that_of_the_checks() -> None:
    page = (ROOT / "docs/what-happens-when.md").read_text()
    assert page == reference(), "run python -m pgbgw.faults > docs/what-happens-when.md"


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_is_described(name: str) -> None:
    """Its fault is a phrase, its answer sentences."""
    check = CHECKS[name]
    assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", name)
    assert check.fault
    assert not check.fault.endswith(".")
    assert re.fullmatch(r"[A-Z].*\.", check.answer)


def test_checks_are_chosen_by_pattern() -> None:
    assert [check.name for check in chosen(["item.n*"])] == ["item.null", "item.nested"]
    assert [check.name for check in chosen([])] == list(CHECKS)
    with pytest.raises(LookupError, match="nothing"):
        chosen(["item.*", "nothing"])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made(mutant: object) -> None:
    """What it replaces stands in its template, and the checks that should catch it exist."""
    known = next(each for each in MUTANTS if each is mutant)
    assert known.source()
    for pattern in known.caught_by:
        assert chosen([pattern])


def test_every_mutant_is_on_the_page() -> None:
    page = (ROOT / "docs/mutants.md").read_text()
    rows = re.findall(r"^\| ([a-z0-9_]+) \|", page, re.MULTILINE)
    assert rows[1:] == [mutant.name for mutant in MUTANTS], "run make mutants WRITE=1"


def test_probes_replace_handlers_and_nothing_else() -> None:
    """A call stays a call, names and settings stay, and times are short."""
    module = module_of(EXAMPLES / "my_worker.py")
    changed = probed(module).module
    assert [setting.name for setting in changed.settings[:-1]] == [setting.name for setting in module.settings]
    assert changed.settings[-1].name == f"my_worker.{EVERY}"
    main, task = changed.workers
    assert isinstance(main.body, QueueBody)
    assert isinstance(main.body.run, CallIR)
    assert main.body.run.function == ("pgbgw_test", "probe_0")
    assert [parameter.index for parameter in main.body.run.parameters] == [0, 1]
    assert isinstance(task.body, SqlBody)
    assert not isinstance(task.body.run, StatementIR)
    assert (main.restart, changed.queues[0].retries) == (1, module.queues[0].retries)
    assert changed.queues[0].backoff_us < module.queues[0].backoff_us
