"""`vafa demo` ends with what is true: a status, a summary, figures in a file, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators.demo import command
from simulators.demo.figures import Figures
from simulators.demo.proof import CLEAN
from simulators.demo.receipt import Shopfront
from simulators.demo.run import Plan
from simulators.demo.screen import Screen
from simulators.demo.summary import Summary
from simulators.launch import NodeFailed


def summary(*, books_sum: int = 0, check: str = CLEAN) -> Summary:
    figures = Figures(shopping_seconds=2.0, latencies_us={"accrue": [1_500] * 10})
    figures.counts["accruals"] = 10
    figures.refusals["INSUFFICIENT_BALANCE"] = 2
    totals = [
        admin_service_pb2.PurseTotals(
            purse="points", issued=100, redeemed=40, outstanding=60, books_sum=books_sum
        )
    ]
    shop = Shopfront("Shop", "Asia/Tehran", 2, {})
    return Summary("generated shoppers", 5, 2, shop, figures, totals, check, ["The till's screen."])


def ending_with(monkeypatch: pytest.MonkeyPatch, result: Summary | Exception) -> list[tuple[Plan, Path]]:
    runs: list[tuple[Plan, Path]] = []

    def run(plan: Plan, directory: Path, screen: Screen) -> Summary:
        runs.append((plan, directory))
        (directory / "node.log").write_text("log", encoding="utf-8")
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(command, "run", run)
    return runs


def test_a_good_run_ends_with_a_summary_and_figures_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = ending_with(monkeypatch, summary())
    ended = CliRunner().invoke(command.app, ["--alone", "--members", "5", "--json", str(tmp_path / "f.json")])
    assert ended.exit_code == 0, ended.output
    assert "The till's screen." in ended.output
    assert "100 points  issued" in ended.output
    assert "refused: INSUFFICIENT_BALANCE" in ended.output
    assert "`vafa check` is clean" in ended.output
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert figures["members"] == 5
    assert figures["accruals_per_second"] == 5.0
    assert (figures["books_sum"], figures["check"]) == (0, "clean")
    assert figures["purses"]["points"]["outstanding"] == 60
    assert not runs[0][1].exists()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (summary(books_sum=-3), "MISS ZERO BY 3"),
        (summary(check="partition 4: entry 17 does not replay"), "entry 17 does not replay"),
    ],
    ids=["sum", "check"],
)
def test_books_that_are_not_whole_end_with_a_failure_that_says_so_and_keep_the_evidence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Summary, words: str
) -> None:
    runs = ending_with(monkeypatch, result)
    ended = CliRunner().invoke(
        command.app, ["--alone", "--json", str(tmp_path / "f.json"), "--keep", str(tmp_path / "k")]
    )
    assert ended.exit_code == 1
    assert words in ended.output
    assert "is clean" not in ended.output
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert (figures["books_sum"], figures["check"]) == (result.books_sum, result.check)
    assert (runs[0][1] / "node.log").exists()


def test_a_node_that_fails_ends_the_demo_with_its_words_and_keeps_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault = ExceptionGroup("tills", [NodeFailed("The store is locked.")])
    runs = ending_with(monkeypatch, fault)
    ended = CliRunner().invoke(command.app, ["--alone", "--keep", str(tmp_path / "kept")])
    assert ended.exit_code == 1
    assert "The store is locked." in ended.output
    assert "Traceback" not in ended.output
    assert runs[0][1] == tmp_path / "kept"
    assert str(tmp_path / "kept") in ended.output.replace("\n", "")


def test_a_directory_that_holds_something_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = ending_with(monkeypatch, summary())
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    ended = CliRunner().invoke(command.app, ["--keep", str(tmp_path)])
    assert ended.exit_code == 2
    assert runs == []
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "mine"


def test_a_place_where_no_figures_can_be_written_is_refused_before_the_day_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = ending_with(monkeypatch, summary())
    ended = CliRunner().invoke(command.app, ["--json", str(tmp_path / "nowhere" / "f.json")])
    assert ended.exit_code == 2
    assert runs == []


def test_a_file_that_holds_no_baskets_is_refused_before_a_node_is_started(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    ended = CliRunner().invoke(command.app, ["--baskets", str(path)])
    assert ended.exit_code == 2
    assert "no column" in ended.output
