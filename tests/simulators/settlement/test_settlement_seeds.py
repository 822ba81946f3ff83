"""Windows of simulated coalitions, with faults and with cheats: three computations, the same bytes."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.settlement.closes import LanePart, LaneStart
from node.wire import settlement_scan
from simulators.chaos.runner import Task, run
from simulators.settlement import checks
from simulators.settlement.acts import FOUND_AS, ActKind, plan_acts
from simulators.settlement.weeks import SettledOutcome, Weeks, lived

ROOT = Path(__file__).resolve().parents[3]
FIXED = {
    "a record that nobody signed, and a moved net": 5,
    "a merchant silent at a cut, with a close that came too late": 6,
    "a fork": 8,
    "two statements, and a loss that only one side's close could settle": 26,
    "a home node whose newest record of a window the acquirer has not acknowledged": 6345,
    "a sale abroad that was reversed twice, since the first answer was lost": 7248,
    "a shard that ended between the write and the answer of a sale abroad": 2070,
    "a sale abroad of which nobody knew any more when it was due, for its shard had ended": 58,
    "an operator that ended between a statement without payments and the end of its window": 468,
    "an operator that ended between a default and the end of its window": 896,
}
"""Seeds with what is in them."""
FRESH = 2


def test_windows_of_known_seeds_settle_to_the_same_bytes_three_times_over() -> None:
    settled = Counter[str]()
    for task, outcome in run([Task("settlement", seed) for seed in FIXED.values()], 1, lived):
        assert outcome.violations == (), task.seed
        assert isinstance(outcome, SettledOutcome)
        settled.update(outcome.settled)
    assert settled["statements"] == 7 * len(FIXED)
    assert settled["closes made again from records"] > 50 * len(FIXED)
    assert settled["disputes: fork"] >= 1
    assert settled[f"found: {ActKind.TWO_STATEMENTS}"] >= 1


def test_windows_of_fresh_seeds_settle_too() -> None:
    first = secrets.randbelow(1 << 30)
    for task, outcome in run([Task("settlement", first + at) for at in range(FRESH)], 1, lived):
        assert outcome.violations == (), f"seed {task.seed}"


def test_the_command_tells_what_was_settled_and_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "simulators",
        "settlement",
        "--first",
        "9",
        "--seeds",
        "1",
        "--json",
        str(file),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text("utf-8"))
    assert report["violations"] == 0
    assert report["settled"]["statements"] == 7
    assert "0 violations" in done.stdout


def test_every_kind_of_act_is_planned_for_some_seed() -> None:
    kinds = {act.kind for seed in range(200) for act in plan_acts(seed)}
    assert kinds == set(ActKind)
    assert set(FOUND_AS) < kinds
    assert any(not plan_acts(seed) for seed in range(200))


def test_a_merchant_whose_own_records_give_one_unit_more_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = settlement_scan.lane_part

    def more(start: LaneStart, window: int, stored: list[bytes], *, until: int | None) -> LanePart:
        part = real(start, window, stored, until=until)
        assert isinstance(part, LanePart)
        return replace(part, sums=tuple(replace(one, units=one.units + 1) for one in part.sums))

    monkeypatch.setattr(checks, "lane_part", more)
    outcome = Weeks(9).run()
    assert any("is NOT what our own records give" in violation for violation in outcome.violations)
