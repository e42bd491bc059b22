"""Declarations with faults, and what ``pgbgw check`` says of them, to the letter.

A case is ``cases/<code>[_<variant>].py`` with its ``.stderr``; one without a ``.py`` is a file that does not exist.
``PGBGW_UPDATE=1 pytest tests/errors`` writes the expected output anew: read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pgbgw.check import check_file
from pgbgw.diagnostics import Severity, render

CASES = Path(__file__).parent / "cases"
UPDATE = os.environ.get("PGBGW_UPDATE") == "1"

NAMES = sorted({path.stem for path in CASES.iterdir() if re.match(r"BGW\d{3}", path.name)})


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_as_expected(name: str) -> None:
    checked, found = check_file(CASES / f"{name}.py")
    output = "\n\n".join(render(each, root=CASES) for each in found) + "\n"
    expected = CASES / f"{name}.stderr"
    if UPDATE:
        expected.write_text(output, encoding="utf-8")
    assert output == expected.read_text(encoding="utf-8")
    assert name[:6] in {each.code for each in found}
    assert (checked is None) == any(each.severity is Severity.ERROR for each in found)


def test_every_diagnostic_has_its_four_parts() -> None:
    for name in NAMES:
        for each in check_file(CASES / f"{name}.py")[1]:
            assert re.match(r"(?:SQL |C |[^A-Z\s]).*[^.]\Z", each.message), each
            assert each.origin is not None or each.code == "BGW001", each
            assert each.detail is None or re.fullmatch(r"[\"A-Z].*[.]", each.detail), each
            # PostgreSQL itself has no advice for a plain syntax error.
            assert each.code == "BGW201" or each.hint is not None, each
            assert each.hint is None or re.fullmatch(r"[\"A-Z].*[.?]", each.hint), each


def test_all_faults_of_a_file_are_told_in_one_run_and_in_order() -> None:
    _, found = check_file(CASES / "BGW107_many_faults.py")
    places = [each.origin.line for each in found if each.origin is not None]
    assert len(found) >= 10
    assert len({each.code for each in found}) >= 10
    assert places == sorted(places)
