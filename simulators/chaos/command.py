"""`python -m simulators chaos`: lives through many seeds and says what was not as it must be."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from simulators.chaos.runner import Task, Total, replay_command, run
from simulators.chaos.worlds import WORLDS, live

PROGRESS_SECONDS = 5.0
FAILED = 1
ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--seeds", type=int, default=100, help="how many (100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (1)")
    parser.add_argument(
        "--world", choices=[ALL, *WORLDS], default=ALL, help="one kind of world; else each in turn"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    parser.add_argument("--show", action="store_true", help="show everything that happens, of one seed")
    parser.set_defaults(command=chaos)


def tasks(first: int, seeds: int, world: str) -> list[Task]:
    """The seeds with their worlds; of `all` each seed has one world, always the same."""
    names = list(WORLDS) if world == ALL else [world]
    return [Task(names[seed % len(names)], seed) for seed in range(first, first + seeds)]


def chaos(given: argparse.Namespace) -> int:
    """Runs it; the exit status is 1 where something was not as it must be."""
    if given.show:
        return _show(given)
    began, shown = time.monotonic(), time.monotonic()
    total = Total()
    todo = tasks(given.first, given.seeds, given.world)
    for task, outcome in run(todo, given.processes):
        total.add(task, outcome)
        if outcome.violations:
            print(f"seed {task.seed} of {task.world}: {outcome.violations[0]}", flush=True)
            print(f"  again: {replay_command(task.world, task.seed)}", flush=True)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{total.seeds} of {len(todo)} seeds, {total.violations} violations", file=sys.stderr)
    report = as_report(given.first, total, time.monotonic() - began)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(in_words(report))
    return FAILED if total.violations else 0


def _show(given: argparse.Namespace) -> int:
    """One seed in a process whose hashes are not salted, as in a run of many."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", "simulators", *sys.argv[1:]]
        return subprocess.run(again, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode  # noqa: S603 - this program itself
    (task,) = tasks(given.first, 1, given.world)
    outcome = live(task.world, task.seed, print)
    for violation in outcome.violations:
        print(f"VIOLATION {violation}")
    print(f"trace {outcome.digest}")
    return FAILED if outcome.violations else 0


def as_report(first: int, total: Total, seconds: float) -> dict[str, object]:
    """The report as it is written to a file."""
    return {
        "seeds": total.seeds,
        "first": first,
        "violations": total.violations,
        "simulated_hours": round(total.seconds / 3_600, 2),
        "requests": total.requests,
        "faults": dict(sorted(total.faults.items())),
        "seconds": round(seconds, 1),
        "failures": [
            {
                "world": one.world,
                "seed": one.seed,
                "violations": list(one.violations),
                "command": one.command,
            }
            for one in total.failures
        ],
    }


def in_words(report: dict[str, object]) -> str:
    """The report for a person."""
    faults = report["faults"]
    assert isinstance(faults, dict)
    lines = [
        f"{report['seeds']} seeds from {report['first']}, {report['simulated_hours']} simulated hours, "
        f"{report['requests']} requests, in {report['seconds']} s",
        *(f"{count:8} {kind}" for kind, count in faults.items()),
        f"{report['violations']} violations",
    ]
    return "\n".join(lines)
