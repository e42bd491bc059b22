"""The documents against the code: links, declarations, commands, SQL, excerpts, and lists that must be complete."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
import pytest

from pgbgw import sqltext
from pgbgw.check import check_file
from pgbgw.cli.app import cli
from pgbgw.codegen.emit import emit
from pgbgw.codegen.files import SourceTree
from pgbgw.declare.queues import _SQL_TYPES
from pgbgw.declare.settings import Context, Flag, Unit
from pgbgw.declare.shared import Field
from pgbgw.declare.workers import LogLevel, Start, WorkerOptions
from pgbgw.diagnostics import Severity, codes, render
from pgbgw.faults import CHECKS
from pgbgw.lower import lower

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GENERATED = [ROOT / "docs" / name for name in ("diagnostics.md", "what-happens-when.md", "mutants.md")]
UPDATE = os.environ.get("PGBGW_UPDATE") == "1"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/**/README.md")]
    if path not in GENERATED
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]

# What the page tells is of the extension in this file, not of one that the page declares.
EXAMPLE = ROOT / "examples" / "my_worker.py"


class Block(NamedTuple):
    """A fenced block: its language, its text, and the comment above it that is meant for this test."""

    language: str
    text: str
    note: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    pattern = r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$"
    found = re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(language, text, note) for note, language, text in found]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    inline = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    named = re.findall(r"^\[[^\]]+\]: (\S+)$", prose(page), re.MULTILINE)
    for link in [*inline, *named]:
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("name", NAMES)
def test_named_links_are_defined(name: str) -> None:
    text = re.sub(r"`[^`\n]*`", "", prose(ROOT / name))
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    used = {second for _, second in re.findall(r"\[([^\]\n]+)\]\[([^\]\n]+)\]", text)}
    assert used <= defined


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("tests/")])
def test_lines_are_not_long(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []


def declarations() -> Iterator[Any]:
    """Every Python block; one without an extension of its own continues the first one of its page."""
    for page, name in zip(PAGES, NAMES, strict=True):
        first = ""
        for number, block in enumerate(each for each in blocks(page) if each.language == "python"):
            alone = "Extension(" in block.text
            first = first or (block.text if alone else "")
            yield pytest.param(page, block.text if alone else f"{first}\n{block.text}", id=f"{name}-{number}")


def test_what_is_shown_of_examples_is_theirs() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.note.startswith("from: ")]
    assert len(shown) >= 4
    for block in shown:
        assert block.text in (ROOT / block.note.removeprefix("from: ")).read_text(encoding="utf-8"), block.note


@pytest.mark.parametrize(("page", "text"), list(declarations()))
def test_declarations_pass(page: Path, text: str, tmp_path: Path) -> None:
    for needed in re.findall(r'source="(\w+\.c)"', text):
        sources = [block.text for block in blocks(page) if block.language == "c" and not block.note]
        (tmp_path / needed).write_text("".join(sources), encoding="utf-8")
    (tmp_path / "shop.py").write_text(text, encoding="utf-8")
    checked, found = check_file(tmp_path / "shop.py")
    assert [render(each) for each in found if each.severity is Severity.ERROR] == []
    assert checked is not None
    emit(lower(checked))


def commands(page: Path) -> Iterator[str]:
    """Command lines of pgbgw: in shell blocks, and as code within the text."""
    shell = [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    for text in [*shell, *re.findall(r"`([^`\n]+)`", prose(page))]:
        for part in re.split(r"&&|\|(?= )|;", text):
            matched = re.match(r"\s*(?:\$ )?(?:sudo )?(?:\S*/)?pgbgw (.*)", part)
            if matched:
                yield matched[1]


COMMANDS = [pytest.param(line, id=f"{name}: {line}") for page, name in zip(PAGES, NAMES, strict=True)
            for line in dict.fromkeys(commands(page))]  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist(line: str) -> None:
    verb, *arguments = shlex.split(line, comments=True)
    context = click.Context(cli)
    if verb in {"--help", "--version", "VERB"}:
        return
    command = cli.get_command(context, verb)
    assert command is not None, verb
    if isinstance(command, click.Group) and arguments:
        word, *arguments = arguments
        command = command.get_command(context, word)
        assert command is not None, word
    # A verb that stands alone may be spoken of; with anything behind it, it is a command to type.
    values, left, _ = command.make_parser(click.Context(command)).parse_args(list(arguments))
    assert left == []
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and parameter.required and arguments and "help" not in values:
            assert values.get(str(parameter.name)) not in (None, ()), parameter.name


@pytest.mark.parametrize("name", NAMES)
def test_sql_parses(name: str) -> None:
    for block in blocks(ROOT / name):
        if block.language == "sql":
            for statement in block.text.split(";\n"):
                if statement.strip():
                    sqltext.parse(statement)


@cache
def example() -> str:
    """Everything that is emitted for the example, and its declaration."""
    checked, _ = check_file(EXAMPLE)
    assert checked is not None
    return "\n".join([EXAMPLE.read_text(), *emit(lower(checked)).files.values()])


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_example_are_emitted(name: str) -> None:
    text = re.sub(r"[\w/]*my_worker\.(?:py|sql)\b", "", (ROOT / name).read_text(encoding="utf-8"))
    pattern = r"\b(?:my_(?:worker|queue)\w*(?:\.\w+)?|launch_dynamic_worker|get_worker_stats|my_custom_worker)"
    for found in set(re.findall(pattern, text)):
        assert re.search(rf"\b{re.escape(found)}\b", example()), found


def readme_tree(folder: Path) -> SourceTree:
    """What the first declaration of the README becomes."""
    (folder / "shop.py").write_text(next(block.text for block in blocks(README) if block.language == "python"))
    checked, found = check_file(folder / "shop.py")
    assert found == []
    assert checked is not None
    return emit(lower(checked))


def function(text: str, name: str) -> str:
    """A function of an emitted file, with the comment above it."""
    found = re.search(rf"^/\*\n(?: \*[^\n]*\n)+(?:[a-z]\w* )*\w+\n{name}\(.*?^}}\n", text, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[0]


def test_the_readme_shows_what_is_emitted(tmp_path: Path) -> None:
    """PGBGW_UPDATE=1 writes the excerpts anew."""
    files = readme_tree(tmp_path).files
    excerpts = [block for block in blocks(README) if block.note.startswith("emitted: ")]
    assert excerpts
    for block in excerpts:
        path, name = block.note.removeprefix("emitted: ").split()
        if UPDATE:
            README.write_text(README.read_text().replace(block.text, function(files[path], name)))
        else:
            assert block.text == function(files[path], name)


def test_the_readme_lists_what_is_emitted(tmp_path: Path) -> None:
    table = README.read_text().partition("| file | what it is |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == list(readme_tree(tmp_path).files)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    table = (ROOT / "DESIGN.md").read_text(encoding="utf-8").partition("\n## Dependencies\n")[2]
    told = set(re.findall(r"^\| ([\w-]+)[ ,(\w)]* \|", table, re.MULTILINE)) - {"package"}
    assert told == {re.split(r"[^\w-]", each)[0] for each in wanted}


def test_codes_that_are_named_exist() -> None:
    for page in PAGES:
        assert set(re.findall(r"\bBGW\d{3}\b", page.read_text(encoding="utf-8"))) <= set(codes.CODES)


def test_proofs_that_are_named_exist() -> None:
    """The threat model names checks and tests."""
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    families = {name.partition(".")[0] for name in CHECKS}
    named = [name for name in re.findall(r"`([a-z]+\.[a-z0-9_]+)`", page) if name.partition(".")[0] in families]
    assert len(named) > 20
    assert [name for name in named if name not in CHECKS] == []
    assert [path for path in re.findall(r"`(tests/[^`]+)`", page) if not (ROOT / path).exists()] == []


# A page, and the words that one of its tables has to tell about.
COMPLETE = {
    "docs/settings.md": [*get_args(Context), *get_args(Unit), *get_args(Flag)],
    "docs/workers.md": [
        *WorkerOptions.__annotations__,
        *get_args(Start),
        get_args(LogLevel)[0],
        get_args(LogLevel)[-1],
    ],
    "docs/queues.md": [python.__name__ for python in _SQL_TYPES if isinstance(python, type)],
    "docs/shared-state.md": [kind.__name__ for kind in Field.__subclasses__()],
    "docs/cli.md": cli.list_commands(click.Context(cli)),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_nothing_is_left_out(name: str) -> None:
    rows = [line for line in prose(ROOT / name).splitlines() if line.startswith("|")]
    coded = " ".join(code for row in rows for code in re.findall(r"`([^`]+)`", row))
    assert [word for word in COMPLETE[name] if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", coded)] == []


def options() -> Iterator[Any]:
    """Every option of every verb."""
    context = click.Context(cli)
    for verb in cli.list_commands(context):
        command = cli.get_command(context, verb)
        assert command is not None
        below = command.commands if isinstance(command, click.Group) else {}
        for name, each in {verb: command, **{f"{verb} {word}": found for word, found in below.items()}}.items():
            for parameter in each.params:
                if isinstance(parameter, click.Option):
                    yield pytest.param(verb, parameter, id=f"{name} {parameter.name}")


@pytest.mark.parametrize(("verb", "option"), list(options()))
def test_every_option_is_described(verb: str, option: click.Option) -> None:
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    for word in option.opts:
        assert re.search(rf"`[^`]*{re.escape(word)}\b", section), word
