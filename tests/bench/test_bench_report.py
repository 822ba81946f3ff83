"""The figures that a bench prints are ones that occurred, and a goal is reached only by a number."""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import BENCHES, main
from bench.load import LoadFailed
from bench.report import figure, finish, parser, percentile, show_goals, spread

_LATENCIES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1).map(sorted)


@given(_LATENCIES, st.integers(1, 100))
def test_a_percentile_is_the_least_measured_value_that_so_many_percent_stay_within(
    ordered: list[float], percent: int
) -> None:
    found = percentile(ordered, percent)
    assert found in ordered
    assert sum(value <= found for value in ordered) * 100 >= percent * len(ordered)
    assert sum(value < found for value in ordered) * 100 < percent * len(ordered)


def test_nothing_measured_reaches_no_goal() -> None:
    nothing = percentile([], 99)
    assert math.isnan(nothing)
    assert not show_goals([("p99", nothing, "<=", 2.5)])
    assert not show_goals([("rate", nothing, ">=", 0.7)])


def test_a_goal_met_exactly_is_reached_and_one_missed_spoils_all() -> None:
    assert show_goals([("rate", 0.7, ">=", 0.7), ("p99", 2.5, "<=", 2.5)])
    assert not show_goals([("rate", 0.7, ">=", 0.7), ("p99", 2.51, "<=", 2.5)])


def test_a_spread_says_how_far_the_turns_lay_apart() -> None:
    assert str(spread([3.0, 1.0, 2.0])) == "2.00 (1.00–3.00)"
    assert figure(12345.6) == "12,346"


def test_figures_are_written_with_the_machine_but_not_with_its_name(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    finish("limits", {"ratios": {"unary_256": 0.9}}, written)
    text = written.read_text("utf-8")
    document = json.loads(text)
    assert document["bench"] == "limits"
    assert document["ratios"] == {"unary_256": 0.9}
    assert document["machine"]["cores"] >= 1
    assert platform.node() not in text


@pytest.mark.parametrize("seconds", ["0", "-1", "3601", "nan"])
def test_a_measurement_without_a_sensible_length_is_refused(seconds: str) -> None:
    with pytest.raises(SystemExit):
        parser("limits", "", seconds=1.0).parse_args(["--seconds", seconds])


def test_without_a_name_the_benches_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in BENCHES)
    assert main(["nosuch"]) == 2


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_that_is_listed_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_a_bench_that_fails_says_why_in_words_and_not_in_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: list[str]) -> int:
        raise LoadFailed("the node: 1 of 20 calls failed")

    monkeypatch.setattr("bench.limits.main", refused)
    assert main(["limits"]) == 1
    assert "limits: the node: 1 of 20 calls failed" in capsys.readouterr().err
