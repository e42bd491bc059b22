"""The table of codes, its page, and how a diagnostic is printed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from pgbgw.check import check_file
from pgbgw.diagnostics import (
    DeclarationError,
    Diagnostic,
    Severity,
    collecting,
    explain,
    render,
    report,
    report_all,
    to_json,
)
from pgbgw.diagnostics.codes import CODES, PREAMBLE, Code, reference
from pgbgw.origin import Origin

ROOT = Path(__file__).parents[2]
BROKEN = Diagnostic("BGW201", "it broke", hint="Mend it.")
UNUSED = Diagnostic("BGW312", "it idles")


def located(tmp_path: Path, source: str, column: int, end_column: int, *, line: int = 1, end_line: int = 1) -> Origin:
    """A span in a file with that text."""
    path = tmp_path / "jobs.py"
    path.write_text(source, encoding="utf-8")
    return Origin(str(path), line, column, end_line, end_column)


def example(tmp_path: Path, row: Code, text: str) -> Path:
    """A file with an example of the table, and the C sources that examples speak of beside it."""
    alone = row.example_imports_only or "Extension(" in text
    head = PREAMBLE[: PREAMBLE.index("\n\nshop = ") + 1] if alone or row.code == "BGW004" else PREAMBLE
    for name in ("sampler", "counter"):
        (tmp_path / f"{name}.c").write_text(f"void {name}(Datum main_arg) {{}} /* sampler */\n")
    path = tmp_path / "shop.py"
    path.write_text(f"{head}\n{text}\n")
    return path


WITH_EXAMPLES = [pytest.param(row, id=code) for code, row in CODES.items() if code != "BGW001"]


@pytest.mark.parametrize("row", WITH_EXAMPLES)
def test_the_wrong_example_is_wrong(tmp_path: Path, row: Code) -> None:
    checked, found = check_file(example(tmp_path, row, row.wrong))
    assert row.code in {each.code for each in found}
    assert (checked is None) == any(each.severity is Severity.ERROR for each in found)


@pytest.mark.parametrize("row", WITH_EXAMPLES)
def test_the_right_example_is_right(tmp_path: Path, row: Code) -> None:
    checked, found = check_file(example(tmp_path, row, row.right))
    assert [render(each) for each in found if each.severity is Severity.ERROR or each.code == row.code] == []
    assert checked is not None


def test_codes_are_in_order_and_told_in_full() -> None:
    assert list(CODES) == sorted(CODES)
    for code, row in CODES.items():
        assert re.fullmatch(r"BGW[0-7]\d\d", code)
        assert row.title == row.title.rstrip(".")
        assert row.explanation.endswith((".", '"'))
        assert row.wrong != row.right


def test_every_code_is_reported_somewhere_and_no_other() -> None:
    used = set()
    for path in (ROOT / "pgbgw").rglob("*.py"):
        if path.parent.name not in {"diagnostics", "families"}:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and re.fullmatch(r"BGW\d{3}", str(node.value)):
                    used.add(str(node.value))
    assert used == set(CODES)


def test_every_code_has_an_error_case() -> None:
    shown: set[str] = set()
    for path in (ROOT / "tests/errors/cases").glob("*.stderr"):
        shown.update(re.findall(r"^(?:error|warning)\[(BGW\d{3})\]", path.read_text(), re.MULTILINE))
    assert shown == set(CODES)


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs/diagnostics.md").read_text()
    assert page == reference(), "run python -m pgbgw.diagnostics > docs/diagnostics.md"


@pytest.mark.parametrize("code", ["BGW201", "bgw201", " 201 "])
def test_explain_takes_a_code_as_people_type_it(code: str) -> None:
    text = explain(code)
    assert text.startswith("error[BGW201]: SQL does not parse\n")
    assert "VLAUES" in text


@pytest.mark.parametrize("code", ["BGW999", "", "shop"])
def test_explain_knows_no_other_code(code: str) -> None:
    with pytest.raises(KeyError):
        explain(code)


def test_the_whole_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = located(tmp_path, "a = 1\n" * 25 + '    run=sql("VLAUES 1"),\n', 14, 20, line=26, end_line=26)
    monkeypatch.chdir(tmp_path)
    diagnostic = Diagnostic("BGW201", "it broke", origin, detail="So it is.", hint="Did you mean VALUES?")
    assert render(diagnostic).splitlines() == [
        "error[BGW201]: it broke",
        "  --> jobs.py:26:14",
        "   |",
        '26 |     run=sql("VLAUES 1"),',
        "   |              ^^^^^^",
        "   = detail: So it is.",
        "   = hint: Did you mean VALUES?",
    ]


def test_a_warning_says_so() -> None:
    assert render(UNUSED) == "warning[BGW312]: it idles"


def test_without_a_place() -> None:
    assert render(BROKEN) == "error[BGW201]: it broke\n  = hint: Mend it."


def test_a_source_that_is_gone() -> None:
    diagnostic = Diagnostic("BGW201", "it broke", Origin("<stdin>", 3, 1, 3, 2))
    assert render(diagnostic) == "error[BGW201]: it broke\n --> <stdin>:3:1"


@pytest.mark.parametrize(
    ("source", "column", "end_column", "shown", "carets"),
    [
        ("x = 1", 5, 6, "x = 1", "    ^"),
        ("\tx = 1", 2, 3, "    x = 1", "    ^"),
        ("a\tx = 1", 3, 4, "a   x = 1", "    ^"),
        ('s = "日本", x', 10, 11, 's = "日本", x', " " * 11 + "^"),
        ('s = "é", x', 6, 7, 's = "é", x', " " * 5 + "^"),
        ('s = "e\u0301", x', 10, 11, 's = "e\u0301", x', " " * 8 + "^"),
        ('"日本"', 2, 4, '"日本"', " ^^^^"),
        ("x = '\x1b[31m'", 5, 6, "x = '\N{REPLACEMENT CHARACTER}[31m'", "    ^"),
        ("x", 1, 1, "x", "^"),
        ("x", 9, 10, "x", " ^"),
    ],
)
def test_carets_stand_below_what_they_mark(
    tmp_path: Path, source: str, column: int, end_column: int, shown: str, carets: str
) -> None:
    lines = render(Diagnostic("BGW201", "it broke", located(tmp_path, source, column, end_column))).splitlines()
    assert lines[3:5] == [f"1 | {shown}", f"  | {carets}"]


def test_of_several_lines_the_first_is_shown(tmp_path: Path) -> None:
    origin = located(tmp_path, "a = f(\n    1,\n)\n", 5, 2, end_line=3)
    assert render(Diagnostic("BGW201", "it broke", origin)).splitlines()[3:] == ["1 | a = f(", "  |     ^^"]


def test_text_of_others_can_not_break_the_lines() -> None:
    diagnostic = Diagnostic("BGW201", "a\n  b\x1b[2J", detail="c\r\nd.")
    assert render(diagnostic).splitlines() == [
        "error[BGW201]: a b\N{REPLACEMENT CHARACTER}[2J",
        "  = detail: c d.",
    ]


def test_paths_elsewhere_are_shown_as_given(tmp_path: Path) -> None:
    diagnostic = Diagnostic("BGW201", "it broke", located(tmp_path, "x", 1, 2))
    assert f" --> {tmp_path}/jobs.py:1:1" in render(diagnostic, root=Path("/nowhere"))
    assert " --> jobs.py:1:1" in render(diagnostic, root=tmp_path)


def test_colour_adds_escapes_and_nothing_else(tmp_path: Path) -> None:
    diagnostic = Diagnostic("BGW201", "it broke", located(tmp_path, "x = 1", 1, 2), detail="D.", hint="H.")
    coloured = render(diagnostic, color=True)
    assert "\x1b[1;31merror[BGW201]" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render(diagnostic)


def test_json_has_all_parts(tmp_path: Path) -> None:
    diagnostic = Diagnostic("BGW312", "it idles", located(tmp_path, "x = 1", 1, 2), detail="D.", hint="H.")
    assert json.loads(json.dumps(to_json(diagnostic, root=tmp_path))) == {
        "code": "BGW312", "severity": "warning", "message": "it idles", "detail": "D.", "hint": "H.",
        "path": "jobs.py", "line": 1, "column": 1, "end_line": 1, "end_column": 2,
    }  # fmt: skip
    assert to_json(BROKEN)["path"] is None


def test_an_error_is_raised_unless_somebody_collects() -> None:
    with pytest.raises(DeclarationError, match=r"error\[BGW201\]: it broke") as raised:
        report(BROKEN)
    assert raised.value.diagnostics == [BROKEN]
    with collecting() as found:
        report(BROKEN)
        report(UNUSED)
    assert found == [BROKEN, UNUSED]


def test_a_warning_is_never_raised() -> None:
    report(UNUSED)
    report_all([UNUSED])


def test_several_are_raised_together() -> None:
    other = Diagnostic("BGW202", "this too")
    with pytest.raises(DeclarationError) as raised:
        report_all([BROKEN, UNUSED, other])
    assert raised.value.diagnostics == [BROKEN, other]


def test_collecting_ends_with_its_block() -> None:
    with collecting() as outer:
        with collecting() as inner:
            report(BROKEN)
        report(UNUSED)
    assert (inner, outer) == ([BROKEN], [UNUSED])
