"""The import rules of the architecture, read from the source of every module.

An import counts wherever it stands: at the top, in a function, under TYPE_CHECKING, or as importlib.import_module() of
a literal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Where a declaration was written: these two may be imported by everyone, and import nothing but each other.
LEAVES = {"origin", "literals"}

# A part of the package, and the only other parts that it may import.
ONLY: dict[str, set[str]] = {
    "origin": set(),
    "literals": set(),
    "ir": set(),
    "codegen": {"ir", "c_templates"},
    "declare": {"diagnostics", "sqltext", "_core", "calendar"},
    "calendar": {"_core"},
    "crontab": {"calendar", "sqltext"},
    "_core": set(),
}

# A module, and what it may import beside that: declared queues and schedules are what programs use at run time as well.
ALSO: dict[str, set[str]] = {"declare.calls": {"client"}, "declare.schedule_calls": {"client"}}

# A part of the package, and other parts that it never imports.
NEVER: dict[str, set[str]] = {"check": {"codegen"}, "lower": {"codegen"}}

# A library, with its companions such as psycopg_pool, and the only modules or parts of the package that may import it.
RESERVED: dict[str, set[str]] = {
    "psycopg": {"client", "server", "observe", "faults", "cli", "testing", "crontab"},
    "jinja2": {"codegen.environment"},
    "pglast": {"sqltext"},
}

# `python -m pgbgw` is the command line by another name.
IMPORTERS_OF_CLI = {"cli", "__main__"}


def imported(module: str, source: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """The line and the dotted name of each import; ``from a import b`` gives ``a.b``, whatever b is."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            prefix = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value)


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module of the package imports against the rules; empty when it keeps them."""
    inside = module.removeprefix("pgbgw").removeprefix(".")
    part = inside.partition(".")[0]
    found = []
    for line, name in imported(module, source, is_package=is_package):
        library, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if library == "pgbgw":
            # The root counts as a part of its own: importing it imports most of the rest.
            refused = target != part and (
                (part in ONLY and target not in ONLY[part] | LEAVES | ALSO.get(inside, set()))
                or target in NEVER.get(part, set())
                or (target == "cli" and part not in IMPORTERS_OF_CLI)
            )
        else:
            places = RESERVED.get(library.partition("_")[0])
            refused = places is not None and not {part, inside} & places
        if refused:
            found.append(f"{module}:{line} imports {name}")
    return found


def modules() -> list[tuple[str, Path]]:
    """Every Python module of the package: its dotted name and its file."""
    found = []
    for path in sorted((ROOT / "pgbgw").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), [pytest.param(*item, id=item[0]) for item in modules()])
def test_the_module_keeps_the_rules(module: str, path: Path) -> None:
    assert violations(module, path.read_text(), is_package=path.name == "__init__.py") == []


def test_the_compiled_core_imports_nothing_of_ours() -> None:
    parts = [ROOT / "pgbgw" / "_core.pyx", *sorted((ROOT / "pgbgw" / "core").glob("*.pxi"))]
    lines = [line for part in parts for line in part.read_text().splitlines()]
    imports = [line for line in lines if line.lstrip().startswith(("import ", "cimport ", "from "))]
    assert imports
    assert [line for line in imports if "pgbgw" in line or line.lstrip().startswith("from .")] == []


def test_the_rules_speak_of_what_exists() -> None:
    parts = {module.split(".")[1] for module, _ in modules() if "." in module} | {"_core", "c_templates"}
    assert LEAVES | IMPORTERS_OF_CLI | set(ONLY).union(NEVER, *ONLY.values(), *NEVER.values()) <= parts
    libraries = {name.split(".")[0] for module, path in modules() for _, name in imported(module, path.read_text())}
    assert set(RESERVED) <= libraries


# The test can fail: each of these breaks a rule.
@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pgbgw.ir.model", "from pgbgw.declare.extension import Extension"),
        ("pgbgw.ir.model", "from pgbgw import Extension"),
        ("pgbgw.ir.model", "import pgbgw"),
        ("pgbgw.ir.model", "from ..declare import Extension"),
        ("pgbgw.ir.model", "from .. import declare"),
        ("pgbgw.codegen.emit", "def late():\n    from pgbgw.declare import Extension"),
        ("pgbgw.codegen.emit", "if TYPE_CHECKING:\n    import pgbgw.lower.lower as lowering"),
        ("pgbgw.declare.sql", "from pgbgw.ir.model import ModuleIR"),
        ("pgbgw.declare.sql", "import os, pgbgw.check"),
        ("pgbgw.check.sql", "from pgbgw.codegen.emit import emit"),
        ("pgbgw.lower.lower", "from pgbgw.codegen import emit"),
        ("pgbgw.lower.lower", "importlib.import_module('pgbgw.codegen.emit')"),
        ("pgbgw.lower.lower", "__import__('pgbgw.codegen')"),
        ("pgbgw.origin", "from pgbgw.diagnostics import report"),
        ("pgbgw.build.pgxs", "from pgbgw.cli import main"),
        ("pgbgw", "from pgbgw.cli import main"),
        ("pgbgw.check.sql", "import psycopg"),
        ("pgbgw.build.pgxs", "from psycopg.rows import dict_row"),
        ("pgbgw.build.pgxs", "import psycopg_pool"),
        ("pgbgw.codegen.emit", "import jinja2.sandbox"),
        ("pgbgw.declare.sql", "from pglast import parse_sql"),
        ("pgbgw.sqltext_more", "import pglast"),
    ],
)
def test_a_broken_rule_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


def test_relative_imports_of_a_package_count_from_itself() -> None:
    assert violations("pgbgw.ir", "from .model import ModuleIR", is_package=True) == []
    assert violations("pgbgw.ir", "from ..declare import sql", is_package=True) == [
        "pgbgw.ir:1 imports pgbgw.declare.sql"
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pgbgw.ir.dump", "from pgbgw.ir.model import ModuleIR\nfrom pgbgw.origin import Origin"),
        ("pgbgw.ir.dump", "from . import model"),
        ("pgbgw.codegen.emit", "from pgbgw.ir.model import ModuleIR\nfrom pgbgw.codegen.ctext import CText"),
        ("pgbgw.codegen.environment", "import jinja2"),
        ("pgbgw.declare.sql", "from pgbgw._core import backoff\nfrom pgbgw.sqltext import parse"),
        ("pgbgw.sqltext", "import pglast\nfrom pglast import ast"),
        ("pgbgw.server.cluster", "import psycopg"),
        ("pgbgw.__main__", "from pgbgw.cli import main"),
        ("pgbgw.cli.run", "from pgbgw.cli.options import file_argument"),
        ("pgbgw.check.sql", "import psycopgraphy"),
    ],
)
def test_what_keeps_the_rules_is_let_through(module: str, source: str) -> None:
    assert violations(module, source) == []
