"""Hostile texts in every place of a declaration: it is refused, or what is emitted compiles and keeps each text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pglast import parser

from pgbgw import (
    Counter,
    DeclarationError,
    EnumOption,
    Extension,
    Payload,
    SharedStats,
    Text,
    call,
    seconds,
    sql,
)
from pgbgw.check import check
from pgbgw.codegen.emit import emit
from pgbgw.codegen.files import SourceTree
from pgbgw.lower import lower
from tests.compile.compiling import compiles, write
from tests.compile.literals import c_bytes, c_literals, conf_values
from tests.server.conftest import server_15

# What ends, begins or changes something in C, SQL, make, configuration files, Markdown and CREATE EXTENSION.
PIECES = (
    "'", '"', "`", "\\", "\\\\", "\\'", '\\"', "''", '""', "*/", "/*", "//", "--", "??/", "??'", "???", "%s", "%n", "%",
    "\n", "\r\n", "\r", "\t", "\v", "\f", "\x01", "\x02", "\x1b[2J", "\x7f", "\x85", "\u2028", "é", "日本",
    "\U0001f4a9",
    "e\N{COMBINING ACUTE ACCENT}", "\u202e", "\ufeff", "$1", ":a", "::", "$$", "$(shell x)", "#", "|", "<b>", "{{",
    "@{", "//%", "@{% x %}@", "@extschema@", "@extowner@", "@extschema:x@", "MODULE_PATHNAME", ";", "0", "7", "a", "Z",
    " ", "  ", "select", "\\n", "\\101", "\\u0041", "U&", "E'", "0x", "ä" * 20, "x" * 90,
)  # fmt: skip

piece = st.sampled_from(PIECES) | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3)
free = st.lists(piece, max_size=5).map("".join)
titles = free.filter(lambda text: len(text.encode()) <= 90)
names = st.lists(piece, min_size=1, max_size=4).map("".join).filter(lambda text: 0 < len(text.encode()) <= 40)
anything = st.lists(st.sampled_from((*PIECES, "\0", "\ud800", "")), max_size=6).map("".join)

HARMLESS = "harmless"


class Texts(NamedTuple):
    """A text for every place that takes one: names of SQL objects, and free text."""

    names: tuple[str, ...]
    free: tuple[str, ...]
    titles: tuple[str, ...]


def distinct(text: str, number: int) -> str:
    """The text with something at its end that no other has, so that no two objects share a name."""
    return f"{text}{number}"


class Job(Payload):
    body: str


def declare(texts: Texts) -> Any:
    """Put the texts everywhere."""
    name = [distinct(text, number) for number, text in enumerate(texts.names)]
    text = texts.free
    shop: Any = Extension("shop", schema=name[0], database=name[1], role=name[2], comment=text[0])
    paused = shop.bool_setting("paused", False, comment=text[1], description=text[2])
    shop.string_setting("label", text[3], comment=text[4])
    option = [distinct(text[5], 1), distinct(text[6], 2)]
    shop.enum_setting("mood", option[0], options=[option[0], EnumOption(option[1], hidden=True)], comment=text[7])

    class State(SharedStats):
        done = Counter(text[8])
        note = Text(8192, text[9])

    state = shop.shared_stats(
        "state", State, function=name[3], view=name[4], columns={"done": name[5], "note": name[6]}
    )
    jobs = shop.queue("jobs", Job, table=name[7], view=name[8])
    shop.shutdown(request=name[9], resume=name[10])
    function = f"{quoted(name[11])}.{quoted(name[12])}"
    shop.queue_worker(
        "work", jobs, run=call(function, "body"), title=texts.titles[0], activity=text[10], unless=paused,
        on_done=state.done.add(), on_round=state.note.set(text[11]),
    )  # fmt: skip
    shop.interval_worker("tick", every=seconds(1), run=sql(statement(texts)), title=texts.titles[1], activity=text[12])
    shop.dynamic_worker(
        "task", run=sql("SELECT 1"), args={"odd": "text"}, function=name[13], title=texts.titles[2], activity=text[13]
    )
    return shop


def statement(texts: Texts) -> str:
    """A statement with a text as a literal and another as a name, each as SQL quotes it."""
    literal = quoted(texts.free[14], "'")
    return f"SELECT {literal} AS {quoted(distinct(texts.names[14], 14))} FROM public.t\n"


def quoted(text: str, quote: str = '"') -> str:
    """The text in quotes as standard SQL writes it."""
    return quote + text.replace(quote, quote * 2) + quote


TEXTS = st.builds(
    Texts,
    st.tuples(*[names] * 15),
    st.tuples(*[free] * 15),
    st.tuples(*[titles] * 3),
)
PLAIN = Texts((HARMLESS,) * 15, (HARMLESS,) * 15, (HARMLESS,) * 3)


def emitted(texts: Texts) -> SourceTree | None:
    """The tree, or None for a declaration that is refused; nothing else is raised."""
    try:
        checked = check(declare(texts))
    except DeclarationError:
        return None
    return emit(lower(checked))


def in_c(texts: Texts) -> Iterator[str]:
    """Every text that stands in C as a string."""
    free, name = texts.free, [distinct(text, number) for number, text in enumerate(texts.names)]
    yield from (name[1], name[2], name[11], name[12])
    yield from (text for text in (free[1], free[2], free[4], free[7], free[10], free[12], free[13]) if text)
    yield from (free[3], distinct(free[5], 1), distinct(free[6], 2), free[11], statement(texts))
    yield from (text for text in texts.titles if text)


def strings(value: Any) -> Iterator[str]:
    """Every string in a parse tree."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def parsed(script: str) -> list[Any]:
    """The statements of an installation script, without the command to psql at its start."""
    comment, _, rest = script.partition("\\echo ")
    assert comment.startswith("/* shop--1.0.sql")
    statements: list[Any] = json.loads(parser.parse_sql_json(rest.partition("\n")[2]))["stmts"]
    return [each["stmt"] for each in statements]


KINDS = [next(iter(each)) for each in parsed(emit(lower(check(declare(PLAIN)))).files["shop--1.0.sql"])]


# Without shrinking: each step of it would be a compile, and the compiler names the line at fault anyway.
@settings(
    max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(TEXTS)
@example(PLAIN)
@example(Texts(tuple(PIECES[:15]), tuple(PIECES[15:30]), tuple(PIECES[30:33])))
@example(Texts(tuple(PIECES[33:48]), tuple(PIECES[48:63]), tuple(PIECES[5:8])))
@example(Texts(tuple(PIECES[10:25]), tuple(PIECES[:15]), tuple(PIECES[20:23])))
@example(Texts(tuple(PIECES[46:61]), tuple(PIECES[30:45]), tuple(PIECES[50:53])))
def test_c_compiles_and_keeps_its_texts(tmp_path: Path, texts: Texts) -> None:
    """One compile for some thirty texts, and one program that prints what the compiler understood."""
    tree = emitted(texts)
    if tree is None:
        return
    folder = write(tree.files, tmp_path)
    sources = ["module.c", "shared.c", "worker_work.c", "worker_tick.c", "worker_task.c"]
    compiles("gcc", server_15().includedir_server, folder, "-fsyntax-only", "-Wformat=2", "-Wno-format-nonliteral",
             "-Wtrigraphs", "-Wcomment", sources=sources)  # fmt: skip
    literals = [literal for path in sources for literal in c_literals(tree.files[path])]
    kept = set(c_bytes(literals, tmp_path))
    assert [text for text in in_c(texts) if text.encode() not in kept] == []


@settings(max_examples=150)
@given(TEXTS)
@example(Texts(tuple(PIECES[:15]), tuple(PIECES[15:30]), tuple(PIECES[30:33])))
@example(Texts(tuple(PIECES[46:61]), tuple(PIECES[46:61]), tuple(PIECES[50:53])))
def test_sql_parses_and_keeps_its_texts(texts: Texts) -> None:
    """The script has the statements that it has with harmless texts, and every name and comment in them."""
    tree = emitted(texts)
    if tree is None:
        return
    script = tree.files["shop--1.0.sql"]
    statements = parsed(script)
    # a comment is a statement of its own where it is not empty
    comments = [text for text in texts.free[8:10] if text]
    assert [next(iter(each)) for each in statements if "CommentStmt" not in each] == [
        kind for kind in KINDS if kind != "CommentStmt"
    ]
    assert len(statements) == len(KINDS) - 2 + len(comments)
    found = set(strings(statements))
    name = [distinct(text, number) for number, text in enumerate(texts.names)]
    shown = [*name[3:11], name[0], name[2], name[13], f"{name[7]}_later", f"{name[7]}_failed", f"{name[8]}", *comments]
    assert [text for text in shown if text not in found] == []
    # what CREATE EXTENSION replaces stands there only where it is meant to be replaced
    assert script.count("MODULE_PATHNAME") == emit(lower(check(declare(PLAIN)))).files["shop--1.0.sql"].count(
        "MODULE_PATHNAME"
    )
    assert [mark for mark in ("@extschema@", "@extowner@", "@extschema:") if mark in script] == []


@settings(max_examples=150)
@given(TEXTS)
@example(Texts(tuple(PIECES[:15]), tuple(PIECES[15:30]), tuple(PIECES[30:33])))
@example(Texts(tuple(PIECES[25:40]), tuple(PIECES[25:40]), tuple(PIECES[30:33])))
def test_configuration_reads_back(texts: Texts) -> None:
    """Control file and snippet are files that the server reads, with nothing in them but what is meant."""
    tree = emitted(texts)
    if tree is None:
        return
    control = conf_values(tree.files["shop.control"])
    assert control == {
        "comment": " ".join(texts.free[0].split()) if texts.free[0] else "Background workers of shop",
        "default_version": "1.0",
        "module_pathname": "$libdir/shop",
        "schema": distinct(texts.names[0], 0),
        "encoding": "UTF8",
        "relocatable": "false",
        "superuser": "true",
    }
    snippet = tree.files["shop.conf"]
    assert conf_values(snippet) == {}  # appended to postgresql.conf as it is, it changes nothing
    assert conf_values(snippet.replace("\n#shop.", "\nshop.")) == {
        "shop.paused": "off",
        "shop.label": texts.free[3],
        "shop.mood": distinct(texts.free[5], 1),
    }
    assert json.loads(tree.files["META.json"])["abstract"]
    table = [line for line in tree.files["README.md"].split("\n") if line.startswith("| `shop.")]
    assert [line.replace("\\\\", "").replace("\\|", "").count("|") for line in table] == [6] * 3


@settings(max_examples=150)
@given(st.lists(anything, min_size=33, max_size=33))
def test_what_cannot_be_held_is_refused(texts: list[str]) -> None:
    """NUL, lone surrogates, empty and overlong names: a DeclarationError or a tree, and never anything else."""
    tree = emitted(Texts(tuple(texts[:15]), tuple(texts[15:30]), tuple(texts[30:])))
    if tree is not None:
        for text in tree.files.values():
            assert "\0" not in text
            text.encode()
