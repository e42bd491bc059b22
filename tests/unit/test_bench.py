"""The logic of the benchmarks themselves: statistics, ratios, the registry, reports. None of it needs a server."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench import __main__ as command
from bench import environments, registry
from bench.claims import WrongClaim, assert_direct, read_claims
from bench.draining import Drain, Draining, comparison, gathered
from bench.environments import Environment, Unavailable, environment
from bench.ground import DECLARATIONS, SETTINGS, Wal
from bench.measures import Measure, Span, alternate, percentile, ratio
from bench.outcome import Chart, Line, Outcome, Ratio, Table, number
from bench.plan import Plan
from bench.registry import Benchmark
from bench.report import print_outcome, write_outcome
from bench.rivals import CONSUMERS, RIVALS
from pgbgw.check import Target, check_file


def plan(*, quick: bool = False, full: bool = False, rounds: int = 3) -> Plan:
    return Plan(rounds, quick, full, lambda text: None)


# statistics


def test_a_span_is_the_median_between_the_extremes() -> None:
    assert Span.of([3.0, 1.0, 2.0]) == Span(2.0, 1.0, 3.0)
    assert Span.of([4.0, 1.0]) == Span(2.5, 1.0, 4.0)


def test_no_samples_make_no_span() -> None:
    with pytest.raises(ValueError, match="no sample"):
        Span.of([])
    with pytest.raises(ValueError, match="no sample"):
        percentile([], 0.5)


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine was half as fast in the second round, which says nothing about the two."""
    assert ratio(Measure("a", (20.0, 10.0, 20.0)), Measure("b", (2.0, 1.0, 2.0))) == Span(10.0, 10.0, 10.0)


def test_a_ratio_to_nothing_is_infinite() -> None:
    assert ratio(Measure("a", (1.0,)), Measure("b", (0.0,))).median == math.inf


def test_a_ratio_wants_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="2 and 1 rounds"):
        ratio(Measure("a", (1.0, 2.0)), Measure("b", (1.0,)))


@pytest.mark.parametrize(("part", "wanted"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_percentiles_are_samples(part: float, wanted: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], part) == wanted


def test_subjects_take_turns() -> None:
    order: list[str] = []

    def take(subject: str) -> int:
        order.append(subject)
        return len(order)

    taken = alternate(["a", "b", "c"], 3, take)
    assert "".join(order) == "abccbaabc"
    assert taken == [("a", [1, 6, 7]), ("b", [2, 5, 8]), ("c", [3, 4, 9])]


def test_sizes_follow_from_the_rate() -> None:
    assert plan().size(123_456, least=1000, most=1_000_000) == 62_000
    assert plan(quick=True).size(123_456, least=1000, most=1_000_000) == 12_000
    assert plan().size(10, least=1000, most=1_000_000) == 1000
    assert plan().size(1e9, least=1000, most=1_000_000) == 1_000_000


def test_a_full_run_is_larger_where_it_says_so() -> None:
    assert [plan(quick=True).pick(1, 2, 3), plan().pick(1, 2, 3), plan(full=True).pick(1, 2, 3)] == [1, 2, 3]
    assert plan(full=True).pick(1, 2) == 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.1234, "0.123"), (2, "2"), (99.96, "100"), (1234567, "1 230 000"), (math.inf, "inf")],
)
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


# tables


def draining(subject: str, *rates: float) -> Draining:
    return Draining(subject, 500, tuple(Drain(rate, Wal(50.0, 7.0)) for rate in rates), "direct")


def test_a_comparison_says_how_many_times_as_fast_the_first_is() -> None:
    table = comparison(
        "t",
        [draining("ours", 40, 50, 60), draining("other", 10, 10, 20)],
        {"third": "could not be installed: no network"},
    )
    rows = [[str(cell) for cell in row] for row in table.rows]
    assert rows[0][:8] == ["ours", "500", "50", "40", "60", "1 x", "1 x", "1 x"]
    assert rows[1] == ["other", "500", "10", "10", "20", "4 x", "3 x", "5 x", "50", "7", "direct"]
    assert all(len(row) == len(table.columns) for row in rows)
    assert table.missing == (("third", "could not be installed: no network"),)


def test_what_is_not_available_is_left_out_with_its_reason() -> None:
    def fail() -> str:
        raise Unavailable("could not be installed: no network")

    assert gathered([("a", lambda: "A"), ("b", fail)]) == (["A"], {"b": "could not be installed: no network"})


@pytest.mark.parametrize(
    ("median", "wanted", "kept"), [(1, "at least", True), (0.9, "at least", False), (1, "at most", True)]
)
def test_goals_are_judged_by_the_median(median: float, wanted: Any, kept: bool) -> None:
    assert Ratio("r", Span(median, 0, 9), 1.0, wanted).kept is kept


def outcome() -> Outcome:
    made = Outcome("some", notes=["what is compared"], server={"version": "18", "settings": {"fsync": "on"}})
    made.tables.append(
        Table("a table", ("subject", "jobs/s", "ratio"), (("ours", 5, "1 x"),), (("x", "is not there"),))
    )
    made.ratios.append(Ratio("ours / other", Span(math.inf, 1.0, math.inf), 2.0))
    made.charts.append(Chart("some", "title", "jobs/s", (Line.of("ours", [Span(2, 1, 3)]),), ("a",)))
    made.charts.append(Chart("bent", "title", "jobs/s", (Line.of("ours", [Span(2, 1, 3)] * 2),), positions=(0, 9)))
    return made


def test_everything_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(outcome())
    printed = capsys.readouterr().out
    for text in (
        "fsync = on",
        "a table",
        "x: not measured, since it is not there",
        "at least 2 x",
        "ours / other",
        "what is compared",
    ):
        assert text in printed


def test_everything_is_in_the_json(tmp_path: Path) -> None:
    written = write_outcome(tmp_path / "new", outcome(), {"date": "today"})
    content = json.loads(written[0].read_text())
    assert written[0].name == "some.json"
    assert content["date"] == "today"
    assert content["tables"][0]["rows"][0] == ["ours", 5, "1 x"]
    assert content["ratios"][0]["kept"] is True
    # JSON has no infinity
    assert content["ratios"][0]["seen"] == {"median": None, "low": 1.0, "high": None}


def test_charts_are_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first = write_outcome(tmp_path / "a", outcome(), {})
    second = write_outcome(tmp_path / "b", outcome(), {})
    assert [path.name for path in first] == ["some.json", "some.svg", "bent.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


# the registry and the command


def test_every_benchmark_can_be_found() -> None:
    for name in registry.MODULES:
        found = registry.find(name)
        assert found.name == name
        assert found.summary


def test_a_choice_keeps_the_order() -> None:
    assert registry.select([]) == list(registry.MODULES)
    assert registry.select(["wake", " drain ", "wake", ""]) == ["drain", "wake"]
    with pytest.raises(registry.Unknown, match='no benchmark "lease"'):
        registry.select(["lease"])
    with pytest.raises(registry.Unknown):
        registry.find("lease")


def test_one_that_fails_does_not_stop_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(plan: Plan) -> Outcome:
        assert plan.quick
        assert plan.rounds == 1
        return outcome()

    def fail(plan: Plan) -> Outcome:
        raise RuntimeError("no disk\nmore words")

    found = {"drain": Benchmark("drain", "", fail), "wake": Benchmark("wake", "", run)}
    monkeypatch.setattr(registry, "find", found.__getitem__)
    ran = CliRunner().invoke(command.main, ["wake,drain", "--quick", "--rounds=1", f"--out={tmp_path}"])
    assert ran.exit_code == 1
    assert "drain: not measured: RuntimeError: no disk\n" in ran.output
    assert "a table" in ran.output
    assert {"drain.json", "some.json"} <= {path.name for path in tmp_path.iterdir()}


def test_an_unknown_benchmark_is_refused() -> None:
    ran = CliRunner().invoke(command.main, ["drian"])
    assert ran.exit_code == 2
    assert 'no benchmark "drian"' in ran.output


# claims


class Counters:
    """A connection to a server whose extension shows these counters, one after the other."""

    def __init__(self, *counts: tuple[int, int]) -> None:
        self.counts = iter(counts)

    def execute(self, query: Any) -> Counters:
        return self

    def fetchone(self) -> Any:
        return next(self.counts)


def claimed(*counts: tuple[int, int]) -> str:
    connection: Any = Counters(*counts)
    return assert_direct(connection, "s", read_claims(connection, "s"))


def test_direct_claims_pass() -> None:
    assert claimed((3, 1), (9, 1)) == "direct"


@pytest.mark.parametrize("after", [(3, 1), (9, 2), (3, 9)])
def test_other_claims_do_not(after: tuple[int, int]) -> None:
    with pytest.raises(WrongClaim):
        claimed((3, 1), after)


# environments


def test_environments_stand_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBGW_CACHE", "/some/where")
    assert environments.cache() == Path("/some/where/bench")
    monkeypatch.delenv("PGBGW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert environments.cache() == Path("/caches/pgbgw/bench")


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(*words: str) -> None:
        ran.append(" ".join(words[1:4]))
        (tmp_path / "bench" / "x").mkdir(parents=True, exist_ok=True)

    monkeypatch.setenv("PGBGW_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "_run", run)
    assert environment("x", "x>=1") == environment("x", "x>=1") == Environment(tmp_path / "bench" / "x")
    assert ran == [f"-m venv {tmp_path}/bench/x", "-m pip install"]
    environment("x", "x>=2")
    assert len(ran) == 4


def test_what_can_not_be_installed_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> None:
        raise subprocess.CalledProcessError(1, words, stderr="warning\nERROR: no such package\n\n")

    monkeypatch.setenv("PGBGW_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "_run", run)
    with pytest.raises(Unavailable, match="could not be installed: ERROR: no such package"):
        environment("x", "x")
    assert not (tmp_path / "bench" / "x").exists()


# what is measured


@pytest.mark.parametrize("path", sorted(DECLARATIONS.glob("*.py")), ids=lambda path: path.stem)
def test_our_declarations_are_in_order(path: Path) -> None:
    checked, _ = check_file(path, Target(max_worker_processes=64))
    assert checked is not None


def test_durability_is_the_default() -> None:
    assert SETTINGS["fsync"] == SETTINGS["full_page_writes"] == "on"
    assert "synchronous_commit" not in SETTINGS


def test_every_rival_has_its_script() -> None:
    names = ["pgbgw", *(rival.name for rival in RIVALS)]
    assert {path.name for path in CONSUMERS.glob("*.py")} == {f"{name}_jobs.py" for name in names}
