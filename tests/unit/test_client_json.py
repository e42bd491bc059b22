"""The JSON of payloads: the same objects as the module json makes, by a faster parser."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pgbgw.client.handle import _loaded

_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=20,
)


def shown(value: Any) -> str:
    """With the types of all that is in it, which 1 == 1.0 == True hides."""
    return repr(value)


@given(_VALUES, some.booleans())
def test_objects_are_those_of_the_module_json(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert shown(_loaded(text)) == shown(json.loads(text))


@pytest.mark.parametrize(
    "text",
    ["1e400", "-1e400", "123456789012345678901234567890", "-0", "-0.0", '"\\ud800"', '{"a": 1, "a": 2}', " [ ] "],
)
def test_what_the_parser_refuses_is_read_all_the_same(text: str) -> None:
    assert shown(_loaded(text)) == shown(json.loads(text))


def test_arrays_of_json_are_lists() -> None:
    assert _loaded(["[1]", None, "1e400"]) == [[1], None, math.inf]
    assert _loaded(None) is None
