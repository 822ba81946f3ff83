"""`python -m simulators.model`: the protocol under every fault that is allowed, then each shortcut, which
must be caught.

`--quick` is what CI does; the whole takes some minutes and a GB. The exit status is 1 where the protocol
breaks a promise, or a shortcut breaks none, or the quick ones take longer than CI has for them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

from simulators.model.check import Report, check
from simulators.model.scenarios import LONG_SHORTCUTS, PROTOCOL, QUICK, SHORTCUTS, Scenario
from simulators.pages import placed

QUICK_CPU_SECONDS = 60.0
"""What CI has for the quick scenarios."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the scenarios and prints a line for each; 0 where all is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m simulators.model", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what CI checks")
    parser.add_argument("--ways", action="store_true", help="show how a shortcut breaks its promise")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the tables into a page, between its marks"
    )
    options = parser.parse_args(arguments)
    if options.write is not None and options.quick:
        parser.error("the tables are of the whole: --write goes without --quick")
    scenarios = QUICK if options.quick else (*PROTOCOL, *SHORTCUTS, *LONG_SHORTCUTS)
    done: list[Done] = []
    wrong = states = 0
    before = time.process_time()
    for scenario in scenarios:
        began = time.process_time()
        report = check(scenario.rules, scenario.faults, first=scenario.is_shortcut)
        is_right = bool(report.violations) == scenario.is_shortcut
        wrong += not is_right
        states += report.states
        took = time.process_time() - began
        done.append(Done(scenario, report.states, took, "; ".join(report.violations)))
        _tell(scenario, report, took, is_right, options.ways)
    seconds = time.process_time() - before
    late = options.quick and seconds > QUICK_CPU_SECONDS
    most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    bound = f" of at most {QUICK_CPU_SECONDS:.0f}" if options.quick else ""
    whole = (
        f"{len(scenarios)} scenarios, {wrong} of them wrong, {states:,} states, {seconds:.1f} s{bound} of "
        f"CPU, {most_mib:,} MiB at most"
    )
    print(whole)
    if options.write is not None:
        page = placed(options.write.read_text("utf-8"), "model", f"{tables(done)}\n\nThe whole: {whole}.")
        options.write.write_text(page, "utf-8")
    return 1 if wrong or late else 0


class Done(NamedTuple):
    """A scenario that was run: what it took, and what was broken."""

    scenario: Scenario
    states: int
    seconds: float
    broken: str


def tables(done: list[Done]) -> str:
    """The protocol's scenarios, a redemption and an accrual in each line, and then the shortcuts."""
    rows = [
        "| faults | redemption: states, s of CPU | accrual: states, s of CPU | promises broken |",
        "| --- | --- | --- | --- |",
    ]
    protocol = [one for one in done if not one.scenario.is_shortcut]
    for spend, earn in zip(protocol[::2], protocol[1::2], strict=True):
        faults = spend.scenario.name.partition(", ")[2]
        broken = "; ".join(one.broken for one in (spend, earn) if one.broken) or "none"
        took = " | ".join(f"{one.states:,}, {one.seconds:.1f}" for one in (spend, earn))
        rows.append(f"| {faults} | {took} | {broken} |")
    rows += ["", "| shortcut | states until a promise is broken | which |", "| --- | --- | --- |"]
    shortcuts = [one for one in done if one.scenario.is_shortcut]
    rows += [f"| {one.scenario.name} | {one.states:,} | {one.broken or 'none'} |" for one in shortcuts]
    return "\n".join(rows)


def _tell(scenario: Scenario, report: Report, seconds: float, is_right: bool, ways: bool) -> None:
    found = "; ".join(report.violations) or "no promise is broken"
    mark = "ok   " if is_right else "WRONG"
    print(f"{mark} {scenario.name}: {report.states} states in {seconds:.1f} s: {found}", flush=True)
    if ways or not is_right:
        for promise, way in report.violations.items():
            print("      " + promise + ":")
            for at, what in enumerate(way, start=1):
                print(f"      {at:3}. {what}")


if __name__ == "__main__":
    sys.exit(main())
