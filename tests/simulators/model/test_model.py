"""Every reachable state of one exchange keeps the protocol's promises, and no shortcut does."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.coalition.exchange import HOME, HomeEvent, HomeState, Row
from simulators.model.__main__ import main
from simulators.model.check import NEVER_ENDS, check
from simulators.model.scenarios import LONG_SHORTCUTS, PROTOCOL, QUICK, SHORTCUTS, Scenario
from simulators.model.state import Faults, Rules

PAGE = Path(__file__).resolve().parents[3] / "docs" / "simulation.md"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", QUICK, ids=lambda one: one.name)
def test_the_protocol_breaks_no_promise_and_each_shortcut_one(scenario: Scenario) -> None:
    report = check(scenario.rules, scenario.faults, first=scenario.is_shortcut)
    assert bool(report.violations) == scenario.is_shortcut, report.violations


def test_every_shortcut_of_the_rules_is_among_those_that_are_caught() -> None:
    kinds = {"accrual", "neighbour"}
    taken = {
        name
        for scenario in (*SHORTCUTS, *LONG_SHORTCUTS)
        for name in Rules._fields
        if getattr(scenario.rules, name) != getattr(Rules(), name)
    }
    assert taken - kinds == set(Rules._fields) - kinds
    assert all(scenario.rules._replace(accrual=False, neighbour=False) == Rules() for scenario in PROTOCOL)


def test_the_page_has_every_scenario_and_what_it_says_of_them_is_so() -> None:
    page = PAGE.read_text("utf-8").partition("<!-- model -->")[2].partition("<!-- /model -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "|" in line]
    said = {row[0]: row[1:] for row in rows}
    assert set(said) >= {one.name for one in (*SHORTCUTS, *LONG_SHORTCUTS)}
    for spend, earn in zip(PROTOCOL[::2], PROTOCOL[1::2], strict=True):
        assert said[spend.name.partition(", ")[2]][2] == "none"
        for scenario, cell in zip((spend, earn), said[spend.name.partition(", ")[2]], strict=False):
            if scenario in QUICK[:4]:
                assert cell.startswith(f"{check(scenario.rules, scenario.faults).states:,}, ")


def test_the_tables_are_drawn_where_everything_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- model -->\n<!-- /model -->\nafter\n", "utf-8")
    for name, few in (("PROTOCOL", PROTOCOL[:2]), ("SHORTCUTS", SHORTCUTS[1:3]), ("LONG_SHORTCUTS", ())):
        monkeypatch.setattr(f"simulators.model.__main__.{name}", few)
    assert main(["--write", str(page)]) == 0
    drawn = page.read_text("utf-8")
    assert drawn.startswith("before\n<!-- model -->\n| faults |")
    assert "| no faults but the network's | 91, " in drawn
    assert f"| {SHORTCUTS[1].name} | " in drawn
    assert "The whole: 4 scenarios, 0 of them wrong" in drawn
    with pytest.raises(SystemExit):
        main(["--quick", "--write", str(page)])


def test_the_model_obeys_the_nodes_own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that lets a capture of the void succeed is found, without a word changed in the model."""
    wrong = Row(HomeState.POSTED, HOME[HomeState.RESERVED, HomeEvent.CAPTURE].effects)
    monkeypatch.setitem(HOME, (HomeState.VOIDED, HomeEvent.CAPTURE), wrong)
    assert check(Rules(), Faults()).violations


def test_an_exchange_that_would_never_end_is_found() -> None:
    assert NEVER_ENDS in check(Rules(answers_cancel=False), Faults()).violations


def test_a_way_to_a_broken_promise_can_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = check(Rules(goods_on_posted_only=False), Faults(), liveness=False)
    (way,) = report.violations.values()
    assert way[-1] == "goods"
    monkeypatch.setattr("simulators.model.__main__.QUICK", SHORTCUTS[:2])
    assert main(["--quick", "--ways"]) == 0
    shown = capsys.readouterr().out
    assert "WRONG" not in shown
    assert "  1. till: spend" in shown
