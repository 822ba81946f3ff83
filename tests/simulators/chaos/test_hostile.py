"""A partner that misuses its keys is refused by name, counted, and moves nothing; honest traffic goes on."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.wire.coalition_directory import DIRECTORY_LABEL, armoured
from node.wire.fork_proofs import FORK_PROOF_LABEL
from simulators.chaos.hostile import THIEF, Hostile
from simulators.chaos.hostile_checks import proof_of
from simulators.chaos.hostile_histories import CONTRADICTIONS, HISTORIES
from simulators.chaos.hostile_partner import Attack
from simulators.chaos.hostile_spending import SPENDING
from simulators.sim import lane_checks
from simulators.sim.coalition import MERCHANTS, OPERATOR
from simulators.sim.network import UNDER_WAY
from simulators.sim.partner import PartnerNode
from tests.cli.cli_shop import run_vafa

ATTACKS = {attack.name: attack for attack in (*SPENDING, *HISTORIES, *CONTRADICTIONS)}
GROUPS = (*(SPENDING[at::3] for at in range(3)), HISTORIES, *((one,) for one in CONTRADICTIONS))
"""What happens in one world, beginning with what waits for a chance; what sets lanes aside has its own."""
SEED = 5
PAGE = Path(__file__).resolve().parents[3] / "docs" / "simulation.md"


class Calm(Hostile):
    """Nothing goes wrong but what the hostile partner does."""

    faults = (0, 0)


@cache
def lived(*names: str) -> Calm:
    """A world in which these attacks are made."""
    world = Calm(SEED, attacks=[ATTACKS[name] for name in names])
    outcome = world.run()
    assert outcome.violations == ()
    return world


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda one: one.name.replace(" ", "-"))
def test_is_refused_by_name_and_moves_nothing(attack: Attack) -> None:
    group = next(group for group in GROUPS if attack in group)
    world = lived(*(one.name for one in group))
    deed = next(one for one in world.thief.deeds if one.attack is attack)
    assert deed.made >= 1, "there was no chance to"
    assert deed.refused >= 1
    assert node_of(world, deed.victim).refused(THIEF)[attack.reason.name] >= deed.refused
    assert all(one.answer is not None or one.refusal for one in world.afterwards)
    assert {dispute.why for dispute in world.disputes.values()} == ({attack.why} if attack.why else set())


def test_the_page_names_everything_that_is_tried_and_by_which_name_it_is_counted() -> None:
    table = PAGE.read_text("utf-8").partition("<!-- attacks -->")[2].partition("<!-- /attacks -->")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    told = {(name, counted.split(";")[0]) for names, counted in rows[2:] for name in names.split("; ")}
    assert told == {(attack.name, attack.reason.name) for attack in ATTACKS.values()}


def node_of(world: Hostile, merchant: str) -> PartnerNode:
    return next(node for node in world.partners if node.plan.merchant == merchant)


@pytest.mark.parametrize("name", ["another newest record", "another old record"])
def test_two_histories_leave_a_file_that_anybody_verifies_with_the_directory(
    name: str, tmp_path: Path
) -> None:
    world = lived(name)
    ((victim, lane),) = world.disputes
    directory, proof = tmp_path / "bazaar.directory", tmp_path / "fork.proof"
    directory.write_text(armoured(DIRECTORY_LABEL, world.directory), "utf-8")
    proof.write_text(armoured(FORK_PROOF_LABEL, proof_of(world, victim, lane)), "utf-8")
    shown = run_vafa("lane", "verify-proof", proof, "--directory", directory, "--json")
    assert shown.status == 0, shown.err
    said = shown.json()
    assert (said["proven"], said["home_id"], said["acquirer_id"]) == (True, THIEF, victim)
    assert (said["lane"], said["operator_key"]) == (lane, OPERATOR.public_uri)


def test_a_flood_is_worked_on_within_its_bound_and_what_is_beyond_it_is_counted() -> None:
    group = next(group for group in GROUPS if ATTACKS["a flood"] in group)
    world = lived(*(one.name for one in group))
    deed = next(one for one in world.thief.deeds if one.attack.name == "a flood")
    assert world.network.most_under_way[deed.victim, THIEF] == UNDER_WAY
    assert deed.refused >= 10


def test_honest_partners_are_never_refused_by_the_names_of_misuse() -> None:
    world = lived()
    counted = sum(
        (node.refused(other) for node in world.partners for other in MERCHANTS), start=Counter[str]()
    )
    ordinary = {"INSUFFICIENT_BALANCE", "LANE_NOT_READY", "WRONG_EPOCH", "RECORD_MISSING", "UNKNOWN_EXCHANGE"}
    ordinary |= {"HOLD_EXPIRED", "CANCELLED", "STALE"}
    assert set(counted) <= ordinary


def test_a_victims_books_and_lanes_that_say_something_else_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    world = lived("another newest record")
    book, chain_problem = lane_checks.Side.book, lane_checks.chain_problem
    monkeypatch.setattr(lane_checks.Side, "book", lambda side, *of: book(side, *of) + 1)
    assert any("its books say" in problem for problem in world.violations())
    monkeypatch.setattr(lane_checks.Side, "book", book)
    monkeypatch.setattr(
        lane_checks, "chain_problem", lambda records, *more: chain_problem(records[1:], *more)
    )
    assert any("as cedar keeps it" in problem for problem in world.violations())
    monkeypatch.setattr(lane_checks, "chain_problem", chain_problem)
    aside, disputes = dict(world.thief.aside), dict(world.disputes)
    world.thief.aside.clear()
    assert any("nothing was said on it that is a reason" in problem for problem in world.violations())
    world.thief.twice.update(aside)  # a record that was refused and came again is a reason, too
    assert world.violations() == []
    world.disputes.update({place: replace(one, why="not_asked") for place, one in disputes.items()})
    assert any("what was said is forked" in problem for problem in world.violations())
    world.disputes.update(disputes)
    world.thief.twice.clear()
    world.thief.aside.update(aside)
    world.disputes.update({place: replace(one, fork_proof=(), links=()) for place, one in disputes.items()})
    assert any("proves nothing" in problem for problem in world.violations())
    world.disputes.update(disputes)
    assert world.violations() == []
