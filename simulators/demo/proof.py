"""`vafa check` on the stopped node, and whether it agrees with what the tills and the running node said."""

from __future__ import annotations

import json
from collections.abc import Sequence

from node.proto.vafa.admin.v1 import admin_service_pb2
from simulators.demo.figures import Figures
from simulators.launch import NodeUnderTest

CLEAN = "clean"


def prove(node: NodeUnderTest, told: Sequence[admin_service_pb2.PurseTotals], figures: Figures) -> str:
    """`CLEAN`, or what is wrong in one line. `told` are the totals that the node gave before it stopped;
    `figures` hold what its answers to the tills add up to."""
    checked = node.vafa("check", "--config", str(node.config_path), "--json")
    try:
        found = json.loads(checked.stdout)
        problems = [str(problem) for problem in found["findings"]]
        proven = {
            purse["purse"]: (
                purse["issued"],
                purse["redeemed"],
                purse["breakage"] + purse["outstanding"],
            )
            for purse in found["totals"]
        }
    except (ValueError, KeyError, TypeError):
        return f"it said nothing that can be read: {(checked.stdout + checked.stderr).strip()}"
    for purse, (issued, redeemed, _) in proven.items():
        if (issued, redeemed) != (figures.issued[purse], figures.redeemed[purse]):
            told_units = f"{figures.issued[purse]} {purse} issued, {figures.redeemed[purse]} redeemed"
            problems.append(f"the tills were told {told_units}; the journal holds {issued} and {redeemed}")
    # What expires by itself moves between these two, so they are compared together.
    told_of = {
        purse.purse: (purse.issued, purse.redeemed, purse.breakage + purse.outstanding) for purse in told
    }
    if told_of != proven:
        problems.append(f"the running node told of {told_of}, its journal of {proven}")
    if checked.returncode != 0 and not problems:
        problems.append(f"it ended with status {checked.returncode} and named nothing")
    return "; ".join(problems) or CLEAN
