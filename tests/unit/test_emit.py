"""The emitted tree as a whole: which files there are, where their lines come from, and what a template refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pgbgw import Counter, Extension, Payload, SharedStats, call, seconds, sql
from pgbgw.check import check
from pgbgw.codegen import documents
from pgbgw.codegen.ctext import CText
from pgbgw.codegen.emit import emit
from pgbgw.codegen.environment import render
from pgbgw.codegen.files import SourceTree
from pgbgw.lower import lower
from pgbgw.origin import Origin
from tests.golden import emitted

TEMPLATES = Path(__file__).parents[2] / "c_templates"


class Mail(Payload):
    address: str


class State(SharedStats):
    sent = Counter()


def tree(extension: Extension) -> SourceTree:
    return emit(lower(check(extension)))


def test_files_follow_what_is_declared() -> None:
    shop: Any = Extension("shop", version="2.0-beta", database="d")
    always = ["Makefile", "shop.control", "META.json", "README.md", "shop.conf", "shop--2.0-beta.sql", "module.h",
              "module.c", "life_cycle.c", "log.c", "shared.c"]  # fmt: skip
    last = ["sql/shop.sql", "expected/shop.out"]
    assert list(tree(shop).files) == [*always, *last]
    shop.queue_worker("deliver", shop.queue("mail", Mail), run=call("f"))
    shop.interval_worker("tidy", every=seconds(1), run=sql("VACUUM"), transaction=False)
    shop.dynamic_worker("task", run=call("f"))
    more = [
        "database.c",
        "statement.c",
        "queue.c",
        "claim.h",
        "lane.c",
        "behind.c",
        "claim.c",
        "direct.c",
        "settle.c",
        "backoff.h",
        "batch.c",
        "careful.c",
        "launch.c",
        "top_level.c",
        "worker_deliver.c",
        "worker_tidy.c",
        "worker_task.c",
    ]
    with_session = [*always[:-1], "session.c", always[-1]]
    assert list(tree(shop).files) == [*with_session, *more, *last]


def test_make_is_told_every_source() -> None:
    for case in emitted.CASES:
        files = emitted.tree(case).files
        objects = re.findall(r"^\t(\w+)\.o \\$", files["Makefile"], re.MULTILINE)
        assert sorted(objects) == sorted(path.removesuffix(".c") for path in files if path.endswith(".c"))


def test_lines_know_what_they_were_emitted_for() -> None:
    shop: Any = Extension("shop", database="d")
    first = shop.int_setting("first", 1)
    second = shop.string_setting("second", "a", context="postmaster", comment="Two.")
    worker = shop.interval_worker("tidy", every=seconds(1), run=sql("SELECT 1"))
    emitted_tree = tree(shop)
    lines = emitted_tree.files["module.c"].split("\n")
    for setting, define in ((first, "DefineCustomIntVariable("), (second, "DefineCustomStringVariable(")):
        start = next(number for number, line in enumerate(lines, 1) if define in line)
        end = next(number for number, line in enumerate(lines, 1) if number >= start and line.endswith(");"))
        assert [emitted_tree.origin_of("module.c", line) for line in range(start, end + 1)] == [setting.origin] * (
            end - start + 1
        )
        assert emitted_tree.origin_of("module.c", start - 1) != setting.origin
    assert emitted_tree.origin_of("worker_tidy.c", 20) == worker.origin
    assert emitted_tree.origin_of("module.c", 1) is None
    assert emitted_tree.origin_of("shared.c", 1) is None
    assert emitted_tree.origin_of("no such file", 1) is None


def test_the_narrowest_origin_wins() -> None:
    wide, narrow = Origin("a", 1, 1, 1, 1), Origin("b", 2, 1, 2, 1)
    nested = SourceTree("x", "1", {"f": ""}, {"f": ((1, 9, wide), (3, 4, narrow))})
    assert [nested.origin_of("f", line) for line in (1, 3, 4, 5, 10)] == [wide, narrow, narrow, wide, None]


def test_the_source_of_a_user_is_kept_to_the_byte() -> None:
    files = emitted.tree("c_worker").files
    assert files["sampler.c"] == (emitted.folder("c_worker") / "sampler.c").read_text()


def test_meta_json_is_what_pgxn_wants() -> None:
    meta = json.loads(emitted.tree("custom_names").files["META.json"])
    assert {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"} <= meta.keys()
    assert re.fullmatch(r"\d+\.\d+\.\d+", meta["version"])
    provided = meta["provides"]["odd"]["file"]
    assert provided in emitted.tree("custom_names").files


@pytest.mark.parametrize(
    ("version", "semantic"),
    [
        ("1.0", "1.0.0"),
        ("2", "2.0.0"),
        ("1.2.3.4", "1.2.3"),
        ("1.0-beta.2", "1.0.2"),
        ("01.002", "1.2.0"),
        ("a", "0.0.0"),
    ],
)
def test_versions_as_pgxn_writes_them(version: str, semantic: str) -> None:
    shop = Extension("shop", version=version)
    assert documents.meta(lower(check(shop)))["version"] == semantic


def test_answers_stand_behind_their_statements() -> None:
    """Also where a name goes over several lines, and has a semicolon at the end of one."""
    shop: Any = Extension("shop", database="d")
    shop.shared_stats("state", State, view='a;\nb "c";\nd')
    files = tree(shop).files
    expected = files["expected/shop.out"]
    assert 'SELECT count(*) FROM shop."a;\nb ""c"";\nd";\n1\nSELECT' in expected
    shop.bool_setting("shown", True)
    shop.bool_setting("hidden", True, flags=("no_show_all",), context="user")
    assert "shop.hidden" not in tree(shop).files["expected/shop.out"]
    assert "shop.shown|sighup\n" in tree(shop).files["expected/shop.out"]


def test_code_spans_of_the_readme_hold_what_was_written() -> None:
    shop: Any = Extension("shop", database="d")
    shop.interval_worker("tidy", every=seconds(1), run=sql("DELETE FROM t WHERE a < 1 AND b || 'c' <> '\\d`'"))
    shop.interval_worker("count", every=seconds(1), run=sql("SELECT 1 <= 2"))
    shop.interval_worker("plain", title="a<b|c", every=seconds(1), run=sql("SELECT 1"))
    readme = tree(shop).files["README.md"]
    assert "runs `` DELETE FROM t WHERE a < 1 AND b \\|\\| 'c' <> '\\d`' `` each interval |" in readme
    assert "runs `SELECT 1 <= 2` each interval |" in readme
    assert "| a&lt;b\\|c | 1 |" in readme


def test_the_configuration_switches_nothing_off() -> None:
    """Appended to postgresql.conf as it is, it leaves all as it was."""
    conf = emitted.tree("several_processes").files["crowd.conf"]
    assert [line for line in conf.split("\n") if line and not line.startswith("#")] == []
    assert "\n#shared_preload_libraries = 'crowd'\n" in conf
    count = re.search(r"# Workers: (\d+) that start with the server, and up to (\d+) that are launched\.", conf)
    assert count
    assert f"\n#max_worker_processes = {8 + int(count[1]) + int(count[2])}\n" in conf


def test_the_readme_tells_an_administrator_what_is_needed() -> None:
    shop: Any = Extension("shop", database="d", role="clerk")
    hands = shop.int_setting("hands", 3, min=1, max=5, context="postmaster")
    shop.int_setting("nap", 2, min=1, max=9, unit="s")
    mail = shop.queue("mail", Mail, retries=7, backoff=seconds(90), backoff_limit=seconds(7200))
    shop.queue_worker("deliver", mail, workers=hands, run=call("public.deliver", "address", "attempt", "nap"))
    shop.interval_worker("tidy", every=seconds(1), run=sql("SELECT 1"))
    shop.dynamic_worker("task", args={"key": "bigint"}, limit=2, run=call("f", "key"))
    readme = tree(shop).files["README.md"]
    for told in (
        "4 that start with the server, and up to 2 that are launched",
        "| 3 (`shop.hands`) | `clerk` |",
        "the function `public.deliver(address text, attempt integer, nap integer)`",
        "is tried again 7 times from `shop.mail_later`, first after 90 s, then",
        " each time after twice as long, at most 2 h.",
        "| 1 to 9 s |",
        "- `SELECT` `shop.launch_task(key bigint)`: the answer is its pid, once the process is connected.",
        "GRANT EXECUTE ON FUNCTION shop.launch_task(bigint) TO some_role;",
        "| at most 2 | the role that launches it |",
        "`make installcheck`",
        "To uninstall, say `DROP EXTENSION shop;`",
        "The queues are dropped with all their jobs.",
    ):
        assert told in readme
    none: Any = Extension("shop", database="d")
    none.queue_worker("deliver", none.queue("mail", Mail, retries=0), run=call("f"))
    readme = tree(none).files["README.md"]
    assert "| 1 | the bootstrap superuser |" in readme
    assert "A job that fails is not tried again: it is kept" in readme
    assert "launch" not in readme


def test_every_template_is_used() -> None:
    """Nothing lies about: each template and header is rendered or copied for some golden case, or in the core."""
    source = "\n".join(path.read_text() for path in (TEMPLATES.parent / "pgbgw" / "codegen").glob("*.py"))
    source += "\n".join(path.read_text() for path in [*TEMPLATES.glob("*.in"), *TEMPLATES.glob("static/*.h")])
    source += "\n".join(path.read_text() for path in (TEMPLATES.parent / "pgbgw" / "core").glob("*.pxi"))
    unused = [
        path.name for path in TEMPLATES.rglob("*.*") if path.suffix in (".in", ".h") and f'"{path.name}"' not in source
    ]
    assert unused == []


def test_templates_name_no_example() -> None:
    words = re.compile(r"my_worker|my_queue|process_item|\bshop\b|\bmail\b", re.IGNORECASE)
    places = [*TEMPLATES.glob("*.in"), *(TEMPLATES.parent / "pgbgw" / "codegen").glob("*.py")]
    places += (TEMPLATES.parent / "pgbgw" / "ir").glob("*.py")
    assert [path.name for path in places if words.search(path.read_text())] == []


@pytest.mark.parametrize("value", ["text", 1, None])
def test_plain_values_are_refused(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgbgw.codegen.environment._source", lambda name: "@{value}\n")
    monkeypatch.setattr("pgbgw.codegen.environment._ENVIRONMENTS", {})
    with pytest.raises(TypeError, match="without being CText"):
        render("any", CText, {"value": value}, {})


def test_what_is_undefined_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgbgw.codegen.environment._source", lambda name: "@{% if misspelt %}@@{% endif %}@")
    monkeypatch.setattr("pgbgw.codegen.environment._ENVIRONMENTS", {})
    with pytest.raises(jinja2.UndefinedError, match="misspelt"):
        render("any", CText, {}, {})


def test_a_template_that_does_not_exist() -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        render("no such template", CText, {}, {})


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.glob("*.in")))
def test_no_side_effect_in_a_macro(template: str) -> None:
    """Min() and Max() of c.h evaluate an argument twice."""
    text = (TEMPLATES / template).read_text()
    assert re.findall(r"\b(?:Min|Max)\([^;]*(?:\+\+|--)[^;]*;", text) == []
