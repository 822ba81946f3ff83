"""The coalition's demo ends well only where everything is as it has to be, and says what is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators.demo import command
from simulators.demo.coalition.chains import EARNED, SPENT, Pair
from simulators.demo.coalition.day import CoalitionDay
from simulators.demo.coalition.merchants import TRADERS, Merchant, members_of
from simulators.demo.coalition.mismatch import Mismatch
from simulators.demo.coalition.outage import Told
from simulators.demo.coalition.phones import Phones
from simulators.demo.coalition.settling import Settlement
from simulators.demo.coalition.summary import CoalitionSummary, MerchantBooks
from simulators.demo.figures import Figures
from simulators.demo.proof import CLEAN
from simulators.launch import NodeUnderTest

UNREACHABLE = Told("Camden", True, False, "HOME_UNREACHABLE", "It cannot be reached.")


SETTLED = Settlement(
    "owes  to",
    {"saffron": -30, "nile": 10, "camden": 20},
    6,
    True,
    "SOUND",
    ["saffron", "nile", "camden"],
    True,
    mismatch=Mismatch("saffron", "camden", 3, 7, "missing_at_acquirer", "HELD BACK. Members of", True),
    later_sums=[0, 0],
)


def summary(
    *,
    problem: str = "",
    check: str = CLEAN,
    books_sum: int = 0,
    told: Told = UNREACHABLE,
    settlement: Settlement = SETTLED,
) -> CoalitionSummary:
    ids = [trader.merchant_id for trader in TRADERS]
    victim = Merchant(TRADERS[1], NodeUnderTest(Path(), "nile"), members_of(1, 3, 1), Phones(Path("none")))
    figures = {(home, acquirer): Figures() for home in ids for acquirer in ids}
    for (home, acquirer), one in figures.items():
        one.counts["accruals"] = 10
        one.latencies_us["accrue"] = [2_000 if home == acquirer else 9_000] * 10
    pairs = [Pair(home, acquirer, 2, 12, 24) for home in ids for acquirer in ids if home != acquirer]
    pairs[0].units[EARNED], pairs[0].units[SPENT] = 50, 20
    pairs[0].problems += [problem] if problem else []
    day = CoalitionDay(
        figures, 6, victim, told=[told], pairs=pairs, accruals_measured=80, seconds_measured=4.0
    )
    totals = admin_service_pb2.PurseTotals(
        purse="points", issued=100, redeemed=40, outstanding=70, books_sum=books_sum
    )
    books = {one: MerchantBooks(one.title(), [totals], check if one == "nile" else CLEAN) for one in ids}
    return CoalitionSummary(day, 9, books, {}, [], 12.0, settlement)


def ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: CoalitionSummary
) -> tuple[int, str, dict[str, object]]:
    monkeypatch.setattr(command, "run_coalition", lambda *arguments, **options: result)
    path = tmp_path / "f.json"
    ran = CliRunner().invoke(command.app, ["--json", str(path), "--keep", str(tmp_path / "kept")])
    return ran.exit_code, ran.output, json.loads(path.read_text(encoding="utf-8"))


def test_a_good_day_says_so_with_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status, output, figures = ended(monkeypatch, tmp_path, summary())
    assert status == 0, output
    assert "the same signed chain" in output
    assert output.count("byte for byte") == 6
    assert (figures["members"], figures["accruals_per_second"]) == (9, 20.0)
    assert (figures["books_sum"], figures["check"]) == (0, CLEAN)
    coalition = figures["coalition"]
    assert isinstance(coalition, dict)
    assert (coalition["pairs"], coalition["chains_equal"], coalition["exchanges"]) == (6, True, 72)
    settlement = figures["settlement"]
    assert isinstance(settlement, dict)
    assert (settlement["nets_sum"], settlement["verified"]) == (0, True)
    mismatch = settlement["mismatch"]
    assert (mismatch["class"], mismatch["lane"], mismatch["n"]) == ("missing_at_acquirer", 3, 7)
    assert "HELD BACK" in output
    assert "Record 7 of lane 3, missing at acquirer, was settled by the window after it." in output
    # 3 × 100 issued at home and 50 abroad; 3 × 40 redeemed at home and 20 abroad.
    purses = figures["purses"]
    assert isinstance(purses, dict)
    assert (purses["points"]["issued"], purses["points"]["redeemed"]) == (350, 140)


def test_calls_abroad_are_measured_apart_from_those_at_home() -> None:
    latencies = summary().figures.latency_ms()
    assert (latencies["accrue"]["p50"], latencies["accrue abroad"]["p50"]) == (2.0, 9.0)


SPENT_ALL_THE_SAME = Told("Camden", True, True, "", "")
NOT_KEPT = Told("Camden", False, False, "HOME_UNREACHABLE", "")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (summary(problem="lane 3: record 7 differs"), "record 7 differs"),
        (summary(check="entry 9 does not replay"), "nile: entry 9 does not replay"),
        (summary(books_sum=2), "MISS ZERO BY 6"),
        (summary(told=SPENT_ALL_THE_SAME), "WAS TOLD WRONG"),
        (summary(told=NOT_KEPT), "WAS TOLD WRONG"),
        (summary(settlement=replace(SETTLED, verified=False)), "NOT SETTLED AND VERIFIED"),
        (summary(settlement=replace(SETTLED, change_found=False)), "NOT SETTLED AND VERIFIED"),
        (summary(settlement=replace(SETTLED, agreed=["nile"])), "NOT SETTLED AND VERIFIED"),
        (summary(settlement=replace(SETTLED, nets={"nile": 1})), "NOT SETTLED AND VERIFIED"),
        (summary(settlement=replace(SETTLED, later_sums=[0, 5])), "NOT SETTLED AND VERIFIED"),
        (summary(settlement=replace(SETTLED, mismatch=Mismatch())), "NOT SETTLED AND VERIFIED"),
        (
            summary(settlement=replace(SETTLED, mismatch=replace(SETTLED.mismatch, settled_next=False))),
            "STILL NOT SETTLED",
        ),
        (summary(settlement=replace(SETTLED, problem="the lost record was not found")), "was not found"),
        (summary(settlement=Settlement(problem="only 5 of 6 pairs")), "only 5 of 6 pairs"),
    ],
    ids=[
        "chain",
        "check",
        "sum",
        "spent",
        "not kept",
        "unsound",
        "blind",
        "disagreed",
        "nets",
        "later nets",
        "no mismatch",
        "not mended",
        "not found",
        "no closes",
    ],
)
def test_what_is_not_as_it_has_to_be_ends_with_a_failure_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: CoalitionSummary, words: str
) -> None:
    status, output, _ = ended(monkeypatch, tmp_path, result)
    assert status == 1
    assert words in output
    assert "Everybody's books sum to zero" not in output
