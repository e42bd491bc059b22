"""``python -m tests.fuzz.child TARGET [OPTION|FILE...]``: a fuzzer by itself, with the options of libFuzzer.

Only in the environment that ``tests.fuzz.building`` makes. With files it runs these inputs and ends.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import atheris


class _Instrumented:
    """Finds the core where the sanitised one is."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "pgbgw._core":
            return None
        return importlib.util.spec_from_file_location(name, os.environ["PGBGW_FUZZED_CORE"])


def main() -> None:
    """Fuzz the target that is named first."""
    sys.meta_path.insert(0, _Instrumented())
    target = importlib.import_module(f"tests.fuzz.{sys.argv[1]}")
    assert sys.modules["pgbgw._core"].__file__ == os.environ["PGBGW_FUZZED_CORE"]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
