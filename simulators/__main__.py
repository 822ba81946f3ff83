"""`python -m simulators NOUN`: what the simulators do by command. `vafa demo` is one more."""

from __future__ import annotations

import argparse
import sys

from simulators.chaos import command as chaos
from simulators.mutants import command as mutants
from simulators.settlement import command as settlement


def main() -> None:
    """Reads the command line and does what it asks."""
    parser = argparse.ArgumentParser(prog="python -m simulators")
    nouns = parser.add_subparsers(required=True, metavar="NOUN")
    chaos.add_arguments(
        nouns.add_parser("chaos", help="many simulated worlds by seed", description=chaos.__doc__)
    )
    mutants.add_arguments(
        nouns.add_parser("mutants", help="nodes without a guard, each found", description=mutants.__doc__)
    )
    settlement.add_arguments(
        nouns.add_parser("settlement", help="windows settled in many seeds", description=settlement.__doc__)
    )
    given = parser.parse_args()
    sys.exit(given.command(given))


if __name__ == "__main__":
    main()
