"""The examples beside other libraries, as their tests run them."""

from __future__ import annotations

import re

from tests.server.test_testing import ROOT, run


def test_the_tests_of_the_integrations_pass() -> None:
    ran = run(ROOT / "examples" / "integrations")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^4 passed in", ran.stdout, re.MULTILINE)
