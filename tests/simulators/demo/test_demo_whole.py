"""`vafa demo` for real, small: node, Ray, mutual TLS, tills, check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(420)]

BASKETS = (
    "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,"
    "coupon_match_disc,week,transaction_timestamp,department,brand,product_category,product_type\n"
)


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node.cli.main", "demo", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


def test_a_small_day_ends_with_whole_books(tmp_path: Path) -> None:
    figures_path = tmp_path / "figures.json"
    ended = demo(
        "--alone", "--members", "12", "--tills", "3", "--purchases", "80", "--json", str(figures_path)
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(figures_path.read_text(encoding="utf-8"))
    assert (figures["members"], figures["tills"], figures["accruals"]) == (12, 3, 81)
    assert (figures["books_sum"], figures["check"], figures["refusals"]) == (0, "clean", {})
    assert figures["purses"]["points"]["outstanding"] > 0
    assert figures["accruals_per_second"] > 0
    assert "امتیاز گرفتید" in ended.stdout


def test_three_merchants_end_with_the_same_signed_chains_after_one_was_killed(tmp_path: Path) -> None:
    figures_path = tmp_path / "figures.json"
    ended = demo("--members", "45", "--tills", "3", "--purchases", "90", "--json", str(figures_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(figures_path.read_text(encoding="utf-8"))
    assert (figures["members"], figures["tills"]) == (45, 3)
    assert (figures["books_sum"], figures["check"]) == (0, "clean")
    coalition = figures["coalition"]
    assert (coalition["pairs"], coalition["chains_equal"], coalition["told_right"]) == (6, True, True)
    assert coalition["killed"] == "nile"
    assert coalition["exchanges"] > 10
    assert coalition["accruals_abroad"] > 10
    assert coalition["redemptions_abroad"] > 0
    assert coalition["earned_while_home_was_gone"] >= 2
    cards = figures["cards"]
    assert (cards["carried"], cards["refused"]) == (45, 0)
    assert cards["taps"] > 45
    assert cards["spends_proved"] > cards["spends_proved_abroad"] > 0
    assert "cards: 45 carried" in ended.stdout
    points = figures["purses"]["points"]
    assert points["issued"] - points["redeemed"] - points["breakage"] == points["outstanding"] > 0
    assert "HOME_UNREACHABLE" in ended.stdout
    assert (figures["settlement"]["nets_sum"], figures["settlement"]["verified"]) == (0, True)
    assert sorted(figures["settlement"]["agreed"]) == ["camden", "nile", "saffron"]
    mismatch = figures["settlement"]["mismatch"]
    assert (mismatch["class"], mismatch["settled_next"]) == ("missing_at_acquirer", True)
    assert mismatch["n"] > 1
    assert f"Not settled: record {mismatch['n']} and those after it" in ended.stdout


def test_recorded_baskets_of_a_whole_year_are_replayed(tmp_path: Path) -> None:
    lines = [
        f"{household},31,{1000 + number},7{number},{number % 4}.0,{number}.{household:02d},0.1,0.0,0.0,1,"
        f"2017-{month:02d}-03T10:00:{household:02d}Z,GROCERY,National,DAIRY,MILK"
        for number, (month, household) in enumerate((m, h) for m in range(1, 13) for h in range(1, 10))
    ]
    recording = tmp_path / "transactions.csv"
    recording.write_text(BASKETS + "\n".join(lines) + "\n", encoding="utf-8")
    figures_path = tmp_path / "figures.json"
    ended = demo("--baskets", str(recording), "--json", str(figures_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(figures_path.read_text(encoding="utf-8"))
    assert (figures["members"], figures["tills"], figures["accruals"]) == (9, 1, 109)
    assert (figures["returns"], figures["check"], figures["refusals"]) == (2, "clean", {})
    assert "365 days late" in ended.stdout
