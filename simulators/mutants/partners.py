"""Nodes that do not look at what a partner signs: the world of a hostile partner finds each of them."""

from __future__ import annotations

from collections.abc import Callable

from node.coalition import acquirer_posted, caps, lanes, proofs
from node.coalition.directory import Key
from node.coalition.messages import Posted
from node.wire import coalition
from simulators.chaos.hostile import Hostile
from simulators.chaos.hostile_histories import CONTRADICTIONS, HISTORIES
from simulators.chaos.hostile_spending import SPENDING
from simulators.mutants.mutant import Mutant
from simulators.mutants.patches import Patches


def takes_any_signature(patch: Patches) -> None:
    """A message counts whoever signed it."""
    patch.setattr(coalition, "signature_holds", lambda *_: True)


def takes_old_keys(patch: Patches) -> None:
    """A key is valid for ever."""
    patch.setattr(Key, "valid_at", lambda key, at_ms: True)


def takes_a_proof_again(patch: Patches) -> None:
    """What a member has shown once is good once more."""
    patch.setattr(proofs, "_consume", lambda state, *_: (proofs.Verdict.GOOD, state))


def takes_more_than_the_cap(patch: Patches) -> None:
    """A partner may come to owe whatever it says."""
    patch.setattr(caps, "may_accrue", lambda *_: True)


def compares_no_histories(patch: Patches) -> None:
    """Another record under a number that is known is not looked at."""
    patch.setattr(acquirer_posted, "_is_another_history", lambda *_: False)


def looks_at_no_window(patch: Patches) -> None:
    """A record counts in whatever window, and whatever was asked for."""
    patch.setattr(acquirer_posted, "_problem", lambda *_: None)


def follows_over_gaps(patch: Patches) -> None:
    """A record counts though one before it is withheld."""
    arrival = lanes.arrival

    def over_gaps(lane: lanes.AcquirerLane, posted: Posted, epoch: int, request: bytes) -> lanes.Arrival:
        at = arrival(lane, posted, epoch, request)
        return lanes.Arrival.NEXT if at is lanes.Arrival.GAP else at

    patch.setattr(acquirer_posted, "arrival", over_gaps)


class Calm(Hostile):
    """Nothing goes wrong but what the hostile partner does."""

    faults = (0, 0)


def _against(name: str) -> Callable[[int], Calm]:
    """Worlds in which one thing is tried."""
    (attack,) = [one for one in (*SPENDING, *HISTORIES, *CONTRADICTIONS) if one.name == name]
    return lambda seed: Calm(seed, attacks=[attack])


MUTANTS = (
    Mutant(takes_any_signature, "hostile", _against("a signature changed by a bit")),
    Mutant(takes_old_keys, "hostile", _against("an old key")),
    Mutant(takes_a_proof_again, "hostile", _against("a proof used twice")),
    Mutant(takes_more_than_the_cap, "hostile", _against("more than the cap")),
    Mutant(compares_no_histories, "hostile", _against("another old record")),
    Mutant(looks_at_no_window, "hostile", _against("a wrong window")),
    Mutant(follows_over_gaps, "hostile", _against("a record withheld")),
)
"""Of the world `hostile`."""
