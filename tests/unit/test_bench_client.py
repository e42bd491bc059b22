"""The logic of the benchmarks of the client: subjects in processes of their own, tables of CPU time, goals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import apart, claim, encode, load, parse, registry, stream
from bench.apart import Apart, Taken, standing, wanted
from bench.clients import Goal, compared, judged, measured
from bench.environments import Unavailable
from bench.measures import Span
from bench.plan import Plan
from pgbgw._core import decode_copy, encode_copy

ROOT = Path(__file__).parents[2]


def taken(*cpu: float, seconds: float = 1.0) -> list[Taken]:
    """Measurements of a thousand rows, each of which took so many ns."""
    return [Taken(1000, seconds, each * 1e-6) for each in cpu]


# processes


def test_a_subject_is_measured_in_a_process_of_its_own() -> None:
    with Apart("encode", encode.OURS, {}) as subject:
        found = subject.take(times=3)
        assert subject.take(times=1).count == encode.ROWS
    assert found.count == 3 * encode.ROWS
    assert found.cpu > 0
    assert found.seconds > 0
    assert found.rate == found.count / found.seconds
    assert found.each == pytest.approx(found.cpu / found.count * 1e9)


def test_one_that_fails_says_its_last_words() -> None:
    with Apart("encode", encode.OURS, {}) as subject, pytest.raises(RuntimeError, match="KeyError: 'times'"):
        subject.take()


def test_one_that_can_not_begin_is_left_out_with_its_reason() -> None:
    missing: dict[str, str] = {}
    makers = {encode.PSYCOPG: encode.SUBJECTS[encode.PSYCOPG], encode.OURS: encode.SUBJECTS[encode.OURS]}
    with standing("encode", makers, {"conninfo": "host=/nowhere"}, missing) as ready:
        assert [each.name for each in ready] == [encode.OURS]
    assert "could not be made ready" in missing[encode.PSYCOPG]
    with pytest.raises(Unavailable), standing("encode", makers, {"conninfo": "host=/nowhere"}):
        pass


def test_what_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(Unavailable, match=r"needs no_such_module: pip install 'pgbgw\[bench\]'"):
        wanted("no_such_module")


def test_what_is_not_installed_is_told_by_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(setting: apart.Setting) -> apart.Step:
        raise Unavailable("needs more")

    monkeypatch.setitem(encode.SUBJECTS, "other", make)
    apart.main("encode", "other", "{}")
    assert capsys.readouterr().out == '{"unavailable": "needs more"}\n'


# tables and goals


def test_tables_say_how_many_times_our_time_each_takes() -> None:
    found = {"other": taken(300, 400, 500), "ours": taken(100, 100, 100)}
    table = compared("t", "row", found, "ours", {"third": "needs more"})
    rows = [[str(cell) for cell in row] for row in table.rows]
    assert rows[0] == ["other", "1 000", "1 000", "1 000", "400", "300", "500", "4 x", "3 x", "5 x"]
    assert rows[1][7:] == ["1 x"] * 3
    assert all(len(row) == len(table.columns) for row in rows)
    assert table.missing == (("third", "needs more"),)


def test_tables_of_round_trips_are_in_microseconds() -> None:
    table = compared("t", "round", {"ours": taken(2500)}, "ours", {}, microseconds=True, timed=False)
    assert table.columns[:2] == ("subject", "CPU us/round")
    assert table.rows[0][1] == "2.5"
    assert len(table.rows[0]) == len(table.columns)


def test_goals_are_of_cpu_or_of_rates() -> None:
    found = {"slow": taken(600, seconds=2.0), "ours": taken(100, seconds=1.0)}
    goals = [Goal("slow", "ours", 6), Goal("ours", "slow", 2.5, rate=True), Goal("absent", "ours", 1)]
    first, second = judged("bytea", found, goals)
    assert first.what == "bytea: CPU of slow / ours"
    assert first.seen.median == pytest.approx(6)
    assert second.what == "bytea: rate of ours / slow"
    assert second.seen == Span(2.0, 2.0, 2.0)
    assert not second.kept


class Counting:
    """A subject that is not in a process."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_the_first_time_of_each_does_not_count() -> None:
    order: list[str] = []

    def take(subject: Apart) -> Taken:
        order.append(subject.name)
        return Taken(len(order), 1.0, 1.0)

    ready: Sequence[Apart] = [Counting("a"), Counting("b")]  # type: ignore[list-item]
    found = measured(Plan(2, False, False, lambda text: None), ready, take)
    assert "".join(order) == "ab" + "abba"
    assert [each.count for each in found["a"]] == [3, 6]


# what is measured


@pytest.mark.parametrize("module", [claim, encode, load, parse, stream])
def test_goals_name_subjects(module: object) -> None:
    names = set(getattr(module, "SUBJECTS"))  # noqa: B009 - a module has no such attribute for mypy
    for goal in getattr(module, "GOALS", ()):
        assert {goal.above, goal.below} <= names


def test_all_encode_the_same_rows() -> None:
    rows = encode.rows_of(3)
    assert decode_copy(encode_copy(rows, encode.TYPES), encode.TYPES) == rows
    assert len(encode.NAMES) == len(encode.TYPES)


def test_make_runs_every_benchmark_of_the_client() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^bench-client:.*\n\t\$\(MAKE\) bench BENCH=([a-z,]+)$", makefile, re.MULTILINE)
    assert found is not None
    named = found[1].split(",")
    assert named == list(registry.select(named))
    texts = {path.stem: path.read_text("utf-8") for path in (ROOT / "bench").glob("*.py")}
    ours = {name for name, text in texts.items() if "bench.clients import" in text and "BENCHMARK" in text}
    assert ours | {"decode", "leases", "consume"} == set(named)
