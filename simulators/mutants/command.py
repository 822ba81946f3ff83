"""`python -m simulators mutants`: takes one guard after the other out of nodes; shows when each is found."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from simulators.mutants import merchants, one_node, partners
from simulators.mutants.mutant import Found, Mutant, find
from simulators.pages import placed

MUTANTS: tuple[Mutant, ...] = (*one_node.MUTANTS, *merchants.MUTANTS, *partners.MUTANTS)
SEEDS = range(1, 61)
"""Among these each mutant must be found; most are by the first few."""
HEAD = "| the node … | world | seeds | what is found first |"
_CHARS = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--world", default="", help="only those of one world")
    parser.add_argument("--name", default="", help="only those whose name contains this")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the table into a page, between its marks"
    )
    parser.set_defaults(command=mutants)


def mutants(given: argparse.Namespace) -> int:
    """Runs it; the exit status is 1 where a mutant was not found."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # as in a run of many seeds
        again = [sys.executable, "-m", "simulators", *sys.argv[1:]]
        return subprocess.run(again, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode  # noqa: S603 - this program itself
    rows, missed = [HEAD, "| --- | --- | --- | --- |"], 0
    for mutant in MUTANTS:
        if given.world not in ("", mutant.kind) or given.name not in mutant.name:
            continue
        found = find(mutant, SEEDS)
        missed += found is None
        rows.append(row(mutant, found))
        print(rows[-1], file=sys.stderr, flush=True)
    table = "\n".join(rows)
    print(table)
    if given.write is not None:
        given.write.write_text(placed(given.write.read_text("utf-8"), "mutants", table), "utf-8")
    return 1 if missed else 0


def row(mutant: Mutant, found: Found | None) -> str:
    """One line of the table."""
    if found is None:
        return f"| {mutant.name} | {mutant.kind} | none of {len(SEEDS)} | |"
    first = found.violation.splitlines()[0].replace("|", "/")
    return f"| {mutant.name} | {mutant.kind} | {found.seeds} | {first[:_CHARS]} |"
