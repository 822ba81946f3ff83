"""`python -m simulators chaos`: a seed is the same everywhere, and one that fails can be brought back."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.chaos.command import tasks
from simulators.chaos.runner import Task, Total, replay_command, run
from simulators.chaos.worlds import WORLDS, live

ROOT = Path(__file__).resolve().parents[3]
FIXED_SEEDS = 200
FRESH_SEEDS = 50
FOUND = {
    "a till was told that a sale abroad earns nothing while it still could": Task("coalition", 400_081),
    "a record that came in one batch with HELLO was left out of the reply": Task("restored", 420_367),
    "a clock that had run ahead hid that a spend was from before a restore": Task("restored", 603_994),
    "the first of two reversed sales took their receipt number again": Task("node", 604_812),
    "a fault that waited for its moment cut the last look into claims short": Task("node", 605_048),
    "an acquirer's shard that started anew waited half a minute for HELLO": Task("hostile", 500_127),
    "an attack on a node whose clock was wrong was refused as stale": Task("hostile", 603_003),
    "half of a message was a whole one without what travelled beside it": Task("hostile", 608_303),
    "a record in no window came after the honest one of its number": Task("hostile", 609_295),
    "a reversal that an acquirer had lost in a second restore was not shown to it": Task("restored", 607_122),
    "a reversal of which nobody else had heard was asked of a disk put back": Task("restored", 801_186),
    "an attack was heard in bad weather after it was made again": Task("hostile", 500_105),
    "an attack was put off each time since the lane was not ready": Task("hostile", 2_000_587),
    "an attack was put off each time since the victim was overloaded": Task("hostile", 2_002_159),
}
"""Seeds that have found something, mended since."""


def simulators(*arguments: str, salt: str = "random") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, whose hashes are salted."""
    command = [sys.executable, "-m", "simulators", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": salt}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170)


@pytest.mark.parametrize("world", list(WORLDS))
def test_a_seed_is_the_same_to_the_last_byte_in_every_process(world: str) -> None:
    here = live(world, 7).digest
    assert live(world, 7).digest == here
    assert live(world, 8).digest != here
    shown = [
        simulators("chaos", "--world", world, "--first", "7", "--seeds", "1", "--show") for _ in range(2)
    ]
    assert shown[0].stdout == shown[1].stdout
    assert shown[0].stdout.splitlines()[-1] == f"trace {live_unsalted(world, 7)}"


def live_unsalted(world: str, seed: int) -> str:
    """The digest of a seed as a run of many has it."""
    ((_, outcome),) = run([Task(world, seed)], 1)
    return outcome.digest


def test_the_report_adds_up_and_is_written(tmp_path: Path) -> None:
    done = simulators("chaos", "--seeds", "6", "--first", "3", "--json", str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["seeds"] == 6
    assert report["violations"] == 0
    assert report["failures"] == []
    assert report["simulated_hours"] > 0.1
    assert report["requests"] > 100
    assert sum(report["faults"].values()) >= 4 * 6
    assert "6 seeds from 3" in done.stdout
    assert "0 violations" in done.stdout


def test_a_failing_seed_is_counted_and_names_the_command_that_brings_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulators.sim.checks.POINTS", "no such purse")
    outcome = live("node", 5)
    assert outcome.violations
    total = Total()
    total.add(Task("node", 5), outcome)
    (failure,) = total.failures
    assert total.violations == len(outcome.violations)
    assert failure.command == replay_command("node", 5)
    assert failure.command.split()[:4] == ["python", "-m", "simulators", "chaos"]


def test_a_fault_of_the_simulation_itself_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(seed: int, show: object) -> object:
        raise RuntimeError("broken")

    monkeypatch.setitem(WORLDS, "node", breaks)
    (violation,) = live("node", 1).violations
    assert "RuntimeError: broken" in violation


def test_every_world_has_its_turn_and_a_seed_always_the_same() -> None:
    assert {task.world for task in tasks(1, 10, "all")} == set(WORLDS)
    assert tasks(1, 10, "all")[4:] == tasks(5, 6, "all")


def failures(todo: list[Task]) -> list[str]:
    """What two processes find in these seeds."""
    return [
        f"{outcome.violations[0]}; again: {replay_command(task.world, task.seed)}"
        for task, outcome in run(todo, 2)
        if outcome.violations
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_fixed_seed_finds_anything_that_is_not_as_it_must_be() -> None:
    assert failures(tasks(1, FIXED_SEEDS, "all")) == []


@pytest.mark.parametrize("task", FOUND.values(), ids=FOUND.keys())
def test_what_a_seed_has_found_once_does_not_come_back(task: Task) -> None:
    assert not live(task.world, task.seed).violations


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_fresh_seed_finds_anything_that_is_not_as_it_must_be() -> None:
    first = 10_000 + secrets.randbelow(1 << 40)
    assert failures(tasks(first, FRESH_SEEDS, "all")) == []
