"""`python -m simulators settlement`: windows settled in many seeds, each computed three times over."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from simulators.chaos.runner import Task, Total, run
from simulators.settlement.weeks import SettledOutcome, Weeks, lived

PROGRESS_SECONDS = 5.0
FAILED = 1
WORLD = "settlement"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--seeds", type=int, default=100, help="how many (100)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    parser.add_argument("--show", action="store_true", help="show everything that happens, of one seed")
    parser.set_defaults(command=settlement)


def settlement(given: argparse.Namespace) -> int:
    """Runs it; the exit status is 1 where something was not as it must be."""
    if given.show:
        return _show(given.first)
    began, shown = time.monotonic(), time.monotonic()
    total, settled = Total(), Counter[str]()
    todo = [Task(WORLD, seed) for seed in range(given.first, given.first + given.seeds)]
    for task, outcome in run(todo, given.processes, lived):
        total.add(task, outcome)
        if isinstance(outcome, SettledOutcome):
            settled.update(outcome.settled)
        if outcome.violations:
            print(f"seed {task.seed}: {outcome.violations[0]}", flush=True)
            print(f"  again: {again(task.seed)}", flush=True)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{total.seeds} of {len(todo)} seeds, {total.violations} violations", file=sys.stderr)
    report = as_report(given.first, total, settled, time.monotonic() - began)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(in_words(total, settled, time.monotonic() - began))
    return FAILED if total.violations else 0


def again(seed: int) -> str:
    """What brings one seed back, with everything that happens in it."""
    return f"python -m simulators settlement --first {seed} --seeds 1 --show"


def _show(seed: int) -> int:
    """One seed in a process whose hashes are not salted, as in a run of many."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        command = [sys.executable, "-m", "simulators", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode  # noqa: S603 - this program itself
    outcome = Weeks(seed, print).run()
    for violation in outcome.violations:
        print(f"VIOLATION {violation}")
    print(f"trace {outcome.digest}")
    return FAILED if outcome.violations else 0


def as_report(first: int, total: Total, settled: Counter[str], seconds: float) -> dict[str, object]:
    """The report as it is written to a file."""
    return {
        "seeds": total.seeds,
        "first": first,
        "violations": total.violations,
        "simulated_hours": round(total.seconds / 3_600, 2),
        "settled": dict(sorted(settled.items())),
        "faults": dict(sorted(total.faults.items())),
        "seconds": round(seconds, 1),
        "failures": [
            {"seed": one.seed, "violations": list(one.violations), "command": again(one.seed)}
            for one in total.failures
        ],
    }


def in_words(total: Total, settled: Counter[str], seconds: float) -> str:
    """The report for a person."""
    hours = round(total.seconds / 3_600, 2)
    lines = [
        f"{total.seeds} seeds, {hours} simulated hours, in {seconds:.1f} s",
        "Went wrong, and who cheated:",
    ]
    lines += [f"{count:8} {kind}" for kind, count in sorted(total.faults.items())]
    lines += ["Settled:", *(f"{count:8} {what}" for what, count in sorted(settled.items()))]
    return "\n".join([*lines, f"{total.violations} violations"])
